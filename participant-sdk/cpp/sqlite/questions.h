#pragma once

// Which branches to ask the coordinator about: prepared ones that have waited, and barrier rows old
// enough to go. Reads on a connection of its own, so that it waits for nobody. Not thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <assent/resource.h>

#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

class Questions {
 public:
  struct Settings {
    std::int64_t ask_after_ms = 0;
    std::int64_t retain_ms = 0;
  };
  Questions(std::unique_ptr<Connection> reader, Settings settings);

  // At most `limit`, half of it for either kind when both want more. Each call goes on where the
  // last one ended, so that nobody starves behind the first few.
  std::vector<HeldBranch> Next(std::size_t limit, std::int64_t now_ms);

 private:
  std::vector<HeldBranch> Prepared(std::size_t limit, std::int64_t now_ms);
  std::vector<HeldBranch> Old(std::size_t limit, std::int64_t now_ms);

  std::unique_ptr<Connection> reader_;
  Settings settings_;
  // Prepared ids up to this one were there when the store opened: asked about at once.
  std::int64_t earlier_life_until_ = 0;
  std::int64_t prepared_cursor_ = 0;
  std::string gid_cursor_;
  std::string branch_cursor_;
  bool old_at_end_ = false;  // the last scan for old rows reached the end of the table
};

}  // namespace assent::sqlite::internal
