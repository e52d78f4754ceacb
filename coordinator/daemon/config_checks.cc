#include "coordinator/daemon/config_checks.h"

#include <algorithm>
#include <cstdint>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <assent/address.h>
#include <assent/limits.h>

#include "coordinator/core/spec.h"
#include "coordinator/discovery/name.h"
#include "coordinator/log/postgresql/connection.h"
#include "coordinator/post/target.h"
#include "coordinator/security/jwt.h"
#include "coordinator/transport/endpoint.h"

namespace assent::daemon {

std::string Quoted(std::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\t' ? std::string("\\t") : std::string(1, c);
  }
  return quoted + "\"";
}

std::vector<std::string> SplitAtCommas(std::string_view value) {
  std::vector<std::string> parts;
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    parts.emplace_back(value.substr(0, comma));
    value = comma == std::string_view::npos ? "" : value.substr(comma + 1);
  }
  return parts;
}

namespace {

// One of several that has lost its --log would begin a log of its own, and nobody would notice.
constexpr const char* kSharedWithNobody =
    ", which is for coordinators that share a log; this one's is a folder of its own: is "
    "--log=postgresql://... missing?";

// What others cannot reach, unless they may.
Status CheckHostPort(const std::string& value, const Config& c, bool has_tls,
                     const std::string& setting, const std::string& takes) {
  const std::size_t colon = value.rfind(':');
  const std::string host = value.substr(0, colon);
  const std::string port = colon == std::string::npos ? "" : value.substr(colon + 1);
  const bool is_path = value.rfind("unix:", 0) == 0;
  if (!is_path && host.find(':') != std::string::npos &&
      (host.front() != '[' || host.back() != ']')) {
    return InvalidArgument(setting + " is " + Quoted(value) +
                           ": an IPv6 address stands in brackets, [" + host + "]:" + port);
  }
  const bool drawn = !port.empty() && port.find_first_not_of('0') == std::string::npos;
  if (colon == 0 || is_path || !(drawn || IsPort(port)))
    return InvalidArgument(setting + " is " + Quoted(value) + ": it takes " + takes);
  if (IsLoopback(value) || c.allow_insecure || (has_tls && KnowsCallers(c))) return OkStatus();
  if (has_tls) {
    return InvalidArgument(setting + " is " + value +
                           ", which others can reach, and nobody knows who they are: give "
                           "--tls-client-ca, with --tls-client-cert=required, or --auth-rules, or "
                           "say --allow-insecure if the network is trusted");
  }
  return InvalidArgument(setting + " is " + value +
                         ", which others can reach, and there is no TLS: use a loopback address, "
                         "or say --allow-insecure if the network is trusted");
}

}  // namespace

bool KnowsCallers(const Config& c) {
  const bool all_show_one = !c.tls_client_ca.empty() && c.tls_client_cert == "required";
  return !c.tls_cert.empty() && (all_show_one || !c.auth_rules.empty());
}

