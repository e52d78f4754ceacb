#include "tools/assentctl/profile.h"

#include <algorithm>
#include <chrono>

#include "proto/toml/read_toml.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// What is taken as it stands; nullptr: it is none of those.
std::string* TextOf(const std::string& key, GlobalOptions& options) {
  TlsFlags& tls = options.tls;
  if (key == "token-file") return &options.token.file;
  if (key == "tls-ca") return &tls.ca;
  if (key == "tls-cert") return &tls.cert;
  if (key == "tls-key") return &tls.key;
  return key == "tls-server-name" ? &tls.server_name : nullptr;
}

Status Apply(const TomlEntry& entry, GlobalOptions& options) {
  const std::string& key = entry.name;
  std::string* const text = TextOf(key, options);
  if (text == nullptr && key != "endpoint" && key != "timeout" && key != "output" && key != "time")
    return InvalidArgument("'" + key +
                           "' is not a setting; known are endpoint, timeout, output, time, tls-ca, "
                           "tls-cert, tls-key, tls-server-name, token-file");
  if (entry.kind != TomlKind::kText) return InvalidArgument(key + " takes a text in quotes");
  const std::string& value = entry.values.front();
  if (text != nullptr) {
    *text = value;
    return OkStatus();
  }
  if (key == "endpoint") {
    const Result<std::string> endpoint = NormalEndpoints(value);
    if (!endpoint.ok()) return endpoint.status();
    options.endpoint = endpoint.value();
    return OkStatus();
  }
  if (key == "timeout") {
    const Result<std::int64_t> ms = ParseDuration(value);
    if (!ms.ok()) return ms.status();
    options.call_timeout = std::chrono::milliseconds(ms.value());
    return OkStatus();
  }
  const bool known =
      key == "output" ? ReadOutput(value, options.output) : ReadTimeStyle(value, options.time);
  return known ? OkStatus() : InvalidArgument(key + " cannot be '" + value + "'");
}

}  // namespace

std::string DefaultProfilePath(const GetEnv& env) {
  const char* xdg = env("XDG_CONFIG_HOME");
  if (xdg != nullptr && *xdg != '\0') return std::string(xdg) + "/assent/assentctl.toml";
  const char* home = env("HOME");
  if (home == nullptr || *home == '\0') return "";
  return std::string(home) + "/.config/assent/assentctl.toml";
}

Status ApplyProfile(const std::string& text, const std::string& path, const std::string& profile,
                    GlobalOptions& options) {
  const auto entries = ReadToml(text, path);
  if (!entries.ok()) return entries.status();
  bool found = profile.empty();
  // What holds always first, the profile's own over it. Other profiles are checked as well, on a
  // copy.
  for (const bool general : {true, false}) {
    for (const TomlEntry& entry : *entries) {
      if (entry.section.empty() != general) continue;
      const bool chosen = general || entry.section == profile;
      found = found || (!general && chosen);
      if (entry.name.empty()) continue;
      GlobalOptions ignored;
      const Status applied = Apply(entry, chosen ? options : ignored);
      if (!applied.ok())
        return InvalidArgument(path + ":" + std::to_string(entry.line) + ": " + applied.message());
    }
  }
  return found ? OkStatus() : InvalidArgument(path + " has no profile [" + profile + "]");
}

bool ReadOutput(const std::string& text, Output& output) {
  if (text == "table")
    output = Output::kTable;
  else if (text == "wide")
    output = Output::kWide;
  else if (text == "json")
    output = Output::kJson;
  else if (text == "jsonl")
    output = Output::kJsonl;
  else if (text == "yaml")
    output = Output::kYaml;
  else if (text == "id")
    output = Output::kId;
  else
    return false;
  return true;
}

bool ReadTimeStyle(const std::string& text, TimeStyle& time) {
  if (text == "relative")
    time = TimeStyle::kRelative;
  else if (text == "iso")
    time = TimeStyle::kIso;
  else
    return false;
  return true;
}

Result<std::string> NormalEndpoint(const std::string& text) {
  const auto wrong = [&text] {
    return InvalidArgument("'" + text +
                           "' is not an address; write host, host:port, [v6]:port or "
                           "unix:/path");
  };
  // It is shown in messages, and no address has control characters.
  if (Visible(text) != text) return wrong();
  if (text.rfind("unix:", 0) == 0 && text.size() > 5) return text;
  if (text.empty() || text.find_first_of("/ \t") != std::string::npos) return wrong();
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  const bool bare_v6_or_stray_bracket =
      text.find(':') != colon || text.find_first_of("[]") != std::string::npos;
  const bool v6_without_end =
      bracket == std::string::npos || (bracket + 1 < text.size() && text[bracket + 1] != ':');
  if (text.front() == '[' ? v6_without_end : bare_v6_or_stray_bracket) return wrong();
  const bool has_port =
      colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  if (!has_port) return text + ":7400";
  const std::string port = text.substr(colon + 1);
  const bool digits =
      !port.empty() && port.size() <= 5 &&
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stoi(port) < 1 || std::stoi(port) > 65535 || colon == 0) return wrong();
  return text;
}

Result<std::string> NormalEndpoints(const std::string& text) {
  std::string all;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    const Result<std::string> one = NormalEndpoint(text.substr(begin, comma - begin));
    if (!one.ok()) return one;
    all += (all.empty() ? "" : ",") + *one;
    begin = comma + 1;
  }
  return all;
}

}  // namespace assent::ctl
