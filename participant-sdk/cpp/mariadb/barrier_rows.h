#pragma once

// The rows of the barrier (barrier.h) in the user's own database: statements for the next message.
// The tables are those that the SDKs of other languages make, so that services in several languages
// may share one database. Gid, branch id and action are plain (IsPlain); everything else goes in
// hexadecimal.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/mariadb/connection.h"
#include "participant-sdk/cpp/server/branch.h"

namespace assent::mariadb::internal {

// Creates or completes the tables.
Status MakeTables(Connection& connection);

using server::BranchKey;
using server::IsPlain;

// gid = '…' AND branch_id = '…'
std::string IsBranch(BranchKey branch);

// A branch has one owner at a time, in whatever process and language: a named lock of the session,
// which ends with it. The answer has a column for each: 1, it is ours.
void AddLock(Connection& connection, const std::vector<BranchKey>& branches,
             std::chrono::seconds wait);
// That of the session which works on what is to be prepared: who has it knows that no such session
// is left, whatever became of its client.
std::string WorkLockOf(BranchKey branch);
std::string GetLock(const std::string& lock, std::chrono::seconds wait);
inline constexpr char kUnlockAll[] = "DO RELEASE_ALL_LOCKS()";

// The answer has a row for each that is kept, beginning with gid and branch_id.
void AddFind(Connection& connection, const std::vector<BranchKey>& branches);
Result<barrier::Row> ReadRow(const Table& table, int row);

// `now_ms`: none, the server's.
using Now = std::optional<std::int64_t>;
std::string TimeOf(Now now_ms);

// What is to become of the rows of several branches: many to a statement, since a statement costs
// the server more than a row.
class KeptRows {
 public:
  // Of a branch that has none.
  void Insert(const Call& call, barrier::State state, const Reply& first, Now now_ms);
  // Moves it on.
  void Advance(BranchKey branch, barrier::State was, barrier::State state,
               std::string_view second_result, Now now_ms);
  // Forgets them. The message fails there if one is no longer in the state in which it was read.
  void AddTo(Connection& connection);

 private:
  struct Advanced {
    std::string where;
    int count = 0;
  };
  std::vector<std::string> inserted_;
  // By what is set, and the state before.
  std::map<std::pair<std::string, barrier::State>, Advanced> advanced_;
};

// The same of one.
void AddInsert(Connection& connection, const Call& call, barrier::State state, const Reply& first,
               Now now_ms);
void AddAdvance(Connection& connection, BranchKey branch, barrier::State was, barrier::State state,
                std::string_view second_result, Now now_ms);
// Drops it, or marks it as one for a person, if it was last touched `retain_ms` ago.
void AddForget(Connection& connection, BranchKey branch, barrier::State was, Now now_ms,
               std::int64_t retain_ms);
void AddOrphan(Connection& connection, BranchKey branch, Now now_ms, std::int64_t retain_ms);

}  // namespace assent::mariadb::internal
