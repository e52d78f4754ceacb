#pragma once

// Which branches to ask the coordinator about: prepared ones that have waited, prepared work
// without a row, and barrier rows old enough to go. On a connection of its own, so that it waits
// for nobody. Not thread-safe.
//
// XA RECOVER has no ages, and what all databases of the server have prepared: what has no row here
// is asked about when it has been seen for a while. It may be another service's; the coordinator's
// word is true for that one too.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/resource.h>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"

namespace assent::mariadb::internal {

class Questions {
 public:
  Questions(const Options& options, ConnectionSettings settings);

  // At most `limit`, half of it for old rows when both want more. Each call goes on where the last
  // one ended, so that nobody starves behind the first few. Nothing when there is no connection.
  std::vector<HeldBranch> Next(std::size_t limit);

 private:
  Now now() const { return options_.now_ms ? Now(options_.now_ms()) : std::nullopt; }
  bool Connected();
  using Key = std::pair<std::string, std::string>;  // gid and branch_id
  using Clock = std::chrono::steady_clock;
  // The prepared ones in order, those behind the last question first.
  bool Recover(std::vector<Key>& keys);
  std::vector<HeldBranch> Prepared(std::size_t limit);
  // Looks at keys [first, last); false: the connection has failed.
  bool LookAt(const std::vector<Key>& keys, std::size_t first, std::size_t last,
              std::vector<HeldBranch>& found);
  bool IsLongSeen(const Key& key);
  std::vector<HeldBranch> Old(std::size_t limit);

  const Options& options_;
  const ConnectionSettings settings_;
  std::unique_ptr<Connection> connection_;
  // What was there when the store opened is asked about at once, until it has been.
  bool first_round_ = true;
  Key cursor_;
  // Prepared work without a row: since when it has been seen.
  std::map<Key, Clock::time_point> unpromised_;
  std::int64_t old_ms_cursor_ = 0;
  std::string old_gid_cursor_;
  std::string old_branch_cursor_;
  bool old_at_end_ = false;  // the last look for old rows has seen the last of them
};

}  // namespace assent::mariadb::internal
