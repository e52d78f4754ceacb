#include "coordinator/daemon/certificates.h"

#include <chrono>
#include <utility>

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <spdlog/spdlog.h>

#include "coordinator/daemon/logging.h"
#include "coordinator/grpc/server_credentials.h"
#include "proto/tls/channel_credentials.h"

namespace assent::daemon {
namespace {

constexpr std::size_t kMaxWhyBytes = 400;

Result<std::shared_ptr<grpc::ChannelCredentials>> Dialling(const char* setting,
                                                           const std::string& ca,
                                                           const Config& config) {
  if (ca.empty()) return std::shared_ptr<grpc::ChannelCredentials>();
  auto credentials = tls::MakeChannelCredentials(
      {.ca_file = ca, .cert_file = config.tls_cert, .key_file = config.tls_key});
  if (credentials.ok()) return credentials;
  return InvalidArgument(std::string(setting) + ": " + credentials.status().message());
}

std::string NamesOf(const tls::Material& material) {
  std::string all;
  const auto add = [&all](const std::string& name) { all += (all.empty() ? "" : ",") + name; };
  for (const std::string& uri : material.names.uris) add(uri);
  for (const std::string& name : material.names.dns_names) add("dns:" + name);
  if (!material.names.common_name.empty()) add("cn:" + material.names.common_name);
  return all;
}

}  // namespace

bool HasTls(const Config& config) {
  return !config.tls_cert.empty() && config.listen.rfind("unix:", 0) != 0;
}

bool HttpHasTls(const Config& config) { return !config.tls_cert.empty() && config.http_tls; }

Result<std::unique_ptr<Certificates>> Certificates::Open(const Config& config) {
  std::unique_ptr<Certificates> all(new Certificates);
  if (!config.tls_cert.empty()) {
    auto keeper = tls::Keeper::Open({.cert = config.tls_cert,
                                     .key = config.tls_key,
                                     .client_ca = config.tls_client_ca,
                                     .client_cert_required = config.tls_client_cert == "required"});
    if (!keeper.ok()) return keeper.status();
    all->keeper_ = std::move(keeper).value();
  }
  if (config.Place().shared()) {
    auto peers = Dialling("tls-peer-ca", config.PeerCa(), config);
    if (!peers.ok()) return peers.status();
    all->peers_ = std::move(peers).value();
  }
  auto participants = Dialling("tls-participant-ca", config.tls_participant_ca, config);
  if (!participants.ok()) return participants.status();
  all->participants_ = std::move(participants).value();
  return all;
}

std::shared_ptr<grpc::ServerCredentials> Certificates::OfServer() const {
  return door::MakeServerCredentials(*keeper_);
}

void Certificates::Look() {
  if (keeper_ != nullptr && keeper_->HaveFilesChanged()) Reload();
}

void Certificates::Reload() {
  if (keeper_ == nullptr) return;
  const tls::MaterialPtr before = keeper_->Current();
  if (const Status read = keeper_->Reload(); !read.ok()) {
    spdlog::error(
        "event=tls_reload_failed error=\"{}\" hint=\"the certificate that was read before is "
        "served on\"",
        OneLine(read.message(), kMaxWhyBytes));
    if (listener_) listener_(read);
    return;
  }
  const tls::MaterialPtr now = keeper_->Current();
  if (now->chain_pem == before->chain_pem && now->client_ca_pem == before->client_ca_pem &&
      now->key_pem == before->key_pem)
    return;
  const auto left = now->expires - std::chrono::system_clock::now();
  spdlog::info("event=tls_reloaded names={} expires_in_hours={}", NamesOf(*now),
               std::chrono::duration_cast<std::chrono::hours>(left).count());
  if (listener_) listener_(OkStatus());
}

}  // namespace assent::daemon
