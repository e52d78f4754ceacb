#pragma once

// What keeps a log alive, as values: part of command.h.

#include <string>
#include <vector>

namespace assent::ctl {

struct BackupCommand {
  std::string folder;
};

}  // namespace assent::ctl
