#include "coordinator/daemon/config.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>
#include <utility>
#include <variant>

#include <CLI/CLI.hpp>

#include <assent/limits.h>
#include <assent/overload.h>

#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/version.h"
#include "proto/manual/man_page.h"
#include "proto/manual/wrap.h"
#include "proto/toml/read_toml.h"

namespace assent::daemon {
namespace {

constexpr const char* kFooter =
    R"(Every setting can be given as a flag, in the environment (ASSENT_LISTEN for --listen) or in
the file of --config (listen = "…"), in this order of precedence.

Exit codes:
  0   stopped as asked
  2   wrong settings
  65  the log is damaged, a file of it is missing, shortened or another's, or it is of a newer
      format (the message names file, table and row)
  69  the address is in use, or not this machine's
  70  it did not answer when it dialled itself
  73  the data folder cannot be used, or another assentd uses it or has taken it over; or the
      database does not let this one in, or is not set as it has to be
  74  an I/O error on the log: it stopped at once, and learns at the next start what is true; or a
      database that did not answer at the start
  75  others that share the log have taken this one's transactions over; start it again
  76  the shared log has lost what it had acknowledged (a fail-over of the database): it stopped at
      once; see docs/cluster.md

Example:
  assentd --data /var/lib/assent --listen 127.0.0.1:7400 --unary billing=127.0.0.1:9000)";

// ---- The table ----------------------------------------------------------------------------------

using Field = std::variant<std::string Config::*, bool Config::*, std::int64_t Config::*,
                           std::vector<std::string> Config::*>;

struct Setting {
  const char* name;  // --name, ASSENT_NAME, and `name = ` in the file
  Field field;
  std::int64_t least, most;  // of a number
  Status (*check)(const Config&);
  const char* help;      // meaning, unit and consequence; docs/operating.md says the same
  bool at_once = false;  // SIGHUP changes it; any other wants a restart
};

constexpr Setting AtOnce(Setting setting) {
  setting.at_once = true;
  return setting;
}

constexpr Setting Of(const char* name, Field field, const char* help,
                     Status (*check)(const Config&) = nullptr) {
  return {name, field, 0, 0, check, help};
}

constexpr Setting Number(const char* name, std::int64_t Config::*field, std::int64_t least,
                         std::int64_t most, const char* help,
                         Status (*check)(const Config&) = nullptr) {
  return {name, field, least, most, check, help};
}

constexpr std::int64_t kTebibyteMib = 1024 * 1024;

constexpr Setting kSettings[] = {
    Of("listen", &Config::listen,
       "Address for everybody: HOST:PORT or unix:PATH; port 0 takes a free one, the card says "
       "which",
       CheckListen),
    Of("http-listen", &Config::http_listen,
       "Address for HTTP: HOST:PORT, port 0 takes a free one; empty or none: no HTTP",
       CheckHttpListen),
    Of("allow-insecure", &Config::allow_insecure, "Listen where others can reach it, without TLS"),
    Of("data", &Config::data, "Folder of the log; created if missing; one daemon at a time",
       CheckData),
    Of("log", &Config::log,
       "Where the log is: sqlite:FOLDER, or postgresql://USER@HOST:PORT/DATABASE, which several "
       "coordinators share; none: the folder of --data",
       CheckLog),
    Of("advertise", &Config::advertise,
       "HOST:PORT at which participants and other coordinators reach this one; none: what --listen "
       "says. With PostgreSQL alone, like the next four",
       CheckAdvertise),
    Of("node", &Config::node,
       "Name of this coordinator among those that share the log, the same at each start; none: "
       "what --advertise says. A start under a name ends whoever else has it",
       CheckNode),
    Number("lease-seconds", &Config::lease_seconds, 1, 60,
           "How long a coordinator may be silent before the others take its transactions over"),
    Number("new-log-slots", &Config::new_log_slots, 1, 1024,
           "Parts into which a new log is divided, for ever: each belongs to one coordinator"),
    Of("store-failover", &Config::store_failover,
       "detect: after another server has taken over for the shared database, nothing is presumed "
       "about "
       "what began before; lossless: it is, if the server has synchronous standbys",
       CheckStoreFailover),
    Of("unary", &Config::unary,
       "NAME=HOST:PORT of a participant that is dialled; repeat it for more services or more "
       "instances",
       CheckUnary),
    Number("unary-max-in-flight", &Config::unary_max_in_flight, 1, 65'536,
           "Calls under way to one dialled address"),
    Of("webhook-url", &Config::webhook_url,
       "http://HOST:PORT/PATH that is told of transactions that begin to need a person, or end "
       "MIXED or HAZARD; none: nobody is",
       CheckWebhookUrl),
    Of("webhook-secret-file", &Config::webhook_secret_file,
       "File with the secret, of 16 to 4096 bytes, with which what is told is signed; none: there "
       "is no webhook"),
    Number("shards", &Config::shards, 1, 64,
           "Threads that drive transactions; more pays only with cores to spare"),
    Number("max-transactions", &Config::max_transactions, 1, 10'000'000,
           "Unfinished transactions; beyond it new ones are refused"),
    Number("max-payload-mib", &Config::max_payload_mib, 16, kTebibyteMib,
           "Payloads and results of unfinished transactions in memory; beyond it new work is "
           "refused. At least 16, and 3 for each shard",
           CheckPayload),
    Number("max-sessions", &Config::max_sessions, 1, 100'000,
           "Connected participant instances; beyond it new ones are refused"),
    AtOnce(Number(
        "max-connections", &Config::max_connections, 1, 1'000'000,
        "Connections; at most what the limit on open files leaves. Beyond it whoever comes is "
        "turned away. SIGHUP changes it")),
    AtOnce(Number("max-connections-per-address", &Config::max_connections_per_address, 0, 1'000'000,
                  "Connections from one address; 0: half of all. SIGHUP changes it")),
    Number("max-http-connections", &Config::max_http_connections, 1, 1'000'000,
           "Connections of HTTP, half of them from one address; at most a quarter of the limit on "
           "open files. Beyond it whoever comes is told so"),
    Number("max-transport-mib", &Config::max_transport_mib, 64, kTebibyteMib,
           "What gRPC holds for all connections, messages that have not come in whole among it; "
           "beyond it calls are cancelled"),
    Number("max-unread-mib", &Config::max_unread_mib, 16, kTebibyteMib,
           "Answers that nobody has read yet; beyond it those who do not read are cancelled"),
    Number("retention-hours", &Config::retention_hours, 0, 24 * 3650,
           "How long finished transactions stay queryable, in hours that the daemon has run; 0: no "
           "bound"),
    Number("retention-mib", &Config::retention_mib, 0, kTebibyteMib,
           "Size of the log beyond which the oldest finished ones go; 0: no bound"),
    Number("reserve-mib", &Config::reserve_mib, 0, 65'536,
           "Disk space set aside for a full disk; 0 (none) or at least 8", CheckReserve),
    AtOnce(Number(
        "drain-seconds", &Config::drain_seconds, 0, 3600,
        "How long SIGTERM waits for transactions under way; never for one that can only wait "
        "for a participant that is away. SIGHUP changes it")),
    Number("keepalive-seconds", &Config::keepalive_seconds, 1, 3600,
           "How often a silent connection is probed; given up when the probe has no answer for two "
           "thirds of it. Clients may probe three times as often"),
    Number("self-dial-seconds", &Config::self_dial_seconds, 0, 3600,
           "How often the daemon dials itself; 0: never"),
    Of("reflection", &Config::reflection, "Answer gRPC reflection; --reflection=false: do not"),
    AtOnce(Of("log-level", &Config::log_level, "debug, info, warn or error. SIGHUP changes it",
              CheckLogLevel)),
    Of("log-format", &Config::log_format, "text or json, on stderr", CheckLogFormat),
};

// ---- A setting's value, to text and back --------------------------------------------------------

std::string Text(const Config& config, const Setting& setting) {
  return std::visit(
      Overload{[&](std::string Config::*field) { return config.*field; },
               [&](bool Config::*field) { return std::string(config.*field ? "true" : "false"); },
               [&](std::int64_t Config::*field) { return std::to_string(config.*field); },
               [&](std::vector<std::string> Config::*field) {
                 std::string list;
                 for (const std::string& entry : config.*field)
                   list += (list.empty() ? "" : ", ") + Quoted(entry);
                 return list;
               }},
      setting.field);
}

std::string Bounds(const Setting& setting) {
  return ": it takes " + std::to_string(setting.least) + " to " + std::to_string(setting.most);
}

// Of several values the last counts, unless it is a list.
Status Set(const Setting& setting, const std::vector<std::string>& values, Config& config) {
  const std::string& last = values.back();
  const auto wrong = [&](const std::string& what) {
    return InvalidArgument(std::string(setting.name) + " is " + Quoted(last) + what);
  };
  return std::visit(Overload{[&](std::string Config::*field) {
                               config.*field = last;
                               return OkStatus();
                             },
                             [&](bool Config::*field) {
                               try {
                                 config.*field = CLI::detail::to_flag_value(last) > 0;
                                 return OkStatus();
                               } catch (const std::exception&) {
                                 return wrong(": it takes true or false");
                               }
                             },
                             [&](std::int64_t Config::*field) {
                               return CLI::detail::lexical_cast(last, config.*field)
                                          ? OkStatus()
                                          : wrong(Bounds(setting));
                             },
                             [&](std::vector<std::string> Config::*field) {
                               for (const std::string& value : values) {
                                 for (std::string& entry : CLI::detail::split(value, ','))
                                   (config.*field).push_back(std::move(entry));
                               }
                               return OkStatus();
                             }},
                    setting.field);
}

Status Check(const Setting& setting, const Config& config) {
  if (const auto* number = std::get_if<std::int64_t Config::*>(&setting.field)) {
    const std::int64_t value = config.**number;
    if (value < setting.least || value > setting.most)
      return InvalidArgument(setting.name + (" is " + std::to_string(value)) + Bounds(setting));
  }
  return setting.check == nullptr ? OkStatus() : setting.check(config);
}

// ---- Where values come from ---------------------------------------------------------------------

CLI::Option* AddOption(CLI::App& app, const Setting& setting) {
  const std::string flag = std::string("--") + setting.name;
  const std::string help = setting.help;
  if (std::holds_alternative<bool Config::*>(setting.field)) return app.add_flag(flag, help);
  CLI::Option* option = app.add_option(
      flag, [](const CLI::results_t&) { return true; }, help);
  option->type_name(std::holds_alternative<std::int64_t Config::*>(setting.field) ? "INT" : "TEXT");
  if (std::holds_alternative<std::vector<std::string> Config::*>(setting.field))
    return option->expected(-1);
  return option->default_str(Text(Config(), setting));
}

const char* Environment(const Setting& setting) {
  std::string name = std::string("ASSENT_") + setting.name;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  const char* value = std::getenv(name.c_str());
  return value == nullptr || *value == 0 ? nullptr : value;
}

// By name.
Result<std::map<std::string, TomlEntry>> ReadFile(const std::string& path) {
  std::map<std::string, TomlEntry> settings;
  if (path.empty()) return settings;
  std::ifstream file(path);
  file.peek();  // which a folder cannot do
  if (!file.is_open() || file.bad()) return InvalidArgument("cannot read the file " + path);
  std::ostringstream text;
  text << file.rdbuf();
  auto read = ReadToml(text.str(), path);
  if (!read.ok()) return read.status();
  for (TomlEntry& entry : *read) {
    const std::string place = path + ":" + std::to_string(entry.line) + ": ";
    if (entry.name.empty())
      return InvalidArgument(place + "[" + entry.section + "]: there are no sections");
    const auto* const setting =
        std::find_if(std::begin(kSettings), std::end(kSettings),
                     [&](const Setting& one) { return one.name == entry.name; });
    if (setting == std::end(kSettings))
      return InvalidArgument(place + entry.name + " is no setting");
    if (entry.kind == TomlKind::kList &&
        !std::holds_alternative<std::vector<std::string> Config::*>(setting->field))
      return InvalidArgument(place + entry.name + " takes one value, not a list");
    if (!entry.values.empty()) settings.emplace(entry.name, std::move(entry));
  }
  return settings;
}

ParsedConfig Refused(const std::string& why) { return {{}, true, 2, why}; }

// What a call that does not run the daemon wants printed.
struct Asked {
  bool check = false, show = false, file = false, man = false;

