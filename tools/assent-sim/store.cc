#include "tools/assent-sim/store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tools/assent-sim/planted.h"

namespace assent::sim {

namespace {

// Longer than any message can be under way (T9).
constexpr Time kRetention = 4 * kHour;
Time Retention() { return Mutant(Planted::kForgetBarrierEarly) ? 0 : kRetention; }

}  // namespace

Store::Store(Sim& sim, Ledger& ledger, std::uint32_t service)
    : sim_(sim), ledger_(ledger), service_(service) {
  rows_.resize(ledger.size());
  for (std::size_t t = 0; t < ledger.size(); ++t) rows_[t].resize(ledger.plan(t).branches.size());
  const std::int64_t initial = sim.dice.Chance(sim.options.scarce) ? 10 : 1000;
  // The last one is for pivots, see planner.cc.
  accounts_.resize(sim.options.accounts + 1, Account{initial, initial, 0, 0, 0});
  entries_.resize(accounts_.size());
}

// ---- The local transaction ----------------------------------------------------------------------

void Store::Begin() {
  ASSENT_CHECK(!open_);
  open_ = true;
  old_prepared_ = prepared_;
}

void Store::Commit() {
  ASSENT_CHECK(open_);
  open_ = false;
  ForgetOld();
  for (const Noted& noted : noted_) noted.note(ledger_.Touch(noted.txn).branches[noted.branch]);
  noted_.clear();
  if (!Balanced())
    sim_.Violate("T6 broken by s" + std::to_string(service_) +
                 ": available, held and spent do not add up to what there was");
}

void Store::Rollback() {
  open_ = false;
  for (auto old = old_rows_.rbegin(); old != old_rows_.rend(); ++old)
    RowOf(old->txn, old->branch) = std::move(old->row);
  for (auto old = old_accounts_.rbegin(); old != old_accounts_.rend(); ++old)
    accounts_[old->first] = old->second;
  for (auto old = old_entries_.rbegin(); old != old_entries_.rend(); ++old)
    entries_[old->first] = std::move(old->second);
  prepared_ = old_prepared_;
  ForgetOld();
  noted_.clear();
}

void Store::ForgetOld() {
  old_rows_.clear();
  old_accounts_.clear();
  old_entries_.clear();
}

Store::Row& Store::Change(std::size_t txn, std::size_t branch) {
  Row& row = RowOf(txn, branch);
  old_rows_.push_back({txn, branch, row});
  row.touched = sim_.now;
  return row;
}

Store::Account& Store::ChangeAccount(std::uint32_t account) {
  old_accounts_.emplace_back(account, accounts_[account]);
  return accounts_[account];
}

std::vector<Store::Entry>& Store::ChangeEntries(std::uint32_t account) {
  old_entries_.emplace_back(account, entries_[account]);
  return entries_[account];
}

// Tokens and orders; a transfer has no rows but its accounts.
void Store::Append(const BranchPlan& plan) {
  if (sim_.options.workload == Workload::kTransfers) return;
  ChangeEntries(plan.account).push_back({plan.payload, plan.amount});
}
void Store::Erase(const BranchPlan& plan) {
  if (sim_.options.workload == Workload::kTransfers) return;
  auto& entries = ChangeEntries(plan.account);
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry& e) { return e.name == plan.payload; });
  if (found == entries.end()) return;
  entries.erase(found);
  sim_.marks.Set(Mark::kTokenTakenBack);
}

void Store::Effect(std::size_t txn, std::size_t branch,
                   const std::function<void(BranchBooks&)>& note) {
  noted_.push_back({txn, branch, note});
}

bool Store::Uncommitted(std::size_t txn, std::size_t branch) const {
  return open_ && std::any_of(old_rows_.begin(), old_rows_.end(), [&](const OldRow& old) {
           return old.txn == txn && old.branch == branch;
         });
}

// ---- Operations ---------------------------------------------------------------------------------

