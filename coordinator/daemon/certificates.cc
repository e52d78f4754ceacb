#include "coordinator/daemon/certificates.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <spdlog/spdlog.h>

#include "coordinator/daemon/logging.h"
#include "coordinator/discovery/name.h"
#include "coordinator/grpc/server_credentials.h"
#include "proto/tls/channel_credentials.h"

namespace assent::daemon {
namespace {

constexpr std::size_t kMaxWhyBytes = 400;

using Verifier = std::shared_ptr<grpc::experimental::CertificateVerifier>;

Result<std::shared_ptr<grpc::ChannelCredentials>> Dialling(const char* setting,
                                                           const std::string& ca,
                                                           const Config& config,
                                                           Verifier verifier) {
  if (ca.empty()) return std::shared_ptr<grpc::ChannelCredentials>();
  auto credentials = tls::MakeChannelCredentials(
      {.ca_file = ca, .cert_file = config.tls_cert, .key_file = config.tls_key},
      std::move(verifier));
  if (credentials.ok()) return credentials;
  return InvalidArgument(std::string(setting) + ": " + credentials.status().message());
}

// To those that this system trusts, who may be anybody, nothing is shown of this coordinator.
Result<std::unique_ptr<tls::DialKeeper>> Receiver(const char* setting, const std::string& ca,
                                                  const Config& config) {
  return tls::DialKeeper::Open({.setting = setting,
                                .ca = ca,
                                .cert = ca.empty() ? "" : config.tls_cert,
                                .key = ca.empty() ? "" : config.tls_key});
}

Result<std::unique_ptr<tls::DialKeeper>> Receiver(const char* setting, const std::string& ca,
                                                  const std::string& url, const Config& config) {
  const auto target = post::ParseUrl(url);
  if (!target.ok() || !target->secure) return std::unique_ptr<tls::DialKeeper>();
  return Receiver(setting, ca, config);
}

// By its URL, or where a name leads.
bool HasSecureHttpParticipants(const Config& config) {
  return std::any_of(config.unary.begin(), config.unary.end(), [](const std::string& entry) {
    const std::string address = entry.substr(entry.find('=') + 1);
    if (discovery::IsName(address)) {
      const auto name = discovery::ParseName(address);
      return name.ok() && name->http() && name->secure();
    }
    const auto target = post::ParseUrl(address);
    return target.ok() && target->secure;
  });
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

Result<std::unique_ptr<Certificates>> Certificates::Open(const Config& config, Verifier of_peers) {
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
    auto peers = Dialling("tls-peer-ca", config.PeerCa(), config, std::move(of_peers));
    if (!peers.ok()) return peers.status();
    all->peers_ = std::move(peers).value();
  }
  auto participants = Dialling("tls-participant-ca", config.tls_participant_ca, config, nullptr);
  if (!participants.ok()) return participants.status();
  all->participants_ = std::move(participants).value();
  auto etcd = Dialling("tls-etcd-ca", config.tls_etcd_ca, config, nullptr);
  if (!etcd.ok()) return etcd.status();
  all->etcd_ = std::move(etcd).value();
  if (HasSecureHttpParticipants(config)) {
    auto opened = Receiver("tls-participant-ca", config.tls_participant_ca, config);
    if (!opened.ok()) return opened.status();
    all->http_participants_ = std::move(opened).value();
  }
  auto webhook = Receiver("tls-webhook-ca", config.tls_webhook_ca, config.webhook_url, config);
  if (!webhook.ok()) return webhook.status();
  all->webhook_ = std::move(webhook).value();
  auto tracing = Receiver("tls-trace-ca", config.tls_trace_ca, config.trace_endpoint, config);
  if (!tracing.ok()) return tracing.status();
  all->tracing_ = std::move(tracing).value();
  return all;
}

std::shared_ptr<grpc::ServerCredentials> Certificates::OfServer() const {
  return door::MakeServerCredentials(*keeper_);
}

namespace {

post::Dialling DiallingOf(const tls::DialKeeper* keeper) {
  if (keeper == nullptr) return {};
  return [keeper] { return keeper->Current(); };
}

Certificates::Expiry ExpiryOf(const tls::DialKeeper* keeper) {
  return keeper == nullptr ? std::nullopt : keeper->Current()->ca_expires;
}

std::int64_t HoursUntil(std::chrono::system_clock::time_point expires) {
  return std::chrono::duration_cast<std::chrono::hours>(expires - std::chrono::system_clock::now())
      .count();
}

}  // namespace

post::Dialling Certificates::OfWebhook() const { return DiallingOf(webhook_.get()); }
post::Dialling Certificates::OfTracing() const { return DiallingOf(tracing_.get()); }
post::Dialling Certificates::OfHttpParticipants() const {
  return DiallingOf(http_participants_.get());
}
Certificates::Expiry Certificates::WebhookCaExpires() const { return ExpiryOf(webhook_.get()); }
Certificates::Expiry Certificates::TraceCaExpires() const { return ExpiryOf(tracing_.get()); }

void Certificates::Look() {
  if (keeper_ != nullptr && keeper_->HaveFilesChanged()) ReloadServer();
  for (tls::DialKeeper* const one : {webhook_.get(), tracing_.get(), http_participants_.get()})
    if (one != nullptr && one->HaveFilesChanged()) ReloadDial(*one);
}

bool Certificates::Reload() {
  bool read = keeper_ == nullptr || ReloadServer();
  for (tls::DialKeeper* const one : {webhook_.get(), tracing_.get(), http_participants_.get()})
    if (one != nullptr && !ReloadDial(*one)) read = false;
  return read;
}

bool Certificates::ReloadServer() {
  const tls::MaterialPtr before = keeper_->Current();
  if (const Status read = keeper_->Reload(); !read.ok()) return TellOfFailure(read);
  const tls::MaterialPtr now = keeper_->Current();
  if (now->chain_pem == before->chain_pem && now->client_ca_pem == before->client_ca_pem &&
      now->key_pem == before->key_pem)
    return true;
  spdlog::info("event=tls_reloaded names={} expires_in_hours={}", NamesOf(*now),
               HoursUntil(now->expires));
  if (listener_) listener_(OkStatus());
  return true;
}

// Of those whom this system trusts the folder is all that is known.
bool Certificates::ReloadDial(tls::DialKeeper& keeper) {
  const tls::DialMaterialPtr before = keeper.Current();
  if (const Status read = keeper.Reload(); !read.ok()) return TellOfFailure(read);
  const tls::DialMaterialPtr now = keeper.Current();
  if (now->pem == before->pem) return true;
  spdlog::info("event=tls_reloaded setting={} expires_in_hours={}", now->files.setting,
               now->ca_expires ? std::to_string(HoursUntil(*now->ca_expires)) : "none");
  if (listener_) listener_(OkStatus());
  return true;
}

bool Certificates::TellOfFailure(const Status& failed) const {
  spdlog::error("event=tls_reload_failed error=\"{}\" hint=\"what was read before counts on\"",
                OneLine(failed.message(), kMaxWhyBytes));
  if (listener_) listener_(failed);
  return false;
}

}  // namespace assent::daemon
