#pragma once

// The barrier: what a branch has done, so that each operation happens once, a cancel may come
// before its try, and a try that comes after its cancel is refused for good. One row per branch:
//
//                      refused                    finish (confirm, commit)
//            +----------------------> REFUSED    +----------------------> FINISHED
//            |                                   |
//   (none) --+--- done --------------> DONE -----+
//       |    |                                   |
//       |    +--- prepared ----------> PREPARED -+----------------------> UNDONE
//       |    |                                     undo (cancel, compensate, rollback)
//       |    +--- read-only ---------> READ_ONLY
//       |    +--- one phase ---------> FINISHED
//       |
//       +-------- undo --------------> TOMBSTONE

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <assent/call.h>

#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

// Stored: never renumber.
enum class BranchState : std::uint8_t {
  kNone = 0,       // no row
  kRefused = 1,    // the forward operation said no; nothing happened
  kDone = 2,       // tried, or acted: in force, and may be finished or undone
  kReadOnly = 3,   // prepared without writing anything
  kPrepared = 4,   // changes are kept aside; see assent_prepared
  kFinished = 5,   // confirmed or committed. Final
  kUndone = 6,     // cancelled, compensated or rolled back after its forward operation. Final
  kTombstone = 7,  // undone before its forward operation, which will be refused. Final
};

// The three kinds of operation that all protocols share.
enum class Phase : std::uint8_t { kForward = 0, kFinish = 1, kUndo = 2 };
Phase PhaseOf(Operation operation);

// What to do about an operation, given the state of its branch.
enum class Move : std::uint8_t {
  kRun,      // run it
  kReplay,   // answer as the forward operation was answered
  kRepeat,   // finished or undone before: Done again, with the same result
  kNothing,  // Done: there is nothing to do
  kBury,     // leave a tombstone, then Done
  kRefuse,   // see RefusalFor
};
Move MoveFor(BranchState state, Phase phase);
// The reason given with kRefuse. Starts with "HAZARD:" where refusing means that atomicity may be
// lost.
std::string RefusalFor(BranchState state, Operation operation);

struct BranchRow {
  BranchState state = BranchState::kNone;
  Protocol protocol = Protocol::kSaga;
  std::string action;
  Reply first;                // of the forward operation
  std::string second_result;  // of the finishing or undoing one
};

class BarrierTable {
 public:
  explicit BarrierTable(Connection& connection) : connection_(connection) {}
  // kNone when there is no row.
  Result<BranchRow> Find(std::string_view gid, std::string_view branch_id);
  // Inserts the row of a branch that has none.
  Status Put(const Call& call, const BranchRow& row, std::int64_t now_ms);
  // Moves an existing row on.
  Status Advance(std::string_view gid, std::string_view branch_id, BranchState state,
                 std::string_view second_result, std::int64_t now_ms);

 private:
  Connection& connection_;
};

}  // namespace assent::sqlite::internal