Reply Store::Run(const Call& call) {
  const std::size_t txn = ledger_.Find(call.gid);
  const std::size_t branch =
      txn < ledger_.size() ? ledger_.FindBranch(txn, call.branch_id) : SIZE_MAX;
  if (txn == ledger_.size() || branch >= ledger_.plan(txn).branches.size()) {
    sim_.Violate("a command names " + call.gid + " " + call.branch_id + ", which nobody planned");
    return Reply::Refused("unknown");
  }
  const BranchPlan& plan = ledger_.plan(txn).branches[branch];
  if (plan.service != service_ || call.payload != plan.payload ||
      static_cast<int>(plan.protocol) != static_cast<int>(call.protocol)) {
    sim_.Violate("a command for " + call.gid + " " + call.branch_id +
                 " is not what its initiator asked for");
  }
  const State state = RowOf(txn, branch).state;
  const Role role = RoleOf(call.operation);
  switch (barrier::MoveFor(state, role)) {
    case barrier::Move::kRun:
      switch (role) {
        case Role::kForward: return Forward(call, txn, branch);
        case Role::kFinish: return Finish(call, txn, branch);
        case Role::kUndo: return Undo(call, txn, branch);
      }
      break;
    case barrier::Move::kReplay:
      sim_.marks.Set(Mark::kForwardRepeated);
      if (Mutant(Planted::kAnswerDifferently)) return Reply::Done("again");
      if (Mutant(Planted::kTokenTwice) && sim_.options.workload == Workload::kTokens &&
          (state == State::kDone || state == State::kFinished) &&
          plan.protocol != core::Protocol::kTcc)
        Append(plan);
      return RowOf(txn, branch).first;
    case barrier::Move::kRepeat:
      sim_.marks.Set(role == Role::kFinish ? Mark::kFinishRepeated : Mark::kUndoRepeated);
      if (Mutant(Planted::kUndoTwice) && role == Role::kUndo) return Undo(call, txn, branch);
      if (Mutant(Planted::kCommitHitsHolder) && role == Role::kFinish)
        FinishHolder(call, plan.account);
      return Reply::Done();
    case barrier::Move::kNothing: return Reply::Done();
    case barrier::Move::kRefuse:
      if (state == State::kTombstone) sim_.marks.Set(Mark::kLateForwardRefused);
      if (state == State::kFinished && call.operation == Operation::kRollback)
        sim_.marks.Set(Mark::kOnePhaseReplyLost);
      return Reply::Refused(barrier::RefusalFor(state, call.operation));
    case barrier::Move::kBury: return Bury(call, txn, branch);
  }
  return Reply::RetryLater("never");
}

Reply Store::Bury(const Call& call, std::size_t txn, std::size_t branch) {
  if (Mutant(Planted::kSkipTombstone)) return Reply::Done();
  if (Mutant(Planted::kUndoWithoutForward)) return Undo(call, txn, branch);
  sim_.marks.Set(Mark::kCancelBeforeForward);
  Put(call, txn, branch, State::kTombstone, Reply::Done());
  Effect(txn, branch, [](BranchBooks& b) { b.tombstone = true; });
  return Reply::Done();
}

void Store::Put(const Call& call, std::size_t txn, std::size_t branch, State state,
                const Reply& first) {
  Row& row = Change(txn, branch);
  row.state = state;
  row.protocol = call.protocol;
  row.first = first;
  row.coordinator_id = call.coordinator_id;
  row.began_epoch = call.began_epoch;
}

// The results of the branches before it are theirs, byte for byte.
void Store::CheckResults(const Call& call, std::size_t txn) {
  if (ledger_.books(txn).by_hand) return;
  for (const auto& [id, result] : call.results) {
    const std::size_t branch = ledger_.FindBranch(txn, id);
    const TransactionBooks& books = ledger_.books(txn);
    if (branch >= books.branches.size() || books.branches[branch].result != result)
      sim_.Violate("G1 broken by " + call.gid + ": the result of " + id +
                   " reached a later branch changed");
  }
}