namespace {

// A name may begin with "127." too, and be anybody's. An IPv6 address is without its brackets.
bool IsOwnHost(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  constexpr unsigned kLoopbackNet = 127;
  if (host == "localhost") return true;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == kLoopbackNet;
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace

bool IsLoopback(const std::string& address) {
  if (address.rfind("unix:", 0) == 0) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return IsOwnHost(bracketed ? host.substr(1, host.size() - 2) : host);
}

bool IsInTheClear(const std::string& url) {
  const auto target = post::ParseUrl(url);
  return target.ok() && !target->secure && !IsOwnHost(target->host);
}

Status CheckListen(const Config& c) {
  if (c.listen.rfind("unix:", 0) == 0) return OkStatus();
  return CheckHostPort(c.listen, c, !c.tls_cert.empty(), "listen",
                       "HOST:PORT, such as 127.0.0.1:7400, or unix:PATH");
}

Status CheckHttpListen(const Config& c) {
  if (c.HttpAddress().empty()) return OkStatus();
  return CheckHostPort(c.HttpAddress(), c, !c.tls_cert.empty() && c.http_tls, "http-listen",
                       "HOST:PORT, such as 127.0.0.1:7480, or none");
}

Status CheckTls(const Config& c) {
  if (c.tls_cert.empty() == c.tls_key.empty()) return OkStatus();
  return InvalidArgument("tls-cert and tls-key are of use together, and " +
                         std::string(c.tls_key.empty() ? "tls-key" : "tls-cert") + " is missing");
}

Status CheckTlsClientCa(const Config& c) {
  if (c.tls_client_ca.empty() || !c.tls_cert.empty()) return OkStatus();
  return InvalidArgument("tls-client-ca is of use with tls-cert alone");
}

Status CheckTlsClientCert(const Config& c) {
  if (c.tls_client_cert == "required" || c.tls_client_cert == "optional") return OkStatus();
  return InvalidArgument("tls-client-cert is " + Quoted(c.tls_client_cert) +
                         ": it takes required or optional");
}

Status CheckTlsPeerCa(const Config& c) {
  if (c.tls_peer_ca.empty() || c.Place().shared()) return OkStatus();
  return InvalidArgument("tls-peer-ca is " + Quoted(c.tls_peer_ca) + kSharedWithNobody);
}

namespace {

Status CheckReceiverCa(const std::string& setting, const std::string& ca,
                       const std::string& url_setting, const std::string& url) {
  if (ca.empty() || url.rfind("https://", 0) == 0) return OkStatus();
  return InvalidArgument(setting + " is of use with an https:// address in " + url_setting +
                         " alone");
}

}  // namespace

Status CheckTlsWebhookCa(const Config& c) {
  return CheckReceiverCa("tls-webhook-ca", c.tls_webhook_ca, "webhook-url", c.webhook_url);
}

Status CheckTlsTraceCa(const Config& c) {
  return CheckReceiverCa("tls-trace-ca", c.tls_trace_ca, "trace-endpoint", c.trace_endpoint);
}

Status CheckData(const Config& c) {
  return c.data.empty() ? InvalidArgument("data is empty: it takes the folder of the log")
                        : OkStatus();
}

Status CheckLog(const Config& c) {
  if (c.log.empty()) return OkStatus();
  const bool sqlite = !c.Place().shared() && !c.Place().sqlite_folder.empty();
  const bool postgresql =
      c.log.rfind("postgresql://", 0) == 0 || c.log.rfind("postgres://", 0) == 0;
  if (postgresql && log::Connection::HasPassword(c.log)) {
    return InvalidArgument(
        "log has a password, which others on this machine could read: leave it out, and put it "
        "into the file that PGPASSFILE names, or a service file of PostgreSQL");
  }
  if (sqlite || postgresql) return OkStatus();
  return InvalidArgument("log is \"" + c.log +
                         "\": it takes sqlite:FOLDER, or postgresql://USER@HOST:PORT/DATABASE");
}

// An address at which others can reach this daemon.
Status CheckAdvertise(const Config& c) {
  if (!c.Place().shared()) {
    if (c.advertise.empty() || (!c.etcd_register.empty() && IsHostAndPort(c.advertise)))
      return OkStatus();
    return InvalidArgument("advertise is " + Quoted(c.advertise) + kSharedWithNobody);
  }
  const std::string address = c.AdvertisedAddress();
  const std::string host = address.substr(0, address.rfind(':'));
  if (IsHostAndPort(address) && host != "0.0.0.0" && host != "[::]") return OkStatus();
  return InvalidArgument("advertise is \"" + address +
                         "\": with a log that several coordinators share it takes the HOST:PORT at "
                         "which participants and the others reach this one");
}

Status CheckNode(const Config& c) {
  if (!c.node.empty() && !c.Place().shared())
    return InvalidArgument("node is " + Quoted(c.node) + kSharedWithNobody);
  const bool printable =
      std::all_of(c.node.begin(), c.node.end(), [](char x) { return x > ' ' && x < 127; });
  if (c.node.size() <= kMaxNodeBytes && printable) return OkStatus();
  return InvalidArgument("node is " + Quoted(c.node) + ": it takes up to " +
                         std::to_string(kMaxNodeBytes) + " printable characters without spaces");
}

Status CheckStoreFailover(const Config& c) {
  if (c.store_failover == "detect" || c.store_failover == "lossless") return OkStatus();
  return InvalidArgument("store-failover is " + Quoted(c.store_failover) +
                         ": it takes detect or lossless");
}

Status CheckAuth(const Config& c) {
  if (!c.auth_rules.empty() && c.Place().shared() && c.tls_cert.empty()) {
    return InvalidArgument(
        "auth-rules with a log that several coordinators share and without tls-cert: the others "
        "would not know who this one is, and refuse what it hands on");
  }
  if (!c.auth_rules.empty() && c.Place().shared() && c.PeerCa().empty()) {
    return InvalidArgument(
        "auth-rules with a log that several coordinators share and without tls-peer-ca or "
        "tls-client-ca: this one would not know who answers at another's address, and hands calls "
        "on there");
  }
  if (c.auth_tokens.empty() || !c.auth_rules.empty()) return OkStatus();
  return InvalidArgument(
      "auth-tokens without auth-rules: a token says who comes, and rules what he may");
}

Status CheckJwt(const Config& c) {
  const auto algorithms = security::ReadAlgorithms(c.auth_jwt_algorithms);
  if (!algorithms.ok())
    return InvalidArgument("auth-jwt-algorithms: " + algorithms.status().message());
  if (c.auth_jwt_issuer.size() > security::kMaxJwtIssuerBytes ||
      c.auth_jwt_audience.size() > security::kMaxJwtAudienceBytes)
    return InvalidArgument("auth-jwt-issuer or auth-jwt-audience is too long: it takes " +
                           std::to_string(security::kMaxJwtIssuerBytes) + " bytes");
  const bool all = !c.auth_jwt_issuer.empty() && !c.auth_jwt_audience.empty();
  const bool any = !c.auth_jwt_issuer.empty() || !c.auth_jwt_audience.empty();
  if (c.auth_jwks.empty() ? any : !all) {
    return InvalidArgument(
        "auth-jwks, auth-jwt-issuer and auth-jwt-audience are of use together: a JWT that is "
        "another's, or for another, says nothing here");
  }
  if (c.auth_jwks.empty() || !c.auth_rules.empty()) return OkStatus();
  return InvalidArgument(
      "auth-jwks without auth-rules: a JWT says who comes, and rules what he may");
}

namespace {

// The URL is not repeated: it may have a password in it.
Result<bool> IsSecureUrl(const std::string& name, std::string_view url) {
  const auto target = post::ParseUrl(url);
  if (target.ok()) return target->secure;
  return InvalidArgument("unary of " + name + " is no such address: " + target.status().message());
}

Result<bool> IsSecureName(const std::string& entry, std::string_view address) {
  const auto name = discovery::ParseName(address);
  if (name.ok()) return name->secure();
  return InvalidArgument("unary is " + Quoted(entry) + ": " + name.status().message());
}

bool IsOfEtcd(std::string_view address) {
  return discovery::IsName(address) &&
         discovery::ParseName(address)->registry == discovery::Name::Registry::kEtcd;
}

// Whether it is dialled over TLS.
Result<bool> IsSecureUnary(const std::string& entry) {
  const std::size_t equals = entry.find('=');
  if (equals != std::string::npos) {
    const std::string_view address = std::string_view(entry).substr(equals + 1);
    if (transport::IsHttp(address)) return IsSecureUrl(entry.substr(0, equals), address);
    if (discovery::IsName(address)) return IsSecureName(entry, address);
    const bool tls = address.rfind(transport::kTlsScheme, 0) == 0;
    if (IsHostAndPort(address.substr(tls ? transport::kTlsScheme.size() : 0))) return tls;
  }
  const bool as_in_a_file = entry.find_first_of("[\"") == 0;
  return InvalidArgument("unary is " + Quoted(entry) +
                         ": it takes NAME=HOST:PORT, with a port from 1 to 65535" +
                         (as_in_a_file ? "; brackets and quotes stand in files alone, elsewhere "
                                         "commas between several"
                                       : ""));
}

}  // namespace

Status CheckUnary(const Config& c) {
  for (const std::string& entry : c.unary) {
    const Result<bool> secure = IsSecureUnary(entry);
    if (!secure.ok()) return secure.status();
    const std::string name = entry.substr(0, entry.find('='));
    if (Status named = core::CheckServiceName(name, "unary"); !named.ok()) return named;
    if (c.etcd_endpoints.empty() && IsOfEtcd(entry.substr(name.size() + 1)))
      return InvalidArgument("unary is " + Quoted(entry) + ": that takes --etcd-endpoints");
    if (!*secure || !c.tls_participant_ca.empty()) continue;
    return InvalidArgument("unary of " + name +
                           " is dialled over TLS: that takes --tls-participant-ca, the file of the "
                           "CA that signs the participant's certificate");
  }
  return OkStatus();
}

Status CheckDnsServers(const Config& c) {
  for (const std::string_view one : SplitAtCommas(c.dns_servers)) {
    const std::string host(one.substr(0, one.rfind(':')));
    in_addr v4{};
    in6_addr v6{};
    const bool in_digits = inet_pton(AF_INET, host.c_str(), &v4) == 1 ||
                           (host.size() > 2 && host.front() == '[' && host.back() == ']' &&
                            inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1);
    if (!IsHostAndPort(one) || !in_digits) {
      return InvalidArgument("dns-servers has " + Quoted(one) +
                             ": it takes HOST:PORT in digits, with commas between several");
    }
  }
  return OkStatus();
}

// The value is not repeated: it may be a secret that somebody has taken for part of an address.
Status CheckWebhookUrl(const Config& c) {
  if (c.webhook_url.empty() && c.webhook_secret_file.empty()) return OkStatus();
  if (c.webhook_url.empty() || c.webhook_secret_file.empty()) {
    return InvalidArgument(
        "webhook-url and webhook-secret-file are of use together: what is told is always signed");
  }
  const auto target = post::ParseUrl(c.webhook_url);
  return target.ok()
             ? OkStatus()
             : InvalidArgument("webhook-url is no such address: " + target.status().message());
}

// Likewise.
Status CheckTraceEndpoint(const Config& c) {
  if (c.trace_endpoint.empty()) {
    return c.trace_headers_file.empty()
               ? OkStatus()
               : InvalidArgument("trace-headers-file is of use with trace-endpoint alone");
  }
  const auto target = post::ParseUrl(c.trace_endpoint);
  return target.ok()
             ? OkStatus()
             : InvalidArgument("trace-endpoint is no such address: " + target.status().message());
}

Status CheckTraceServiceName(const Config& c) {
  const std::string& name = c.trace_service_name;
  const bool printable =
      std::all_of(name.begin(), name.end(), [](char x) { return x > ' ' && x < 127; });
  if (!name.empty() && name.size() <= kMaxTraceServiceNameBytes && printable) return OkStatus();
  return InvalidArgument("trace-service-name is " + Quoted(name) + ": it takes 1 to " +
                         std::to_string(kMaxTraceServiceNameBytes) +
                         " printable characters without spaces");
}

// It becomes a link on a page: nothing may end the text that it is in.
Status CheckTraceUrl(const Config& c) {
  if (c.trace_url.empty()) return OkStatus();
  constexpr std::string_view kPlace = "{trace_id}";
  std::string_view url = c.trace_url;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (url.rfind(scheme, 0) != 0) continue;
    url.remove_prefix(scheme.size());
    const std::string_view authority = url.substr(0, url.find_first_of("/?#"));
    const std::size_t place = url.find(kPlace);
    std::string rest(url.substr(0, place));
    if (place != std::string_view::npos) rest += url.substr(place + kPlace.size());
    const bool plain = std::all_of(rest.begin(), rest.end(), [](char x) {
      return x > ' ' && x < 127 && std::string_view("\"'<>\\^`{|}").find(x) == std::string::npos;
    });
    const bool named = !authority.empty() && authority.find_first_of("@{") == std::string::npos;
    if (place != std::string_view::npos && plain && named &&
        c.trace_url.size() <= kMaxTraceUrlBytes)
      return OkStatus();
  }
  return InvalidArgument("trace-url is " + Quoted(c.trace_url) +
                         ": it takes http://HOST/… or https://HOST/…, with {trace_id} in it once, "
                         "of at most " +
                         std::to_string(kMaxTraceUrlBytes) + " characters");
}

// Each shard has its part: one transaction of the largest size has to fit.
Status CheckPayload(const Config& c) {
  constexpr std::int64_t kShardMib = limits::kMaxTransactionBytes >> 20;
  const std::int64_t least_mib = c.shards * kShardMib;
  if (c.max_payload_mib >= least_mib) return OkStatus();
  return InvalidArgument("max-payload-mib is " + std::to_string(c.max_payload_mib) + ": with " +
                         std::to_string(c.shards) + " shards it takes at least " +
                         std::to_string(least_mib) +
                         ", so that one transaction of the largest size fits");
}

Status CheckReserve(const Config& c) {
  constexpr std::int64_t kLeastMib = 8;
  if (c.reserve_mib == 0 || c.reserve_mib >= kLeastMib) return OkStatus();
  return InvalidArgument("reserve-mib is " + std::to_string(c.reserve_mib) +
                         ": it takes 0 (none), or at least " + std::to_string(kLeastMib) +
                         ", which moving the WAL into the database may need");
}

Status CheckLogLevel(const Config& c) {
  for (const char* level : {"debug", "info", "warn", "error"}) {
    if (c.log_level == level) return OkStatus();
  }
  return InvalidArgument("log-level is " + Quoted(c.log_level) +
                         ": it takes debug, info, warn or error");
}

Status CheckLogFormat(const Config& c) {
  if (c.log_format == "text" || c.log_format == "json") return OkStatus();
  return InvalidArgument("log-format is " + Quoted(c.log_format) + ": it takes text or json");
}

}  // namespace assent::daemon
