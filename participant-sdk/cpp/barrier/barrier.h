#pragma once

// The barrier: what a branch has done, so that each operation happens once, a cancel may come
// before its try, and a try that comes after its cancel is refused for good. The rules of every
// adapter, in any database: values in, values out. An adapter keeps one row per branch, in the same
// local transaction as the business rows, and does this:
//
//   row     = what is kept of (gid, branch_id), or a Row of State::kNone
//   opening = Open(call, row)
//   opening.move is kRun?    run the handler; keep what After() says; answer what it answered
//                  kBury?    keep the row of a tombstone; answer opening.reply
//                  else      answer opening.reply
//
// DESIGN.md beside this has the same as tables, for other languages; a test holds them together.
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
#include <string>

#include <assent/call.h>
#include <assent/resource.h>

namespace assent::barrier {

// Stored: never renumber.
enum class State : std::uint8_t {
  kNone = 0,       // no row
  kRefused = 1,    // the forward operation said no; nothing happened
  kDone = 2,       // tried, or acted: in force, and may be finished or undone
  kReadOnly = 3,   // prepared without writing anything
  kPrepared = 4,   // changes are kept aside, to be applied or dropped
  kFinished = 5,   // confirmed or committed. Final
  kUndone = 6,     // cancelled, compensated or rolled back after its forward operation. Final
  kTombstone = 7,  // undone before its forward operation, which will be refused. Final
};

// What to do about an operation, given the state of its branch.
enum class Move : std::uint8_t {
  kRun,      // run it
  kReplay,   // answer as the forward operation was answered
  kRepeat,   // finished or undone before: Done again, with the same result
  kNothing,  // Done: there is nothing to do
  kBury,     // leave a tombstone, then Done
  kRefuse,   // see RefusalFor
};
Move MoveFor(State state, Role role);
// The reason given with kRefuse. Starts with "HAZARD:" where refusing means that atomicity may be
// lost.
std::string RefusalFor(State state, Operation operation);

// What is kept of a branch. An adapter keeps the coordinator's id, its epoch and an age beside it.
struct Row {
  State state = State::kNone;
  Protocol protocol = Protocol::kSaga;
  std::string action = {};
  Reply first = {};                // of the forward operation
  std::string second_result = {};  // of the finishing or undoing one
};

struct Opening {
  Move move = Move::kRefuse;
  Reply reply = {};  // unless kRun
};
Opening Open(const Call& call, const Row& row);

// The state in which an operation that ran leaves its branch; kNone: nothing of it is kept, and it
// will run again. `reply` is normalised. `wrote`: it changed or claimed something (of PREPARE).
//
// A refused forward operation is kept, since the coordinator may abort on it. One of the second
// phase is not: there is no way but forward after a decision, and asking again may find it mended.
State After(const Call& call, const Reply& reply, bool wrote = true);

inline bool IsDone(const Reply& reply) {
  return reply.kind == Reply::Kind::kDone || reply.kind == Reply::Kind::kDoneReadOnly;
}
// The form in which a handler's reply is kept and given, so that the first and every later one are
// equal byte for byte.
Reply Normalized(Reply reply, Role role);

// What to do about a kept row when the coordinator has said what became of its transaction.
// `finished`: nothing about it can still arrive.
enum class Upkeep : std::uint8_t {
  kKeep,
  kCommit,    // prepared: as COMMIT would
  kRollback,  // prepared: as ROLLBACK would
  kOrphan,    // a try that nobody will ever confirm or cancel: when it is old, count it, for a
              // person. Somebody resolved the transaction by hand, or its log was lost.
  kForget,    // when it is old, the row goes, with what belongs to it
};
Upkeep UpkeepFor(const Row& row, Verdict verdict, bool finished);

}  // namespace assent::barrier
