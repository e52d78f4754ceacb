#pragma once

// What a command works with: the coordinator, the console, and how output is to look. Lives as long
// as the command.

#include <string>

#include "tools/assentctl/command.h"
#include "tools/assentctl/console.h"
#include "tools/assentctl/exit_code.h"
#include "tools/assentctl/service.h"

namespace assent::ctl {

struct Session {
  Service& service;
  Console& console;
  GlobalOptions options;
  Surroundings surroundings;

  // The style as of now.
  Style MakeStyle() const;
  // Says what failed on stderr; returns the exit code for it.
  Exit Fail(const Status& status) const;
};

// One line for people: "assentctl: not found: no transaction x; ...", with what to try where that
// is known.
std::string ErrorText(const Status& status);

}  // namespace assent::ctl
