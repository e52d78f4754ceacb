#pragma once

// The console: pages for a person's browser, which ask for everything else by /v1 and /metrics. The
// files stand in console/ and are carried inside the program.

#include <optional>
#include <string_view>
#include <vector>

#include "coordinator/http/exchange.h"

namespace assent::http {

struct ConsoleFile {
  std::string_view name;
  std::string_view hash;
  std::string_view text;
};
// Generated.
const std::vector<ConsoleFile>& ConsoleFiles();

inline constexpr std::string_view kConsolePath = "/console/";

// The answer, if it is for the console to give: its files, and the ways that lead to it.
std::optional<Answer> ConsoleAnswer(const Request& request);

}  // namespace assent::http
