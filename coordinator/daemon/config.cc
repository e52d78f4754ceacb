#include "coordinator/daemon/config.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include <CLI/CLI.hpp>

#include <assent/limits.h>
#include <assent/overload.h>

#include "coordinator/base/read_file.h"
#include "coordinator/daemon/auth.h"
#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config_checks.h"
#include "coordinator/daemon/etcd.h"
#include "coordinator/daemon/pacing.h"
#include "coordinator/daemon/participants.h"
#include "coordinator/daemon/sealing.h"
#include "coordinator/daemon/settings.h"
#include "coordinator/daemon/tracing.h"
#include "coordinator/daemon/version.h"
#include "coordinator/daemon/webhook.h"
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

// ---- A setting's value, to text and back --------------------------------------------------------

std::string Text(const Config& config, const Setting& setting) {
  return std::visit(
      Overload{[&](std::string Config::*field) { return config.*field; },
               [&](bool Config::*field) { return std::string(config.*field ? "true" : "false"); },
               [&](std::int64_t Config::*field) { return std::to_string(config.*field); },
               [&](double Config::*field) { return TomlNumber(config.*field); },
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
                             [&](double Config::*field) {
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
  if (const auto* number = std::get_if<double Config::*>(&setting.field)) {
    const double value = config.**number;
    const bool within = value >= static_cast<double>(setting.least) &&
                        value <= static_cast<double>(setting.most);  // and is a number
    if (!within)
      return InvalidArgument(setting.name + (" is " + TomlNumber(value)) + Bounds(setting));
  }
  return setting.check == nullptr ? OkStatus() : setting.check(config);
}

// ---- Where values come from ---------------------------------------------------------------------

const char* TypeName(const Setting& setting) {
  if (std::holds_alternative<std::int64_t Config::*>(setting.field)) return "INT";
  return std::holds_alternative<double Config::*>(setting.field) ? "FLOAT" : "TEXT";
}

CLI::Option* AddOption(CLI::App& app, const Setting& setting) {
  const std::string flag = std::string("--") + setting.name;
  const std::string help = setting.help;
  if (std::holds_alternative<bool Config::*>(setting.field)) return app.add_flag(flag, help);
  CLI::Option* option = app.add_option(
      flag, [](const CLI::results_t&) { return true; }, help);
  option->type_name(TypeName(setting));
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
  return value == nullptr || (*value == 0 && !setting.file) ? nullptr : value;
}

// By name.
Result<std::map<std::string, TomlEntry>> ReadFile(const std::string& path) {
  std::map<std::string, TomlEntry> settings;
  if (path.empty()) return settings;
  const Result<std::string> text = base::ReadAtMost(path, kMaxConfigFileBytes);
  if (!text.ok()) return InvalidArgument("cannot read the file " + path);
  if (text->size() > kMaxConfigFileBytes)
    return InvalidArgument(path + " has more than " + std::to_string(kMaxConfigFileBytes) +
                           " bytes");
  auto read = ReadToml(*text, path);
  if (!read.ok()) return read.status();
  for (TomlEntry& entry : *read) {
    const std::string place = path + ":" + std::to_string(entry.line) + ": ";
    if (entry.name.empty())
      return InvalidArgument(place + "[" + entry.section + "]: there are no sections");
    const std::span<const Setting> all = Settings();
    const auto setting = std::find_if(all.begin(), all.end(),
                                      [&](const Setting& one) { return one.name == entry.name; });
    if (setting == all.end()) return InvalidArgument(place + entry.name + " is no setting");
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
  for (const Setting& setting : Settings()) {
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

std::string Config::PeerCa() const { return tls_peer_ca.empty() ? tls_client_ca : tls_peer_ca; }

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

// What the settings name is looked at as a start would: nothing is opened or sent by it.
Status CheckFiles(const Config& config) {
  security::Guard unused;
  Status status = EnforceRules(config, unused);
  if (status.ok()) status = ReadEncryptionKeys(config).status();
  if (!status.ok()) return status;
  const auto certificates = Certificates::Open(config);
  if (!certificates.ok()) return certificates.status();
  status = OpenWebhook(config, **certificates).status();
  if (status.ok()) status = OpenTracing(config, **certificates).status();
  if (status.ok()) status = ReadUnarySecrets(config).status();
  if (status.ok()) status = ReadEtcdPassword(config).status();
  if (status.ok()) status = ReadServicePolicies(config).status();
  return status;
}

// Says nothing.
ParsedConfig Parse(int argc, const char* const* argv) {
  CLI::App app("assentd, the Assent transaction coordinator", "assentd");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  std::vector<CLI::Option*> options;
  for (const Setting& setting : Settings()) options.push_back(AddOption(app, setting));
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
    const Setting& setting = Settings()[i];
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
    // A variable of a script that is not set. In the file it is what --show-config writes for none.
    if (setting.file && values.back().empty() && source != "file") {
      return Refused(std::string(setting.name) + " is \"\", from the " + source +
                     ": it takes the name of a file; for none leave it out");
    }
    const Status set = Set(setting, values, config);
    if (!set.ok()) return Refused(places[setting.name] + set.message());
  }
  for (const Setting& setting : Settings()) {
    const Status sound = Check(setting, config);
    if (!sound.ok()) return Refused(places[setting.name] + sound.message());
  }
  if (asked.check) {
    if (const Status files = CheckFiles(config); !files.ok()) return Refused(files.message());
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
  for (const Setting& setting : Settings()) {
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
  for (const Setting& setting : Settings()) {
    const auto source = config.sources.find(setting.name);
    all.push_back({setting.name, FileValue(config, setting),
                   source == config.sources.end() ? "default" : source->second, setting.at_once});
  }
  return all;
}

std::string ShowConfig(const Config& config) {
  std::string text;
  for (const Setting& setting : Settings()) {
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
  for (const Setting& setting : Settings()) {
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