  void AddTo(CLI::App& app) {
    app.add_flag("--check-config", check, "Check the settings, say so, and exit");
    app.add_flag("--show-config", show, "Print every setting and where it came from, and exit");
    app.add_flag("--print-config", file,
                 "Print a file for --config that explains every setting, those that are at their "
                 "default as comments, and exit");
    app.add_flag("--man", man, "Print the manual page, for man(1), and exit");
  }
  bool any() const { return check || show || file; }
  std::string Answer(const Config& config) const {
    if (file) return ConfigFile(config);
    return show ? ShowConfig(config) : "settings are sound\n";
  }
};

constexpr std::size_t kFileColumns = 100;

// In TOML, as it stands.
std::string FileValue(const Config& config, const Setting& setting) {
  const std::string text = Text(config, setting);
  if (std::holds_alternative<std::vector<std::string> Config::*>(setting.field))
    return "[" + text + "]";
  return std::holds_alternative<std::string Config::*>(setting.field) ? Quoted(text) : text;
}

constexpr const char* kTryHelp = "\nTry: assentd --help";

}  // namespace

Status Config::Validate() const {
  for (const Setting& setting : kSettings) {
    Status status = Check(setting, *this);
    if (!status.ok()) return status;
  }
  return OkStatus();
}

LogPlace Config::Place() const {
  constexpr std::string_view kSqlite = "sqlite:";
  if (log.empty()) return {.sqlite_folder = data};
  if (log.rfind(kSqlite, 0) == 0) return {.sqlite_folder = log.substr(kSqlite.size())};
  return {.postgresql = log};
}

