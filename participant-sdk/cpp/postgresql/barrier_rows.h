#pragma once

// The rows of the barrier (barrier.h) in the user's own database: statements for the next message.
// The tables are those that the SDKs of other languages make, so that services in several languages
// may share one database.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/postgresql/connection.h"
#include "participant-sdk/cpp/server/branch.h"

namespace assent::postgresql::internal {

// Creates or completes the tables; in a transaction of its own.
Status MakeTables(Connection& connection);

using server::BranchKey;
using server::IsPlain;

// A branch has one owner at a time, in whatever process and language: an advisory lock, whose key
// is the beginning of SHA-256 over ["gid", "branch_id"].
enum class Lock : std::uint8_t {
  kTry,      // until the local transaction ends; the answer has a bool for each
  kWait,     // the same, waiting for it
  kSession,  // waiting, until it is given back: also over a PREPARE TRANSACTION
};
void AddLock(Connection& connection, Lock lock, const std::vector<BranchKey>& branches);
// kWait, for one: $1 is its gid, $2 its id.
extern const char* const kLockOne;

// The answer has a row for each that is kept, with its number, from 1, in column 0.
void AddFind(Connection& connection, const std::vector<BranchKey>& branches);
constexpr int kFirstRowColumn = 1;
Result<barrier::Row> ReadRow(const Table& table, int row);

// `now_ms`: none, the server's.
using Now = std::optional<std::int64_t>;
// Of a branch that has none.
void AddInsert(Connection& connection, const Call& call, barrier::State state, const Reply& first,
               Now now_ms);
// Moves it on. The statement fails if it is no longer in the state in which it was read.
void AddAdvance(Connection& connection, BranchKey branch, barrier::State was, barrier::State state,
                std::string_view second_result, Now now_ms);
// Both, of many branches in one statement for each, which costs the server a fraction of so many
// statements. No branch may come twice.
struct RowWrite {
  const Call* call = nullptr;
  barrier::State was = barrier::State::kNone;  // then it is a new one
  barrier::State state = barrier::State::kNone;
  const Reply* reply = nullptr;
};
void AddWrites(Connection& connection, const std::vector<RowWrite>& rows, Now now_ms);
// Drops it, or marks it as one for a person, if it was last touched `retain_ms` ago.
void AddForget(Connection& connection, BranchKey branch, barrier::State was, Now now_ms,
               std::int64_t retain_ms);
void AddOrphan(Connection& connection, BranchKey branch, Now now_ms, std::int64_t retain_ms);

}  // namespace assent::postgresql::internal
