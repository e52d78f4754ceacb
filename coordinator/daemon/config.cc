#include "coordinator/daemon/config.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include <assent/address.h>
#include <assent/limits.h>

#include "coordinator/core/spec.h"
#include "coordinator/daemon/config_file.h"
#include "coordinator/daemon/version.h"

namespace assent::daemon {
namespace {

constexpr std::int64_t kLeastReserveMib = 8;

constexpr const char* kFooter =
    R"(Every setting can be given as a flag, in the environment (ASSENT_LISTEN for --listen) or in the
file of --config (listen = "…"), in this order of precedence.

Exit codes:
  0   stopped as asked
  2   wrong settings
  65  the log is damaged, a file of it is missing, shortened or another's, or it is of a newer
      format (the message names file, table and row)
  69  the address is in use
  70  it did not answer when it dialled itself
  73  the data folder cannot be used, or another assentd uses it
  74  an I/O error on the log: it stopped at once, and learns at the next start what is true

Example:
  assentd --data /var/lib/assent --listen 127.0.0.1:7400 --unary billing=127.0.0.1:9000)";

std::string EnvironmentName(const std::string& option) {
  std::string name = "ASSENT_" + option;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

void AddOptions(CLI::App& app, Config& c) {
  app.add_option("--listen", c.listen,
                 "Address for initiators, operators and participants (HOST:PORT, or unix:PATH)")
      ->capture_default_str();
  app.add_flag("--allow-insecure", c.allow_insecure,
               "Listen without TLS on an address that others can reach");
  app.add_option("--data", c.data, "Folder of the log; created if missing; one daemon at a time")
      ->capture_default_str();
  app.add_option("--unary", c.unary,
                 "NAME=HOST:PORT of a participant that is dialled; may be repeated")
      ->delimiter(',');
  app.add_option("--unary-max-in-flight", c.unary_max_in_flight,
                 "Calls under way to one dialled address")
      ->capture_default_str();
  app.add_option("--shards", c.shards, "Threads that drive transactions")->capture_default_str();
  app.add_option("--max-transactions", c.max_transactions,
                 "Unfinished transactions before new ones are refused")
      ->capture_default_str();
  app.add_option("--max-payload-mib", c.max_payload_mib,
                 "Payloads and results of unfinished transactions before new work is refused")
      ->capture_default_str();
  app.add_option("--max-sessions", c.max_sessions,
                 "Participant sessions before new ones are refused")
      ->capture_default_str();
  app.add_option("--max-connections", c.max_connections,
                 "Connections before new ones are turned away; at most what the limit on open "
                 "files leaves")
      ->capture_default_str();
  app.add_option("--max-connections-per-address", c.max_connections_per_address,
                 "Connections from one address before new ones are turned away (0: half of all)")
      ->capture_default_str();
  app.add_option("--max-transport-mib", c.max_transport_mib,
                 "Memory of all connections and of messages that have not come in whole")
      ->capture_default_str();
  app.add_option("--max-unread-mib", c.max_unread_mib,
                 "Answers that have not been read before those who do not read are cancelled")
      ->capture_default_str();
  app.add_option("--retention-hours", c.retention_hours,
                 "How long finished transactions stay queryable, in hours of running (0: no bound)")
      ->capture_default_str();
  app.add_option("--retention-mib", c.retention_mib,
                 "Size of the log beyond which the oldest finished ones go (0: no bound)")
      ->capture_default_str();
  app.add_option("--reserve-mib", c.reserve_mib,
                 "Disk space set aside for ending what has begun when the disk is full")
      ->capture_default_str();
  app.add_option("--drain-seconds", c.drain_seconds,
                 "How long SIGTERM waits for transactions under way")
      ->capture_default_str();
  app.add_option("--keepalive-seconds", c.keepalive_seconds,
                 "How often a silent connection is probed")
      ->capture_default_str();
  app.add_option(
         "--self-dial-seconds", c.self_dial_seconds,
         "How often the daemon dials itself, to notice that it cannot be reached (0: never)")
      ->capture_default_str();
  app.add_flag("--reflection", c.reflection, "Answer gRPC reflection (--reflection=false: do not)")
      ->capture_default_str();
  app.add_option("--log-level", c.log_level, "debug, info, warn or error")->capture_default_str();
  app.add_option("--log-format", c.log_format, "text or json, on stderr")->capture_default_str();
}

// The environment as if it had been typed before the flags: a flag, given later, wins; the file
// fills only what neither gave.
std::vector<std::string> EnvironmentArguments(const CLI::App& app,
                                              std::set<std::string>& from_environment) {
  std::vector<std::string> arguments;
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_single_name();
    if (name == "help" || name == "version" || name == "check-config" || name == "show-config")
      continue;
    const char* value = std::getenv(EnvironmentName(name).c_str());
    if (value == nullptr || *value == 0) continue;
    arguments.push_back("--" + name + "=" + value);
    from_environment.insert(name);
  }
  return arguments;
}

// A line of the configuration file that cannot be taken; its message begins with the line's number.
class BadLine final : public CLI::ParseError {
 public:
  explicit BadLine(const std::string& what)
      : ParseError("BadLine", what, CLI::ExitCodes::ConfigError) {}
};

// CLI11's own reader skips what it does not understand, so that a file of garbage is an empty one
// to it. Ours does not.
class StrictFile final : public CLI::Config {
 public:
  explicit StrictFile(std::set<std::string> known) : known_(std::move(known)) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const std::string text{std::istreambuf_iterator<char>(input), {}};
    const auto settings = ReadConfigFile(text, known_);
    if (!settings.ok()) throw BadLine(settings.status().message());
    std::vector<CLI::ConfigItem> found;
    for (const auto& [name, setting] : *settings) {
      if (!setting.values.empty()) found.push_back({{}, name, setting.values});
    }
    return found;
  }

