#include "participant-sdk/cpp/barrier/barrier.h"

#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include <assent/limits.h>
#include <assent/status.h>
#include <assent/text.h>

namespace assent::barrier {
namespace {

// Rows: State. Columns: Role.
constexpr std::array<std::array<Move, 3>, 8> kMoves = {{
    /* none      */ {Move::kRun, Move::kRefuse, Move::kBury},
    /* refused   */ {Move::kReplay, Move::kRefuse, Move::kNothing},
    /* done      */ {Move::kReplay, Move::kRun, Move::kRun},
    /* read-only */ {Move::kReplay, Move::kNothing, Move::kNothing},
    /* prepared  */ {Move::kReplay, Move::kRun, Move::kRun},
    /* finished  */ {Move::kReplay, Move::kRepeat, Move::kRefuse},
    /* undone    */ {Move::kReplay, Move::kRefuse, Move::kRepeat},
    /* tombstone */ {Move::kRefuse, Move::kRefuse, Move::kNothing},
}};

constexpr Move At(State state, Role role) {
  return kMoves[static_cast<std::size_t>(state)][static_cast<std::size_t>(role)];
}

constexpr std::array kStates = {State::kNone,     State::kRefused,  State::kDone,
                                State::kReadOnly, State::kPrepared, State::kFinished,
                                State::kUndone,   State::kTombstone};

// The rules of the barrier, held against the table above while compiling.
constexpr bool RulesHold() {
  for (State state : kStates) {
    const bool in_force = state == State::kDone || state == State::kPrepared;
    // A forward operation runs only on a branch never heard of.
    if ((At(state, Role::kForward) == Move::kRun) != (state == State::kNone)) return false;
    // Finishing and undoing run only where the forward operation is in force: never both, never
    // twice, never without it.
    if ((At(state, Role::kFinish) == Move::kRun) != in_force) return false;
    if ((At(state, Role::kUndo) == Move::kRun) != in_force) return false;
  }
  return At(State::kFinished, Role::kUndo) == Move::kRefuse &&
         At(State::kUndone, Role::kFinish) == Move::kRefuse &&
         At(State::kNone, Role::kUndo) == Move::kBury &&
         At(State::kTombstone, Role::kForward) == Move::kRefuse;
}
static_assert(RulesHold());

const char* FinishRefusal(State state, bool two_phase) {
  switch (state) {
    case State::kNone: return two_phase ? "HAZARD: not prepared here" : "nothing tried";
    case State::kRefused:
      return two_phase ? "HAZARD: not prepared here: the prepare was refused"
                       : "nothing tried: the try was refused";
    case State::kUndone:
    case State::kTombstone: return two_phase ? "HAZARD: rolled back here" : "already cancelled";
    case State::kDone:
    case State::kReadOnly:
    case State::kPrepared:
    case State::kFinished: break;
  }
  return "not refused";
}

}  // namespace

Move MoveFor(State state, Role role) { return At(state, role); }

std::string RefusalFor(State state, Operation operation) {
  const bool two_phase = ProtocolOf(operation) == Protocol::kTwoPhase;
  switch (RoleOf(operation)) {
    case Role::kForward:
      return two_phase                         ? "rolled back before it was prepared"
             : operation == Operation::kAction ? "compensated before it was executed"
                                               : "cancelled before it was tried";
    case Role::kFinish: return FinishRefusal(state, two_phase);
    case Role::kUndo: return two_phase ? "already committed" : "already confirmed";
  }
  return {};
}

Opening Open(const Call& call, const Row& row) {
  const auto refuse = [](std::string why) {
    return Opening{Move::kRefuse, Reply::Refused(std::move(why))};
  };
  if (ProtocolOf(call.operation) != call.protocol)
    return refuse("not an operation of a " + std::string(Name(call.protocol)) + " branch");
  if (call.gid.empty() || call.gid.size() > limits::kMaxGidBytes ||
      call.branch_id.size() > limits::kMaxBranchIdBytes)
    return refuse("gid or branch id is empty or too long");
  if (row.state != State::kNone && (row.protocol != call.protocol || row.action != call.action)) {
    return refuse("HAZARD: this branch was seen as " + std::string(Name(row.protocol)) + " " +
                  row.action + ", not " + std::string(Name(call.protocol)) + " " + call.action);
  }
  const Move move = MoveFor(row.state, RoleOf(call.operation));
  switch (move) {
    case Move::kRun: return {move, {}};
    case Move::kReplay: return {move, row.first};
    case Move::kRepeat: return {move, Reply::Done(row.second_result)};
    case Move::kNothing:
    case Move::kBury: return {move, Reply::Done()};
    case Move::kRefuse: break;
  }
  return refuse(RefusalFor(row.state, call.operation));
}

State After(const Call& call, const Reply& reply, bool wrote) {
  const Role role = RoleOf(call.operation);
  switch (reply.kind) {
    case Reply::Kind::kRetryLater: return State::kNone;
    case Reply::Kind::kRefused: return role == Role::kForward ? State::kRefused : State::kNone;
    case Reply::Kind::kDone:
    case Reply::Kind::kDoneReadOnly: break;
  }
  switch (role) {
    case Role::kForward: break;
    case Role::kFinish: return State::kFinished;
    case Role::kUndo: return State::kUndone;
  }
  if (call.operation != Operation::kPrepare) return State::kDone;
  if (!wrote) return State::kReadOnly;
  return call.one_phase ? State::kFinished : State::kPrepared;
}

Reply Normalized(Reply reply, Role role) {
  reply.reason.resize(CutReason(reply.reason).size());
  switch (reply.kind) {
    case Reply::Kind::kDone:
    case Reply::Kind::kDoneReadOnly:
      reply.reason.clear();
      reply.retry_after = {};
      if (reply.result.size() <= limits::kMaxResultBytes) return reply;
      if (role == Role::kForward) {
        return Reply::Refused("the handler's result has " + std::to_string(reply.result.size()) +
                              " bytes; the limit is " + std::to_string(limits::kMaxResultBytes));
      }
      reply.result.clear();
      return reply;
    case Reply::Kind::kRefused:
      reply.result.clear();
      reply.retry_after = {};
      return reply;
    case Reply::Kind::kRetryLater: reply.result.clear(); return reply;
  }
  return Reply::RetryLater("the handler gave no kind of reply");
}

Upkeep UpkeepFor(const Row& row, Verdict verdict, bool finished) {
  const bool known = verdict == Verdict::kCommit || verdict == Verdict::kAbort;
  if (row.state == State::kNone || !known) return Upkeep::kKeep;
  if (row.state == State::kPrepared)
    return verdict == Verdict::kCommit ? Upkeep::kCommit : Upkeep::kRollback;
  if (!finished) return Upkeep::kKeep;
  return row.state == State::kDone && row.protocol == Protocol::kTcc ? Upkeep::kOrphan
                                                                     : Upkeep::kForget;
}

}  // namespace assent::barrier
