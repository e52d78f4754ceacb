#pragma once

// Part of command.h.

#include <string>

namespace assent::ctl {

// What every mutation takes.
struct Intent {
  std::string reason;
  std::string who;  // empty: user@host
  bool dry_run = false;
  bool yes = false;
};

}  // namespace assent::ctl