bool Store::Enlist(std::size_t txn) {
  const BranchPlan& plan = ledger_.plan(txn).branches[0];
  const State state = RowOf(txn, 0).state;
  const bool over_no = Mutant(Planted::kEnlistOverNo) && state == State::kRefused;
  if (state != State::kNone && !over_no) {
    sim_.marks.Set(Mark::kTooLateToCommit);
    return false;
  }
  if (plan.amount > accounts_[plan.account].available) return false;
  Account& mine = ChangeAccount(plan.account);
  mine.available -= plan.amount;
  mine.spent += plan.amount;
  Append(plan);
  Call call;
  call.protocol = Protocol::kSaga;
  Put(call, txn, 0, State::kDone, Reply::Done());
  Effect(txn, 0, [](BranchBooks& b) { ++b.forward; });
  return true;
}

// There is no row: it has not committed, and once this has said no it never will.
Reply Store::CheckBack(const Call& call, std::size_t txn) {
  if (sim_.now - ledger_.books(txn).asked_at < ledger_.plan(txn).patience) {
    sim_.marks.Set(Mark::kAskedTooEarly);
    return Reply::RetryLater("it may still be under way");
  }
  sim_.marks.Set(Mark::kAnsweredNo);
  const Reply no = Reply::Refused("it has not committed, and never will");
  if (!Mutant(Planted::kDropRefusedRow)) Put(call, txn, 0, State::kRefused, no);
  Effect(txn, 0, [](BranchBooks& b) { b.refused = true; });
  return no;
}

Reply Store::Forward(const Call& call, std::size_t txn, std::size_t branch) {
  CheckResults(call, txn);
  const BranchPlan& plan = ledger_.plan(txn).branches[branch];
  if (sim_.Chance(sim_.options.retry_later)) return Reply::RetryLater("busy");
  if (plan.check_back) return CheckBack(call, txn);
  // Asked anew, as if it had never been asked, the business may think otherwise.
  const bool refuses =
      plan.refuse && (!ledger_.books(txn).branches[branch].refused || sim_.dice.Chance(500));
  if (refuses) sim_.marks.Set(Mark::kRefusedByBusiness);
  Reply reply =
      refuses ? Reply::Refused("no, says the business") : ForwardEffect(call, txn, branch);
  if (reply.kind == Reply::Kind::kRefused) {
    if (!Mutant(Planted::kDropRefusedRow)) Put(call, txn, branch, State::kRefused, reply);
    Effect(txn, branch, [](BranchBooks& b) { b.refused = true; });
  }
  return reply;
}

Reply Store::ForwardEffect(const Call& call, std::size_t txn, std::size_t branch) {
  const BranchPlan& plan = ledger_.plan(txn).branches[branch];
  const Reply done =
      Reply::Done("r" + call.gid + call.branch_id + "#" + std::to_string(++executions_));
  if (plan.read_only && plan.protocol == core::Protocol::kTwoPhase) {
    Reply read_only = Reply::DoneReadOnly(done.result);
    sim_.marks.Set(Mark::kReadOnlyVote);
    Put(call, txn, branch, State::kReadOnly, read_only);
    Effect(txn, branch, [](BranchBooks& b) { b.read_only = true; });
    return read_only;
  }
  Account& account = accounts_[plan.account];
  if (account.claimed_by != 0) {
    sim_.marks.Set(Mark::kClaimConflict);
    if (!plan.cannot_refuse && (account.claimed_by - 1) / 256 == txn)
      return Reply::Refused("held by another branch of this same transaction");
    Reply later = Reply::RetryLater("held by a prepared branch");
    later.blocked_by = ledger_.plan((account.claimed_by - 1) / 256).gid;
    ++ledger_.Touch(txn).wakers;  // asked again sooner than after its backoff
    return later;
  }
  if (plan.amount > account.available) {
    sim_.marks.Set(Mark::kRefusedForFunds);
    return Reply::Refused("not enough in the account");
  }
  Account& mine = ChangeAccount(plan.account);
  switch (call.protocol) {
    case Protocol::kTwoPhase:
      if (call.one_phase) {
        sim_.marks.Set(Mark::kOnePhase);
        mine.available -= plan.amount;
        mine.spent += plan.amount;
        Append(plan);
        Put(call, txn, branch, State::kFinished, done);
        Effect(txn, branch, [](BranchBooks& b) { ++b.forward, ++b.finish; });
        return done;
      }
      mine.claimed_by = KeyOf(txn, branch) + 1;
      ++prepared_;
      Put(call, txn, branch, State::kPrepared, done);
      Effect(txn, branch, [](BranchBooks& b) { ++b.forward, b.holds = true; });
      return done;
    case Protocol::kTcc:
      if (plan.amount > 0) {
        mine.available -= plan.amount;
        mine.held += plan.amount;
      }
      Effect(txn, branch, [](BranchBooks& b) { ++b.forward, b.holds = true; });
      break;
    case Protocol::kSaga:
      mine.available -= plan.amount;
      mine.spent += plan.amount;
      Append(plan);
      Effect(txn, branch, [](BranchBooks& b) { ++b.forward; });
      break;
  }
  Put(call, txn, branch, State::kDone, done);
  return done;
}

