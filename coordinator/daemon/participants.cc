#include "coordinator/daemon/participants.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/pair_lines.h"
#include "coordinator/base/read_file.h"
#include "coordinator/core/spec.h"
#include "coordinator/daemon/version.h"
#include "coordinator/transport/grpc_caller.h"
#include "coordinator/transport/http/http_caller.h"
#include "coordinator/transport/unary_dialer.h"

namespace assent::daemon {
namespace {

std::map<std::string, std::vector<std::string>> ServicesOf(const Config& config, bool http) {
  std::map<std::string, std::vector<std::string>> services;
  for (auto& [name, addresses] : config.UnaryServices()) {
    for (const std::string& address : addresses) {
      if (transport::IsHttp(address) == http) services[name].push_back(address);
    }
  }
  return services;
}

transport::UnaryDialerOptions OptionsOf(const Config& config, bool http) {
  transport::UnaryDialerOptions options;
  options.services = ServicesOf(config, http);
  options.max_in_flight_per_target_count = config.unary_max_in_flight;
  return options;
}

}  // namespace

Result<UnarySecrets> ParseUnarySecrets(std::string_view text) {
  constexpr std::string_view kForm = "\"NAME: SECRET\"";
  UnarySecrets secrets;
  const auto take = [&](std::string_view before, std::string_view secret) -> std::string {
    const std::string name(base::Trimmed(before));
    if (!core::CheckServiceName(name, "").ok()) return "is no " + std::string(kForm);
    if (secret.size() < kMinUnarySecretBytes || secret.size() > kMaxUnarySecretBytes) {
      return "has a secret of " + std::to_string(secret.size()) + " bytes: it takes " +
             std::to_string(kMinUnarySecretBytes) + " to " + std::to_string(kMaxUnarySecretBytes);
    }
    return secrets.emplace(name, secret).second ? "" : "has the name " + name + " again";
  };
  const Status parsed = base::ForPairLines(text, kForm, take);
  if (!parsed.ok()) return parsed;
  return secrets;
}

Result<UnarySecrets> ReadUnarySecrets(const Config& config) {
  const std::string& file = config.unary_secrets_file;
  if (file.empty()) return UnarySecrets();
  const auto wrong = [&file](const std::string& what) {
    return InvalidArgument("unary-secrets-file is " + file + ": " + what);
  };
  const Result<std::string> text = base::ReadAtMost(file, kMaxUnarySecretsFileBytes);
  if (!text.ok()) return wrong(text.status().message());
  if (text->size() > kMaxUnarySecretsFileBytes)
    return wrong("it has more than " + std::to_string(kMaxUnarySecretsFileBytes) + " bytes");
  auto secrets = ParseUnarySecrets(*text);
  if (!secrets.ok()) return wrong(secrets.status().message());
  const auto services = ServicesOf(config, /*http=*/true);
  for (const auto& [name, addresses] : services) {
    if (!secrets->contains(name))
      return wrong("there is no secret of " + name + ", which --unary has an http:// address of");
  }
  for (const auto& [name, secret] : *secrets) {
    if (!services.contains(name))
      return wrong("it has a secret of " + name + ", which --unary has no http:// address of");
  }
  return secrets;
}

std::size_t CountHttpParticipants(const Config& config) {
  std::size_t count = 0;
  for (const auto& [name, addresses] : ServicesOf(config, /*http=*/true)) count += addresses.size();
  return count;
}

struct Participants::Dialled {
  Dialled(std::unique_ptr<transport::Caller> by, transport::UnaryDialerOptions options,
          transport::Switchboard& board)
      : caller(std::move(by)), dialer(std::move(options), *caller, board) {}
  std::unique_ptr<transport::Caller> caller;
  transport::UnaryDialer dialer;
};

Participants::Participants(const Config& config, const Certificates& certificates,
                           UnarySecrets secrets, transport::Switchboard& board) {
  grpc_ = std::make_unique<Dialled>(
      std::make_unique<transport::GrpcCaller>(certificates.OfParticipants()),
      OptionsOf(config, /*http=*/false), board);
  if (CountHttpParticipants(config) == 0) return;
  transport::HttpCallerOptions options;
  options.dialling = certificates.OfHttpParticipants();
  options.secrets = std::move(secrets);
  options.agent = std::string("assentd/") + kVersion;
  http_ = std::make_unique<Dialled>(std::make_unique<transport::HttpCaller>(std::move(options)),
                                    OptionsOf(config, /*http=*/true), board);
}
Participants::~Participants() = default;

void Participants::Open(std::uint32_t coordinator_id) {
  grpc_->dialer.Open(coordinator_id);
  if (http_ != nullptr) http_->dialer.Open(coordinator_id);
}

}  // namespace assent::daemon
