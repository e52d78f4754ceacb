#include "coordinator/daemon/exposure.h"

#include <spdlog/spdlog.h>

#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/etcd.h"
#include "coordinator/daemon/logging.h"
#include "coordinator/daemon/tracing.h"
#include "coordinator/daemon/webhook.h"
#include "coordinator/discovery/name.h"
#include "coordinator/transport/endpoint.h"

namespace assent::daemon {
namespace {

constexpr std::size_t kMaxBytes = 400;

}  // namespace

void WarnOfPlainParticipants(const Config& config) {
  if (config.tls_cert.empty()) return;
  std::string plain;
  for (const std::string& entry : config.unary) {
    const std::string address = entry.substr(entry.find('=') + 1);
    const bool safe = discovery::IsName(address) ? discovery::ParseName(address)->secure()
                      : transport::IsHttp(address)
                          ? !IsInTheClear(address)
                          : address.rfind(transport::kTlsScheme, 0) == 0 || IsLoopback(address);
    if (safe) continue;
    plain += (plain.empty() ? "" : ",") + entry;
  }
  if (plain.empty()) return;
  spdlog::warn(
      "event=unary_exposed participants={} hint=\"they are dialled without TLS: others on the way "
      "can read payloads, or pose as them; NAME=tls:HOST:PORT, or https://\"",
      OneLine(plain, kMaxBytes));
}

void WarnOfPlainEtcd(const Config& config) {
  std::string plain;
  for (const std::string& endpoint : EtcdEndpoints(config)) {
    const bool safe = IsEtcdSecure(endpoint) || IsLoopback(std::string(EtcdAddress(endpoint)));
    if (!safe) plain += (plain.empty() ? "" : ",") + endpoint;
  }
  if (plain.empty()) return;
  spdlog::warn(
      "event=etcd_exposed endpoints={} hint=\"whoever is on the way can say where participants "
      "are: https://HOST:PORT, with --tls-etcd-ca\"",
      OneLine(plain, kMaxBytes));
}

void WarnOfExposure(const Config& config) {
  WarnOfWebhook(config);
  WarnOfTracing(config);
  WarnOfPlainParticipants(config);
  WarnOfPlainEtcd(config);
}

void TellStranger(const std::string& host, const std::string& name) {
  spdlog::error(
      "event=not_a_coordinator host={} identity={} hint=\"somebody else answers where another "
      "coordinator should, or the rules here lack it: nothing is sent there\"",
      OneLine(host, kMaxBytes), name.empty() ? "none" : OneLine(name, kMaxBytes));
}

}  // namespace assent::daemon