Reply Store::Finish(const Call& call, std::size_t txn, std::size_t branch) {
  const BranchPlan& plan = ledger_.plan(txn).branches[branch];
  if (sim_.Chance(sim_.options.refuse_second)) return Reply::Refused("HAZARD: cannot now");
  if (sim_.Chance(sim_.options.retry_later)) return Reply::RetryLater("busy");
  const std::uint64_t claim = accounts_[plan.account].claimed_by;
  if (claim != 0 && claim != KeyOf(txn, branch) + 1) return Reply::RetryLater("held");
  Account& account = ChangeAccount(plan.account);
  if (call.protocol == Protocol::kTwoPhase) {
    account.available -= plan.amount;
    account.claimed_by = 0;
    --prepared_;
  } else if (plan.amount > 0) {
    account.held -= plan.amount;
  } else if (!Mutant(Planted::kDepositLost)) {
    account.available -= plan.amount;
  }
  const bool lost = Mutant(Planted::kDepositLost) && call.protocol == Protocol::kTcc;
  if (!lost || plan.amount > 0) account.spent += plan.amount;
  Append(plan);
  Change(txn, branch).state = State::kFinished;
  Effect(txn, branch, [](BranchBooks& b) { ++b.finish, b.holds = false; });
  return Reply::Done();
}

Reply Store::Undo(const Call& call, std::size_t txn, std::size_t branch) {
  const BranchPlan& plan = ledger_.plan(txn).branches[branch];
  if (sim_.Chance(sim_.options.refuse_second)) return Reply::Refused("cannot undo now");
  if (sim_.Chance(sim_.options.retry_later)) return Reply::RetryLater("busy");
  const std::uint64_t claim = accounts_[plan.account].claimed_by;
  if (claim != 0 && claim != KeyOf(txn, branch) + 1) return Reply::RetryLater("held");
  Account& account = ChangeAccount(plan.account);
  switch (call.protocol) {
    case Protocol::kTwoPhase:
      account.claimed_by = 0;
      --prepared_;
      break;
    case Protocol::kTcc:
      if (plan.amount > 0) {
        sim_.marks.Set(Mark::kStockReturned);
        account.held -= plan.amount;
        (Mutant(Planted::kStockNotReturned) ? account.spent : account.available) += plan.amount;
      }
      break;
    case Protocol::kSaga:
      Erase(plan);
      account.available += plan.amount;
      account.spent -= plan.amount;
      break;
  }
  if (Mutant(Planted::kUndoDropsRow)) {
    Change(txn, branch) = Row{};
  } else {
    Change(txn, branch).state = State::kUndone;
  }
  const std::uint64_t order = ++executions_;
  Effect(txn, branch, [order](BranchBooks& b) { ++b.undo, b.holds = false, b.undo_order = order; });
  return Reply::Done();
}