 private:
  const std::set<std::string> known_;
};

// Where a line is wrong, the file is named before it.
std::string WhatIsWrong(const CLI::ParseError& error, const CLI::App& app) {
  if (dynamic_cast<const BadLine*>(&error) == nullptr) return error.what();
  const CLI::Option* file = app.get_config_ptr();
  const std::string where = file->empty() ? "the configuration file" : file->results().back();
  return where + ":" + error.what();
}

Status CheckBetween(std::int64_t value, std::int64_t least, std::int64_t most,
                    const std::string& name) {
  if (value >= least && value <= most) return OkStatus();
  return InvalidArgument(name + " is " + std::to_string(value) + ": it takes " +
                         std::to_string(least) + " to " + std::to_string(most));
}

bool IsLoopback(const std::string& address) {
  return address.rfind("127.", 0) == 0 || address.rfind("localhost:", 0) == 0 ||
         address.rfind("[::1]:", 0) == 0 || address.rfind("unix:", 0) == 0;
}

}  // namespace

Status Config::Validate() const {
  if (listen.rfind("unix:", 0) != 0) {
    const std::size_t colon = listen.rfind(':');
    const std::string host = listen.substr(0, std::min(colon, listen.size()));
    if (host.find(':') != std::string::npos && (host.front() != '[' || host.back() != ']')) {
      return InvalidArgument("listen is \"" + listen + "\": an IPv6 address stands in brackets, [" +
                             host + "]:" + listen.substr(colon + 1));
    }
    const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
    const bool digits =
        !port.empty() && port.size() <= 5 &&
        std::all_of(port.begin(), port.end(), [](char ch) { return ch >= '0' && ch <= '9'; });
    if (colon == 0 || !digits || std::stoi(port) > 65535) {
      return InvalidArgument("listen is \"" + listen +
                             "\": it takes HOST:PORT, such as 127.0.0.1:7400, or unix:PATH");
    }
  }
  if (!IsLoopback(listen) && !allow_insecure) {
    return InvalidArgument("listen is " + listen +
                           ", which others can reach, and there is no TLS: use a loopback address, "
                           "or say --allow-insecure "
                           "if the network is trusted");
  }
  if (data.empty()) return InvalidArgument("data is empty: it takes the folder of the log");
  for (const std::string& entry : unary) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || !IsHostAndPort(std::string_view(entry).substr(equals + 1))) {
      return InvalidArgument("unary is \"" + entry +
                             "\": it takes NAME=HOST:PORT, with a port from 1 to 65535");
    }
    const Status named = core::CheckServiceName(entry.substr(0, equals), "unary");
    if (!named.ok()) return named;
  }
  for (const Status& status :
       {CheckBetween(static_cast<std::int64_t>(shards), 1, 64, "shards"),
        CheckBetween(static_cast<std::int64_t>(unary_max_in_flight), 1, 65'536,
                     "unary-max-in-flight"),
        CheckBetween(static_cast<std::int64_t>(max_transactions), 1, 10'000'000,
                     "max-transactions"),
        CheckBetween(static_cast<std::int64_t>(max_payload_mib), 16, 1024 * 1024,
                     "max-payload-mib"),
        CheckBetween(static_cast<std::int64_t>(max_sessions), 1, 100'000, "max-sessions"),
        CheckBetween(static_cast<std::int64_t>(max_connections), 1, 1'000'000, "max-connections"),
        CheckBetween(static_cast<std::int64_t>(max_connections_per_address), 0, 1'000'000,
                     "max-connections-per-address"),
        CheckBetween(static_cast<std::int64_t>(max_transport_mib), 64, 1024 * 1024,
                     "max-transport-mib"),
        CheckBetween(static_cast<std::int64_t>(max_unread_mib), 16, 1024 * 1024, "max-unread-mib"),
        CheckBetween(retention_hours, 0, 24 * 3650, "retention-hours"),
        CheckBetween(retention_mib, 0, 1024 * 1024, "retention-mib"),
        CheckBetween(reserve_mib, 0, 65'536, "reserve-mib"),
        CheckBetween(drain_seconds, 0, 3600, "drain-seconds"),
        CheckBetween(keepalive_seconds, 1, 3600, "keepalive-seconds"),
        CheckBetween(self_dial_seconds, 0, 3600, "self-dial-seconds")}) {
    if (!status.ok()) return status;
  }
  // Each shard has its part: one transaction of the largest size has to fit.
  const std::size_t least_payload_mib = shards * (limits::kMaxTransactionBytes >> 20);
  if (max_payload_mib < least_payload_mib) {
    return InvalidArgument("max-payload-mib is " + std::to_string(max_payload_mib) + ": with " +
                           std::to_string(shards) + " shards it takes at least " +
                           std::to_string(least_payload_mib) +
                           ", so that one transaction of the largest size fits");
  }
  if (reserve_mib != 0 && reserve_mib < kLeastReserveMib) {
    return InvalidArgument("reserve-mib is " + std::to_string(reserve_mib) +
                           ": it takes 0 (none), or at least " + std::to_string(kLeastReserveMib) +
                           ", which moving the WAL into the database may need");
  }
  const std::set<std::string> levels{"debug", "info", "warn", "error"};
  if (levels.count(log_level) == 0)
    return InvalidArgument("log-level is \"" + log_level +
                           "\": it takes debug, info, warn or error");
  if (log_format != "text" && log_format != "json")
    return InvalidArgument("log-format is \"" + log_format + "\": it takes text or json");
  return OkStatus();
}

std::map<std::string, std::vector<std::string>> Config::UnaryServices() const {
  std::map<std::string, std::vector<std::string>> services;
  for (const std::string& entry : unary) {
    const std::size_t equals = entry.find('=');
    services[entry.substr(0, equals)].push_back(entry.substr(equals + 1));
  }
  return services;
}

ParsedConfig ParseConfig(int argc, const char* const* argv) {
  ParsedConfig parsed;
  Config& config = parsed.config;
  CLI::App app("assentd, the Assent transaction coordinator", "assentd");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  AddOptions(app, config);
  app.get_option("--unary")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  std::set<std::string> settings;
  for (const CLI::Option* option :
       app.get_options([](const CLI::Option* candidate) { return candidate->get_configurable(); }))
    settings.insert(option->get_single_name());
  app.set_config("--config", "", "File with settings, one `name = value` a line");
  app.config_formatter(std::make_shared<StrictFile>(std::move(settings)));
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--check-config", config.check_only, "Check the settings, say so, and exit")
      ->configurable(false);
  app.add_flag("--show-config", config.show, "Print every setting and where it came from, and exit")
      ->configurable(false);
  app.set_version_flag("--version", std::string("assentd ") + kVersion);
  app.footer(kFooter);

  std::set<std::string> from_environment;
  std::vector<std::string> arguments = EnvironmentArguments(app, from_environment);
  std::set<std::string> typed;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    arguments.push_back(argument);
    if (argument.rfind("--", 0) == 0)
      typed.insert(argument.substr(
          2, argument.find('=') == std::string::npos ? argument.npos : argument.find('=') - 2));
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    parsed.exit = true;
    parsed.exit_code = error.get_exit_code() == 0 ? app.exit(error) : 2;
    if (parsed.exit_code != 0)
      std::cerr << "assentd: " << WhatIsWrong(error, app) << "\nTry: assentd --help\n";
    return parsed;
  }
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_single_name();
    config.sources[name] = typed.count(name) != 0              ? "flag"
                           : from_environment.count(name) != 0 ? "environment"
                           : option->count() > 0               ? "file"
                                                               : "default";
  }
  const Status valid = config.Validate();
  if (!valid.ok()) {
    std::cerr << "assentd: " << valid.message() << "\n";
    parsed.exit = true;
    parsed.exit_code = 2;
  } else if (config.show || config.check_only) {
    std::cout << (config.show ? ShowConfig(config) : std::string("settings are sound\n"));
    parsed.exit = true;
  }
  return parsed;
}

