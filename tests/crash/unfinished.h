#pragma once

#include <chrono>
#include <sstream>
#include <string>

#include "tests/support/process.h"

namespace assent::crash {

// Unfinished transactions, as the operator's tool counts them; -1 while nobody answers.
inline long Unfinished(const std::string& endpoint) {
  const test::Finished list =
      test::RunToEnd({.argv = {test::BinDir() + "/assentctl", "--endpoint", endpoint, "list",
                               "--all-pages", "-o", "id"}},
                     std::chrono::seconds(20));
  if (list.exit_code != 0) return -1;
  // A gid a line; remarks for people have spaces in them.
  long gids = 0;
  std::istringstream lines(list.output);
  for (std::string line; std::getline(lines, line);)
    gids += line.find(' ') == std::string::npos ? 1 : 0;
  return gids;
}

}  // namespace assent::crash
