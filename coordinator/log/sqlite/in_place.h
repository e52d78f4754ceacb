#pragma once

// A file that is held open is still the one that its path names: not deleted, replaced or cut.

#include <cstdint>
#include <string>

#include <assent/status.h>

namespace assent::log {

struct Place {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;  // 0: not looked at yet
  std::uint64_t bytes = 0;  // at least, unless we shorten it ourselves
};

// The first look says what it is. kDataLoss: it is not that any more, or shorter.
Status CheckInPlace(const std::string& path, Place& known);

}  // namespace assent::log