std::string ShowConfig(const Config& config) {
  std::string unary;
  for (const std::string& entry : config.unary)
    unary += (unary.empty() ? "" : ", ") + QuoteForConfigFile(entry);
  const std::vector<std::pair<std::string, std::string>> values{
      {"listen", config.listen},
      {"allow-insecure", config.allow_insecure ? "true" : "false"},
      {"data", config.data},
      {"unary", unary},
      {"unary-max-in-flight", std::to_string(config.unary_max_in_flight)},
      {"shards", std::to_string(config.shards)},
      {"max-transactions", std::to_string(config.max_transactions)},
      {"max-payload-mib", std::to_string(config.max_payload_mib)},
      {"max-sessions", std::to_string(config.max_sessions)},
      {"max-connections", std::to_string(config.max_connections)},
      {"max-connections-per-address", std::to_string(config.max_connections_per_address)},
      {"max-transport-mib", std::to_string(config.max_transport_mib)},
      {"max-unread-mib", std::to_string(config.max_unread_mib)},
      {"retention-hours", std::to_string(config.retention_hours)},
      {"retention-mib", std::to_string(config.retention_mib)},
      {"reserve-mib", std::to_string(config.reserve_mib)},
      {"drain-seconds", std::to_string(config.drain_seconds)},
      {"keepalive-seconds", std::to_string(config.keepalive_seconds)},
      {"self-dial-seconds", std::to_string(config.self_dial_seconds)},
      {"reflection", config.reflection ? "true" : "false"},
      {"log-level", config.log_level},
      {"log-format", config.log_format}};
  std::string text;
  for (const auto& [name, value] : values) {
    const auto source = config.sources.find(name);
    const bool list = name == "unary";
    text += name + " = " + (list ? "[" + value + "]" : QuoteForConfigFile(value)) + "  # " +
            (source == config.sources.end() ? "default" : source->second) + "\n";
  }
  return text;
}

}  // namespace assent::daemon
