#include "coordinator/daemon/participants.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/base/pair_lines.h"
#include "coordinator/base/read_file.h"
#include "coordinator/core/spec.h"
#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/etcd.h"
#include "coordinator/daemon/version.h"
#include "coordinator/transport/grpc_caller.h"
#include "coordinator/transport/http/http_caller.h"
#include "coordinator/transport/unary_dialer.h"

namespace assent::daemon {
namespace {

bool IsOverHttp(const std::string& address) {
  return discovery::IsName(address) ? discovery::ParseName(address)->http()
                                    : transport::IsHttp(address);
}

// How many addresses each service has over HTTP.
std::map<std::string, std::size_t> HttpServices(const Config& config) {
  std::map<std::string, std::size_t> services;
  for (const auto& [name, addresses] : config.UnaryServices()) {
    const auto count = std::count_if(addresses.begin(), addresses.end(), IsOverHttp);
    if (count > 0) services[name] = static_cast<std::size_t>(count);
  }
  return services;
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
  const auto services = HttpServices(config);
  for (const auto& [name, count] : services) {
    if (!secrets->contains(name))
      return wrong("there is no secret of " + name + ", which --unary has an http:// address of");
  }
  for (const auto& [name, secret] : *secrets) {
    if (!services.contains(name))
      return wrong("it has a secret of " + name + ", which --unary has no http:// address of");
  }
  return secrets;
}

Result<Ways> OpenWays(const Config& config, const Certificates& certificates) {
  auto secrets = ReadUnarySecrets(config);
  if (!secrets.ok()) return secrets.status();
  auto etcd = OpenEtcd(config, certificates);
  if (!etcd.ok()) return etcd.status();
  return Ways{std::move(secrets).value(), std::move(etcd).value()};
}

std::size_t CountHttpParticipants(const Config& config) {
  std::size_t all = 0;
  for (const auto& [name, count] : HttpServices(config)) all += count;
  return all;
}

struct Participants::Dialled {
  Dialled(bool over_http, std::unique_ptr<transport::Caller> by, transport::Switchboard& board,
          transport::UnaryDialerOptions options)
      : http(over_http), caller(std::move(by)), dialer(*caller, board, std::move(options)) {}
  const bool http;
  std::unique_ptr<transport::Caller> caller;
  transport::UnaryDialer dialer;
};

Participants::Participants(const Config& config, const Certificates& certificates, Ways ways,
                           transport::Switchboard& board)
    : board_(board), directory_(config.UnaryServices(), {config.discover_loopback}) {
  transport::UnaryDialerOptions options;
  options.max_in_flight_per_target_count = static_cast<std::size_t>(config.unary_max_in_flight);
  options.on_unreachable = [this](const std::string& service) { Doubt(service); };
  const auto add = [&](bool http, std::unique_ptr<transport::Caller> caller) {
    dialled_.push_back(std::make_unique<Dialled>(http, std::move(caller), board, options));
  };
  const std::size_t http_count = CountHttpParticipants(config);
  if (http_count != config.unary.size())
    add(false,
        std::make_unique<transport::GrpcCaller>(
            certificates.OfParticipants(),
            transport::GrpcCallerOptions{std::chrono::seconds(config.unary_health_seconds)}));
  if (http_count != 0) {
    transport::HttpCallerOptions http;
    http.dialling = certificates.OfHttpParticipants();
    http.secrets = std::move(ways.secrets);
    http.agent = std::string("assentd/") + kVersion;
    add(true, std::make_unique<transport::HttpCaller>(std::move(http)));
  }
  {
    const MutexLock lock(mutex_);
    for (const auto& [service, addresses] : config.UnaryServices()) Redial(service);
  }
  Ask(config, std::move(ways.etcd));
}

void Participants::Ask(const Config& config, discovery::etcd::Dial etcd) {
  std::vector<discovery::Name> names;
  {
    const MutexLock lock(mutex_);
    names = directory_.names();
  }
  std::vector<discovery::Name> dns_names;
  std::vector<discovery::Name> etcd_names;
  for (std::size_t name = 0; name < names.size(); ++name) {
    const bool by_dns = names[name].registry == discovery::Name::Registry::kDns;
    auto& numbers = by_dns ? of_dns_ : of_etcd_;
    asked_.push_back({names[name].registry, numbers.size()});
    numbers.push_back(name);
    (by_dns ? dns_names : etcd_names).push_back(names[name]);
  }
  if (!dns_names.empty()) AskDns(config, dns_names);
  if (etcd_names.empty()) return;
  etcd_ = std::make_unique<discovery::etcd::Resolver>(
      EtcdEndpoints(config), std::move(etcd), std::move(etcd_names),
      [this](std::size_t number, const Result<std::vector<discovery::Place>>& found,
             const std::string& left_out) { Take(of_etcd_[number], found, left_out); });
}

void Participants::AskDns(const Config& config, const std::vector<discovery::Name>& names) {
  auto resolver = discovery::dns::Resolver::Open(
      {config.dns_servers}, names,
      [this](std::size_t number, const Result<std::vector<discovery::Place>>& found) {
        Take(of_dns_[number], found);
      });
  if (resolver.ok()) {
    dns_ = std::move(resolver).value();
    return;
  }
  for (const std::size_t name : of_dns_) Take(name, resolver.status());
}

Participants::~Participants() {
  if (dns_ != nullptr) dns_->Stop();
  if (etcd_ != nullptr) etcd_->Stop();
}

void Participants::Open(std::uint32_t coordinator_id) {
  for (const auto& one : dialled_) one->dialer.Open(coordinator_id);
  if (dns_ != nullptr) dns_->Start();
  if (etcd_ != nullptr) etcd_->Start();
}

void Participants::Take(std::size_t name, const Result<std::vector<discovery::Place>>& found,
                        const std::string& left_out) {
  const MutexLock lock(mutex_);
  const discovery::Directory::News news = directory_.Take(name, found, left_out);
  const std::string& text = directory_.names()[name].text;
  if (!news.words.empty() && news.is_trouble)
    spdlog::warn("event=name_not_found name={} why={}", text, Quoted(news.words));
  else if (!news.words.empty())
    spdlog::info("event=name_found name={} what={}", text, Quoted(news.words));
  if (!news.changed) return;
  for (const std::string& service : directory_.ServicesOf(name)) Redial(service);
}

void Participants::Redial(const std::string& service) {
  const std::string trouble = directory_.Trouble(service);
  if (!trouble.empty()) board_.Declare(service, trouble);
  for (const auto& one : dialled_)
    one->dialer.Set(service, directory_.Endpoints(service, one->http));
}

void Participants::Doubt(const std::string& service) {
  if (asked_.empty()) return;
  const MutexLock lock(mutex_);
  for (const std::size_t name : directory_.NamesOf(service)) {
    const auto [registry, number] = asked_[name];
    switch (registry) {
      case discovery::Name::Registry::kDns:
        if (dns_ != nullptr) dns_->LookAgain(number);
        break;
      case discovery::Name::Registry::kEtcd: etcd_->LookAgain(number); break;
    }
  }
}

}  // namespace assent::daemon