std::string Config::AdvertisedAddress() const { return advertise.empty() ? listen : advertise; }

std::string Config::NodeName() const { return node.empty() ? AdvertisedAddress() : node; }

std::map<std::string, std::vector<std::string>> Config::UnaryServices() const {
  std::map<std::string, std::vector<std::string>> services;
  for (const std::string& entry : unary) {
    const std::size_t equals = entry.find('=');
    services[entry.substr(0, equals)].push_back(entry.substr(equals + 1));
  }
  return services;
}

namespace {

// Says nothing.
ParsedConfig Parse(int argc, const char* const* argv) {
  CLI::App app("assentd, the Assent transaction coordinator", "assentd");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  std::array<CLI::Option*, std::size(kSettings)> options{};
  for (std::size_t i = 0; i < options.size(); ++i) options[i] = AddOption(app, kSettings[i]);
  std::string path;
  app.add_option("--config", path, "File with settings, in TOML")->envname("ASSENT_CONFIG");
  Asked asked;
  asked.AddTo(app);
  app.set_version_flag("--version", std::string("assentd ") + kVersion);
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return {{}, true, app.exit(error)};
    return Refused(error.what() + std::string(kTryHelp));
  }
  if (asked.man) {
    std::cout << ManPage(app, {8, kVersion, ManDate(), "assentctl(1)"});
    return {{}, true, 0};
  }
  const auto file = ReadFile(path);
  if (!file.ok()) return Refused(file.status().message() + kTryHelp);