// The planted participants' bugs that need a hand of their own.
void Store::FinishHolder(const Call& call, std::uint32_t account) {
  const std::uint64_t claim = accounts_[account].claimed_by;
  if (claim == 0 || call.protocol != Protocol::kTwoPhase) return;
  Call other = call;
  other.gid = ledger_.plan((claim - 1) / 256).gid;
  (void)Finish(other, (claim - 1) / 256, (claim - 1) % 256);
}
void Store::ForgetPrepared() {
  if (!Mutant(Planted::kForgetPrepared)) return;
  for (Account& account : accounts_) {
    if (account.claimed_by == 0) continue;
    const std::uint64_t key = std::exchange(account.claimed_by, 0) - 1;
    rows_[key / 256][key % 256] = Row{};
    --prepared_;
  }
}

// ---- Held branches ------------------------------------------------------------------------------

std::vector<HeldBranch> Store::Questions(bool old) const {
  std::vector<HeldBranch> held;
  for (std::size_t t = 0; t < rows_.size(); ++t) {
    for (std::size_t b = 0; b < rows_[t].size(); ++b) {
      const Row& row = rows_[t][b];
      const bool prepared = row.state == State::kPrepared;
      const bool retire = old && row.state != State::kNone && sim_.now - row.touched >= Retention();
      if (prepared || retire)
        held.push_back(
            {ledger_.plan(t).gid, Ledger::BranchIdOf(b), row.coordinator_id, row.began_epoch});
    }
  }
  return held;
}

Time Store::RetentionEnds() const {
  Time first = -1;
  for (const auto& rows : rows_) {
    for (const Row& row : rows) {
      if (row.state == State::kNone || row.state == State::kPrepared) continue;
      const Time ends = row.touched + Retention();
      first = first < 0 ? ends : std::min(first, ends);
    }
  }
  return first;
}

void Store::Answer(const HeldBranch& held, Verdict verdict, bool finished) {
  const std::size_t txn = ledger_.Find(held.gid);
  const std::size_t branch = ledger_.FindBranch(txn, held.branch_id);
  const Row& row = RowOf(txn, branch);
  if (row.state == State::kPrepared) {
    Call call;
    call.gid = held.gid;
    call.branch_id = held.branch_id;
    call.protocol = Protocol::kTwoPhase;
    if (verdict == Verdict::kUndecided) sim_.marks.Set(Mark::kQuestionUndecided);
    if (verdict == Verdict::kCommit) {
      sim_.marks.Set(Mark::kQuestionCommit);
      if (ledger_.books(txn).branches[branch].resolved == core::Decision::kNone)
        ledger_.Touch(txn).heard_commit = true;
      (void)Finish(call, txn, branch);
    }
    if (verdict == Verdict::kAbort) {
      sim_.marks.Set(Mark::kQuestionAbort);
      if (ledger_.books(txn).branches[branch].resolved == core::Decision::kNone)
        ledger_.Touch(txn).heard_abort = true;
      (void)Undo(call, txn, branch);
    }
    return;
  }
  const bool known = verdict == Verdict::kCommit || verdict == Verdict::kAbort;
  const bool frozen = row.state == State::kDone && row.protocol == Protocol::kTcc;
  if (!finished || !known || frozen || row.state == State::kNone) return;
  if (sim_.now - row.touched < Retention()) return;
  sim_.marks.Set(Mark::kBarrierRetired);
  Change(txn, branch) = Row{};
}

// ---- The books of the business ------------------------------------------------------------------

bool Store::Balanced() const {
  return std::all_of(accounts_.begin(), accounts_.end(), [](const Account& a) {
    return a.available + a.held + a.spent == a.initial && a.held >= 0;
  });
}

bool Store::AnythingHeld() const {
  return std::any_of(accounts_.begin(), accounts_.end(),
                     [](const Account& a) { return a.held != 0 || a.claimed_by != 0; });
}

}  // namespace assent::sim
