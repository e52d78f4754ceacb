#pragma once

// Everything that can be set. What each setting means, what it takes and how people are told is in
// one table (settings.cc), of which the flags, the environment, the file, the help and the checks
// are made. Flag over environment (ASSENT_LISTEN for --listen, and so on) over file over default.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <assent/status.h>

namespace assent::daemon {

// Where the log is: one of the two.
struct LogPlace {
  std::string sqlite_folder = {};
  std::string postgresql = {};  // a connection string without a password
  bool shared() const { return !postgresql.empty(); }
};

inline constexpr std::size_t kMaxNodeBytes = 128;
inline constexpr std::size_t kMaxTraceServiceNameBytes = 128;
inline constexpr std::size_t kMaxTraceUrlBytes = 1024;

struct Config {
  std::string listen = "127.0.0.1:7400";
  std::string http_listen = "127.0.0.1:7480";
  bool allow_insecure = false;
  std::string tls_cert;  // empty: no TLS
  std::string tls_key;
  std::string tls_client_ca;
  bool http_tls = true;
  std::string tls_client_cert = "required";
  std::string tls_peer_ca;
  std::string tls_participant_ca;
  std::string tls_etcd_ca;
  std::string tls_webhook_ca;  // empty: those whom this system trusts
  std::string tls_trace_ca;    // likewise
  std::string data = "assent-data";
  std::string log;  // empty: in `data`
  std::string advertise;
  std::string node;
  std::int64_t lease_seconds = 3;
  std::int64_t new_log_slots = 1024;
  std::string store_failover = "detect";
  std::vector<std::string> unary;
  std::int64_t unary_max_in_flight = 256;
  std::string unary_secrets_file;  // empty: nothing is signed
  std::string dns_servers;         // empty: those of the system
  bool discover_loopback = false;
  std::string etcd_endpoints;  // empty: there is none
  std::string etcd_user;       // empty: nobody in particular
  std::string etcd_password_file;
  std::string etcd_register;  // empty: it is not said there where this one is
  std::int64_t unary_health_seconds = 0;
  std::string webhook_url;  // empty: nobody is told
  std::string webhook_secret_file;
  std::string trace_endpoint;  // empty: nothing is traced
  std::string trace_headers_file;
  double trace_sample_ratio = 1;
  std::string trace_service_name = "assentd";
  std::string trace_url;
  std::string service_policies;  // empty: all services are treated as usual
  std::string auth_rules;        // empty: everybody may everything
  std::string auth_tokens;
  std::string auth_jwks;  // empty: no JWT is taken
  std::string auth_jwt_issuer;
  std::string auth_jwt_audience;
  std::string auth_jwt_algorithms = "RS256,ES256";
  std::int64_t max_auth_failures_per_address = 20;
  std::string encryption_keys;  // empty: the log is in the clear
  std::int64_t shards = 1;
  std::int64_t max_transactions = 1'000'000;
  std::int64_t max_payload_mib = 1024;
  std::int64_t max_sessions = 10'000;
  std::int64_t max_connections = 12'000;
  std::int64_t max_connections_per_address = 0;
  std::int64_t max_http_connections = 8192;
  std::int64_t max_http_connections_per_address = 0;
  std::int64_t max_transport_mib = 512;
  std::int64_t max_unread_mib = 256;
  std::int64_t retention_hours = 7 * 24;
  std::int64_t retention_mib = 4096;
  std::int64_t reserve_mib = 32;
  std::int64_t drain_seconds = 5;
  std::int64_t keepalive_seconds = 15;
  std::int64_t self_dial_seconds = 5;
  bool reflection = true;
  std::string log_level = "info";
  std::string log_format = "text";

  std::string file;  // --config; empty: none
  // Setting to "flag", "environment", "file" or "default".
  std::map<std::string, std::string> sources;

  // kInvalidArgument names the setting and what it takes.
  Status Validate() const;
  LogPlace Place() const;
  std::string AdvertisedAddress() const;
  // Empty: there is no HTTP.
  std::string HttpAddress() const { return http_listen == "none" ? "" : http_listen; }
  // The CA of other coordinators; empty: they are dialled without TLS.
  std::string PeerCa() const;
  std::string NodeName() const;
  // By service, from `unary`.
  std::map<std::string, std::vector<std::string>> UnaryServices() const;
};

// What main should do: run with the config, or exit with a code (help was printed, or an error).
struct ParsedConfig {
  Config config;
  bool exit = false;
  int exit_code = 0;
  std::string refused = {};  // why; it was printed
};
ParsedConfig ParseConfig(int argc, const char* const* argv);

// The same sources again, which may say something else now. kInvalidArgument: why not.
Result<Config> ReadAgain(int argc, const char* const* argv);
struct ChangedSetting {
  std::string name;
  std::string was;
  std::string is;
  bool taken_up = false;  // else it wants a restart
};
// Changes in `config` what may change while the daemon runs.
std::vector<ChangedSetting> TakeUp(Config& config, const Config& read);

struct SettingNow {
  std::string name;
  std::string value;  // as it stands in a file
  std::string source;
  bool at_once = false;
};
std::vector<SettingNow> SettingsNow(const Config& config);
std::string ShowConfig(const Config& config);
// A file for --config: what is left at its default stands there as a comment.
std::string ConfigFile(const Config& config);

}  // namespace assent::daemon
