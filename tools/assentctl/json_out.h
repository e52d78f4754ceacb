#pragma once

// Messages as JSON (proto/json) and YAML, as this program writes them.

#include <string>

#include "proto/json/json.h"

namespace assent::ctl {

using json::Json;
using json::ToJson;
using JsonOptions = json::Options;

// Indented by two; ends with a line feed.
inline std::string PrettyJson(const Json& value) { return json::Dump(value, 2) + "\n"; }
// On one line; ends with a line feed.
inline std::string LineJson(const Json& value) { return json::Dump(value, -1) + "\n"; }
// Block style YAML 1.2 of the same document; strings that could be taken for anything else are
// quoted.
std::string Yaml(const Json& value);

}  // namespace assent::ctl