  ParsedConfig parsed;
  Config& config = parsed.config;
  config.file = path;
  std::map<std::string, std::string> places;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const Setting& setting = kSettings[i];
    const auto in_file = file->find(setting.name);
    std::vector<std::string> values = options[i]->results();
    std::string& source = config.sources[setting.name];
    source = "flag";
    if (const char* environment = Environment(setting); values.empty() && environment != nullptr) {
      source = "environment";
      values.emplace_back(environment);
    } else if (values.empty() && in_file != file->end()) {
      source = "file";
      values = in_file->second.values;
      places[setting.name] = path + ":" + std::to_string(in_file->second.line) + ": ";
    }
    if (values.empty()) {
      source = "default";
      continue;
    }
    const Status set = Set(setting, values, config);
    if (!set.ok()) return Refused(places[setting.name] + set.message());
  }
  for (const Setting& setting : kSettings) {
    const Status sound = Check(setting, config);
    if (!sound.ok()) return Refused(places[setting.name] + sound.message());
  }
  if (asked.any()) {
    std::cout << asked.Answer(config);
    parsed.exit = true;
  }
  return parsed;
}

}  // namespace

ParsedConfig ParseConfig(int argc, const char* const* argv) {
  ParsedConfig parsed = Parse(argc, argv);
  if (!parsed.refused.empty()) std::cerr << "assentd: " << parsed.refused << "\n";
  return parsed;
}

