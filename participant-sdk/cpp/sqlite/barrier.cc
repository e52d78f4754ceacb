#include "participant-sdk/cpp/sqlite/barrier.h"

#include <array>

namespace assent::sqlite::internal {
namespace {

// Rows: BranchState. Columns: Phase.
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

constexpr Move At(BranchState state, Phase phase) {
  return kMoves[static_cast<std::size_t>(state)][static_cast<std::size_t>(phase)];
}

constexpr std::array kStates = {
    BranchState::kNone,     BranchState::kRefused,  BranchState::kDone,   BranchState::kReadOnly,
    BranchState::kPrepared, BranchState::kFinished, BranchState::kUndone, BranchState::kTombstone};

// The rules of the barrier, held against the table above while compiling.
constexpr bool RulesHold() {
  for (BranchState state : kStates) {
    const bool in_force = state == BranchState::kDone || state == BranchState::kPrepared;
    // A forward operation runs only on a branch never heard of.
    if ((At(state, Phase::kForward) == Move::kRun) != (state == BranchState::kNone)) return false;
    // Finishing and undoing run only where the forward operation is in force: never both, never
    // twice, never without it.
    if ((At(state, Phase::kFinish) == Move::kRun) != in_force) return false;
    if ((At(state, Phase::kUndo) == Move::kRun) != in_force) return false;
  }
  return At(BranchState::kFinished, Phase::kUndo) == Move::kRefuse &&
         At(BranchState::kUndone, Phase::kFinish) == Move::kRefuse &&
         At(BranchState::kNone, Phase::kUndo) == Move::kBury &&
         At(BranchState::kTombstone, Phase::kForward) == Move::kRefuse;
}
static_assert(RulesHold());

const char* FinishRefusal(BranchState state, bool two_phase) {
  switch (state) {
    case BranchState::kNone: return two_phase ? "HAZARD: not prepared here" : "nothing tried";
    case BranchState::kRefused:
      return two_phase ? "HAZARD: not prepared here: the prepare was refused"
                       : "nothing tried: the try was refused";
    case BranchState::kUndone:
    case BranchState::kTombstone:
      return two_phase ? "HAZARD: rolled back here" : "already cancelled";
    case BranchState::kDone:
    case BranchState::kReadOnly:
    case BranchState::kPrepared:
    case BranchState::kFinished: break;
  }
  return "not refused";
}

}  // namespace

Phase PhaseOf(Operation operation) {
  switch (operation) {
    case Operation::kPrepare:
    case Operation::kTry:
    case Operation::kAction: return Phase::kForward;
    case Operation::kCommit:
    case Operation::kConfirm: return Phase::kFinish;
    case Operation::kRollback:
    case Operation::kCancel:
    case Operation::kCompensate: return Phase::kUndo;
  }
  ASSENT_CHECK(!"an operation");
  return Phase::kForward;
}

Move MoveFor(BranchState state, Phase phase) { return At(state, phase); }

std::string RefusalFor(BranchState state, Operation operation) {
  const bool two_phase = operation == Operation::kPrepare || operation == Operation::kCommit ||
                         operation == Operation::kRollback;
  switch (PhaseOf(operation)) {
    case Phase::kForward:
      return two_phase                         ? "rolled back before it was prepared"
             : operation == Operation::kAction ? "compensated before it was executed"
                                               : "cancelled before it was tried";
    case Phase::kFinish: return FinishRefusal(state, two_phase);
    case Phase::kUndo: return two_phase ? "already committed" : "already confirmed";
  }
  return {};
}

Result<BranchRow> BarrierTable::Find(std::string_view gid, std::string_view branch_id) {
  Statement read(
      connection_,
      "SELECT state, protocol, action, kind, result, reason, second_result FROM assent_barrier "
      "WHERE gid = ?1 AND branch_id = ?2",
      gid, branch_id);
  BranchRow row;
  if (!read.Step()) {
    if (!read.status().ok()) return read.status();
    return row;
  }
  const std::int64_t state = read.Int(0);
  const std::int64_t kind = read.Int(3);
  if (state <= 0 || state >= static_cast<std::int64_t>(kMoves.size()) || kind < 1 || kind > 4) {
    return DataLoss("assent_barrier row (" + std::string(gid) + ", " + std::string(branch_id) +
                    ") is damaged");
  }
  row.state = static_cast<BranchState>(state);
  row.protocol = static_cast<Protocol>(read.Int(1));
  row.action = read.Text(2);
  row.first.kind = static_cast<Reply::Kind>(kind);
  row.first.result = read.Text(4);
  row.first.reason = read.Text(5);
  row.second_result = read.Text(6);
  return row;
}

Status BarrierTable::Put(const Call& call, const BranchRow& row, std::int64_t now_ms) {
  Statement write(connection_,
                  "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, "
                  "result, reason, second_result, "
                  "coordinator_id, began_epoch, touched_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                  "?9, ?10, ?11, ?12)",
                  call.gid, call.branch_id, static_cast<int>(call.protocol), call.action,
                  static_cast<int>(row.state), static_cast<int>(row.first.kind),
                  Blob{row.first.result}, row.first.reason, Blob{row.second_result},
                  call.coordinator_id, call.began_epoch, now_ms);
  return write.Finish();
}

Status BarrierTable::Advance(std::string_view gid, std::string_view branch_id, BranchState state,
                             std::string_view second_result, std::int64_t now_ms) {
  Statement write(connection_,
                  "UPDATE assent_barrier SET state = ?3, second_result = ?4, touched_ms = ?5 "
                  "WHERE gid = ?1 AND branch_id = ?2",
                  gid, branch_id, static_cast<int>(state), Blob{second_result}, now_ms);
  return write.Finish();
}

}  // namespace assent::sqlite::internal
