#pragma once

// Everything that can be set, in one struct: each with meaning, unit, default and consequence. Flag
// over environment (ASSENT_LISTEN for --listen, and so on) over configuration file over default.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <assent/status.h>

namespace assent::daemon {

struct Config {
  // Where to listen, for initiators, operators and participants alike. Loopback by default.
  std::string listen = "127.0.0.1:7400";
  // Without TLS, an address that others can reach is refused unless this says that it is meant.
  bool allow_insecure = false;
  // The folder of the log. Created if missing. One daemon at a time.
  std::string data = "assent-data";
  // Participants that are dialled: NAME=HOST:PORT, several for several instances.
  std::vector<std::string> unary;
  // Calls under way to one dialled address.
  std::size_t unary_max_in_flight = 256;
  // Threads that drive transactions; a transaction stays on one. More than one pays only with cores
  // to spare.
  std::size_t shards = 1;
  // Unfinished transactions; beyond it new ones are refused with RESOURCE_EXHAUSTED.
  std::size_t max_transactions = 1'000'000;
  // Payloads, results, headers and labels of unfinished transactions in memory; beyond it new work
  // is refused with RESOURCE_EXHAUSTED.
  std::size_t max_payload_mib = 1024;
  // Participant sessions; beyond it new ones are refused with RESOURCE_EXHAUSTED.
  std::size_t max_sessions = 10'000;
  // Connections in all; beyond it whoever comes is turned away. Lowered to what the limit on open
  // files leaves.
  std::size_t max_connections = 12'000;
  // ... and from one address. 0: half of all.
  std::size_t max_connections_per_address = 0;
  // What gRPC holds for all connections: their buffers, calls, and messages that have not come in
  // whole. At the end of it, it reads less, and cancels calls.
  std::size_t max_transport_mib = 512;
  // Answers that have not been read. One address has half of it, one connection a quarter. Beyond
  // it who has not read for longest is cancelled, or the new answer refused with
  // RESOURCE_EXHAUSTED.
  std::size_t max_unread_mib = 256;
  // How long and how many bytes of finished transactions stay queryable, and answer a repeated gid.
  // 0: no bound.
  std::int64_t retention_hours = 7 * 24;
  std::int64_t retention_mib = 4096;
  // Disk space set aside so that a full disk still lets begun transactions end.
  std::int64_t reserve_mib = 32;
  // How long SIGTERM waits for transactions under way before the streams are closed. The next start
  // takes them up.
  std::int64_t drain_seconds = 5;
  // A silent connection is probed this often, and given up when the probe is not answered for two
  // thirds of it. Clients may probe three times as often. Shorter: a vanished peer is noticed
  // sooner, for more traffic.
  std::int64_t keepalive_seconds = 15;
  // The daemon dials itself this often. Three times in a row without an answer, and it ends with
  // 70. 0: never.
  std::int64_t self_dial_seconds = 5;
  // gRPC reflection: whoever can connect may ask for the contract.
  bool reflection = true;
  std::string log_level = "info";   // debug, info, warn, error
  std::string log_format = "text";  // text, json

  bool check_only = false;  // --check-config
  bool show = false;        // --show-config
  // Option name to "flag", "environment", "file" or "default".
  std::map<std::string, std::string> sources;

  // kInvalidArgument names the setting and what it takes.
  Status Validate() const;
  // By service, from `unary`.
  std::map<std::string, std::vector<std::string>> UnaryServices() const;
};

// What main should do: run with the config, or exit with a code (help was printed, or an error).
struct ParsedConfig {
  Config config;
  bool exit = false;
  int exit_code = 0;
};
ParsedConfig ParseConfig(int argc, const char* const* argv);
std::string ShowConfig(const Config& config);

}  // namespace assent::daemon