Result<Config> ReadAgain(int argc, const char* const* argv) {
  ParsedConfig parsed = Parse(argc, argv);
  if (parsed.refused.empty()) return std::move(parsed.config);
  return InvalidArgument(parsed.refused.substr(0, parsed.refused.find('\n')));
}

std::vector<ChangedSetting> TakeUp(Config& config, const Config& read) {
  std::vector<ChangedSetting> changed;
  for (const Setting& setting : kSettings) {
    const std::string was = Text(config, setting);
    const std::string is = Text(read, setting);
    if (was == is) continue;
    changed.push_back({setting.name, was, is, setting.at_once});
    if (!setting.at_once) continue;
    std::visit([&](auto field) { config.*field = read.*field; }, setting.field);
    config.sources[setting.name] = read.sources.at(setting.name);
  }
  return changed;
}

std::vector<SettingNow> SettingsNow(const Config& config) {
  std::vector<SettingNow> all;
  for (const Setting& setting : kSettings) {
    const auto source = config.sources.find(setting.name);
    all.push_back({setting.name, FileValue(config, setting),
                   source == config.sources.end() ? "default" : source->second, setting.at_once});
  }
  return all;
}

std::string ShowConfig(const Config& config) {
  std::string text;
  for (const Setting& setting : kSettings) {
    const std::string value = Text(config, setting);
    const auto source = config.sources.find(setting.name);
    const bool list = std::holds_alternative<std::vector<std::string> Config::*>(setting.field);
    text += std::string(setting.name) + " = " + (list ? "[" + value + "]" : Quoted(value)) +
            "  # " + (source == config.sources.end() ? "default" : source->second) + "\n";
  }
  return text;
}

std::string ConfigFile(const Config& config) {
  std::string text =
      std::string("# Settings of assentd ") + kVersion +
      ". The environment (ASSENT_LISTEN for listen) and flags go before them. What begins\n"
      "# with #name is at its default. `assentd --config FILE --check-config` checks this file.\n";
  for (const Setting& setting : kSettings) {
    std::istringstream help(Wrap(setting.help, kFileColumns - 2));
    text += "\n";
    for (std::string line; std::getline(help, line);) text += "# " + line + "\n";
    const auto source = config.sources.find(setting.name);
    const bool given = source != config.sources.end() && source->second != "default";
    text +=
        (given ? "" : "#") + std::string(setting.name) + " = " + FileValue(config, setting) + "\n";
  }
  return text;
}

}  // namespace assent::daemon
