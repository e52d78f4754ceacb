#pragma once

// Settings that a person does not want to repeat: a small TOML file (proto/toml).
//
//   endpoint = "127.0.0.1:7400"     # keys before any section hold always
//   output   = "wide"
//   [prod]                          # --profile prod, or ASSENT_PROFILE=prod: these win over them
//   endpoint = "assent.example:7400"
//   timeout  = "30s"
//
// Keys: endpoint, timeout (of one call), output, time, tls-ca, tls-cert, tls-key, tls-server-name,
// token-file.
// Anything else is an error.

#include <functional>
#include <string>

#include <assent/status.h>

#include "tools/assentctl/command.h"

namespace assent::ctl {

using GetEnv = std::function<const char*(const char*)>;

// $XDG_CONFIG_HOME/assent/assentctl.toml, or ~/.config/assent/assentctl.toml; empty when there is
// no home.
std::string DefaultProfilePath(const GetEnv& env);

// Applies the file's settings to `options`. `text` is the file; `path` is for messages. A named
// profile that is not there is an error.
Status ApplyProfile(const std::string& text, const std::string& path, const std::string& profile,
                    GlobalOptions& options);

bool ReadOutput(const std::string& text, Output& output);
bool ReadTimeStyle(const std::string& text, TimeStyle& time);

// "host" or "host:port" or "[v6]:port" or "unix:/path", completed with the default port.
Result<std::string> NormalEndpoint(const std::string& text);
// The same of several, with commas between.
Result<std::string> NormalEndpoints(const std::string& text);

}  // namespace assent::ctl
