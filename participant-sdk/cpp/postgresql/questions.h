#pragma once

// Which branches to ask the coordinator about: prepared ones that have waited, prepared work
// without a row, and barrier rows old enough to go. On a connection of its own, so that it waits
// for nobody. Not thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <assent/resource.h>

#include "participant-sdk/cpp/postgresql/barrier_rows.h"

namespace assent::postgresql::internal {

class Questions {
 public:
  Questions(const Options& options, ConnectionSettings settings);

  // At most `limit`, half of it for old rows when both want more. Each call goes on where the last
  // one ended, so that nobody starves behind the first few. Nothing when there is no connection.
  std::vector<HeldBranch> Next(std::size_t limit);

 private:
  Now now() const { return options_.now_ms ? Now(options_.now_ms()) : std::nullopt; }
  bool Connected();
  std::vector<HeldBranch> Prepared(std::size_t limit);
  std::vector<HeldBranch> Unpromised(std::size_t limit);
  std::vector<HeldBranch> Old(std::size_t limit);

  const Options& options_;
  const ConnectionSettings settings_;
  std::unique_ptr<Connection> connection_;
  // What was there when the store opened is asked about at once, until it has been.
  bool first_round_ = true;
  std::string gid_cursor_;
  std::string branch_cursor_;
  std::int64_t old_ms_cursor_ = 0;
  std::string old_gid_cursor_;
  std::string old_branch_cursor_;
  bool old_at_end_ = false;  // the last look for old rows has seen the last of them
};

}  // namespace assent::postgresql::internal
