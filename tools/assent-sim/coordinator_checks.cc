// What goes out of a coordinator, and what participants are told, held against what is durable.

#include <algorithm>

#include "tools/assent-sim/coordinator_cluster.h"
#include "tools/assent-sim/coordinator_life.h"
#include "tools/assent-sim/invariants.h"
#include "tools/assent-sim/shared_store.h"

namespace assent::sim {

void Coordinator::CheckSend(const transport::Command& command) {
  const std::size_t t = ledger_.Find(command.gid);
  if (t == ledger_.size())
    return sim_.Violate("a command for " + command.gid + ", which nobody began");
  TransactionBooks& books = ledger_.Touch(t);
  const core::Transaction* durable = books.durable ? &*books.durable : nullptr;
  if (place_.store != nullptr) {
    const Slot slot = SlotOf(command.gid, static_cast<Slot>(sim_.options.slots));
    if (!place_.store->audit().MaySend(life_->epoch, slot))
      return sim_.Violate("S16 broken by " + command.gid +
                          ": it is sent for before a commit stands behind what was read");
    if (!Current(command.gid)) {
      books.branches[ledger_.FindBranch(t, command.branch_id)].last_sent_life = 0;
      return sim_.marks.Set(Mark::kStaleOwnerSends);
    }
  }
  const std::uint64_t durable_epoch =
      place_.store == nullptr ? disk_->durable().epoch : life_->epoch;
  const SendSeen seen{books, durable, durable_epoch, life_->epoch, command};
  const std::string broken = BrokenAtSend(seen);
  if (!broken.empty() && SendsForLost(command.gid)) {
    books.branches[ledger_.FindBranch(t, command.branch_id)].last_sent_life = 0;
    return sim_.marks.Set(Mark::kLostSender);
  }
  if (!broken.empty()) return sim_.Violate(broken);
  const core::TransactionSpec& asked = ledger_.plan(t).spec;
  const auto carried = ParseTraceparent(command.traceparent);
  if (carried.has_value() != (asked.trace != nullptr) ||
      (carried && carried->trace_id != asked.trace->trace_id))
    return sim_.Violate("a command for " + command.gid + " is not of its initiator's trace");

  const std::size_t b = ledger_.FindBranch(t, command.branch_id);
  BranchBooks& branch = books.branches[b];
  const Time pause = sim_.now - branch.last_sent_at;
  const bool again = branch.last_sent == command.operation && branch.last_sent_life == life_number_;
  if (again) {
    sim_.marks.Set(Mark::kAttemptTimedOut);
    const Time least = durable->spec().branches[b].retry.initial_backoff.count() * kMillisecond / 2;
    if (pause < least) ++branch.hasty;
    if (durable->decision() == core::Decision::kCommit &&
        command.operation == core::Operation::kAction)
      sim_.marks.Set(Mark::kForwardAfterPivot);
  }
  branch.last_sent = command.operation;
  branch.last_sent_at = sim_.now;
  branch.last_sent_life = life_number_;
  branch.last_attempt = command.attempt;
  branch.last_timeout = command.timeout.count() * kMillisecond;
}

bool Coordinator::Serves(Slot slot) const {
  return life_ && life_->cluster && life_->cluster->Serves(slot);
}

bool Coordinator::HasSetAside() const {
  return life_ && life_->cluster && life_->cluster->has_set_aside();
}

// What it was told to be durable is not there any more, and its lane has not heard of that.
bool Coordinator::SendsForLost(const std::string& gid) const {
  if (place_.store == nullptr || !ledger_.books(ledger_.Find(gid)).restored) return false;
  const auto lane = static_cast<std::uint32_t>(ShardOf(gid));
  return place_.store->audit().Regressed({life_->epoch, lane});
}

bool Coordinator::IsStaleOwnerOf(const std::string& gid) const {
  return life_ && life_->cluster &&
         life_->cluster->Has(SlotOf(gid, static_cast<Slot>(sim_.options.slots))) && !Current(gid);
}

std::uint64_t Coordinator::epoch() const { return life_ ? life_->epoch : 0; }

// Others have its slot, and it does not know yet: what it sends rests on what was durable when it
// had it. Participants refuse it, by the barrier or the slot's epoch.
bool Coordinator::Current(const std::string& gid) const {
  const StoreImage& store = place_.store->durable();
  const Slot slot = SlotOf(gid, static_cast<Slot>(sim_.options.slots));
  return store.slots[slot].owner == life_->epoch && !store.Ended(life_->epoch);
}

// What leaves is what was handed over last, and within its time: the sender has given up on
// anything else.
void Coordinator::CheckLeaves(const std::string& gid, const std::string& branch_id, int operation,
                              std::uint32_t attempt) {
  const std::size_t t = ledger_.Find(gid);
  if (t == ledger_.size()) return;  // CheckSend has said so
  const BranchBooks& branch = ledger_.books(t).branches[ledger_.FindBranch(t, branch_id)];
  if (place_.store != nullptr && branch.last_sent_life != life_number_) return;  // see Current
  if (static_cast<int>(branch.last_sent) != operation || branch.last_attempt != attempt ||
      branch.last_sent_life != life_number_)
    sim_.Violate("a command of " + gid + " leaves after a newer one was handed over");
  if (sim_.now >= branch.last_sent_at + branch.last_timeout)
    sim_.Violate("a command of " + gid + " leaves after its time");
}

void Coordinator::CheckTold(const transport::OutcomeAnswer& answer, std::uint64_t began_epoch) {
  const TransactionBooks& books = ledger_.books(ledger_.Find(answer.gid));
  const bool by_hand = books.by_hand || books.restored;
  const auto lives =
      place_.store == nullptr ? disk_->seen().epochs : place_.store->durable().Epochs();
  const bool own = std::binary_search(lives.begin(), lives.end(), began_epoch);
  // A member of an earlier generation that has lost nothing goes on, and knows what it decided.
  const bool decided = place_.store != nullptr && books.abort_durable;
  if (answer.verdict == transport::Verdict::kAbort && !own && !decided)
    sim_.Violate("S9 broken by " + answer.gid +
                 ": abort is presumed of an epoch that this log has missed");
  if (answer.verdict == transport::Verdict::kCannotTell) sim_.marks.Set(Mark::kCannotTell);
  if (answer.verdict == transport::Verdict::kAbort && books.commit_durable && !by_hand &&
      !books.forgotten)
    sim_.Violate("S9 broken by " + answer.gid +
                 ": a participant is told abort, and COMMIT is durable");
  if (answer.verdict == transport::Verdict::kCommit && !books.commit_durable && !by_hand)
    sim_.Violate("S6 broken by " + answer.gid +
                 ": a participant is told commit, and COMMIT is not durable");
  sim_.Mix(static_cast<std::uint64_t>(answer.verdict));
}

}  // namespace assent::sim
