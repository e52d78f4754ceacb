#pragma once

// What keeps a log alive, as values: part of command.h.

#include <string>

#include "tools/assentctl/intent.h"

namespace assent::ctl {

struct BackupCommand {
  std::string folder;
};

struct ConfigShowCommand {
  bool changed = false;  // only what is not at its default
};

struct DebugBundleCommand {
  std::string file;
  std::string log;  // empty: without one
};

struct RestoreCommand {
  std::string backup;
  std::string data;
  Intent intent{};
};

// A row by its gid, or as "#17".
struct DoctorCommand {
  std::string data;
  std::string out;   // to go out of service
  std::string back;  // to go back
  Intent intent{};
  bool bytes = false;
};

}  // namespace assent::ctl
