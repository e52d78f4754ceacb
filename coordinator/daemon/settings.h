#pragma once

// What a setting is, and the table of all of them: the flags, the environment, the file, the help
// and the checks are made of its rows.

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <assent/status.h>

#include "coordinator/daemon/config.h"

namespace assent::daemon {

using Field = std::variant<std::string Config::*, bool Config::*, std::int64_t Config::*,
                           double Config::*, std::vector<std::string> Config::*>;

struct Setting {
  const char* name;  // --name, ASSENT_NAME, and `name = ` in the file
  Field field;
  std::int64_t least, most;  // of a number
  Status (*check)(const Config&);
  const char* help;      // meaning, unit and consequence; docs/operating.md says the same
  bool at_once = false;  // SIGHUP changes it; any other wants a restart
  bool file = false;     // the name of one: given and empty it is a mistake, and not none
};

// In the order in which people see them.
std::span<const Setting> Settings();

}  // namespace assent::daemon
