// The rules that look at the whole world: conservation, liveness, and that nothing is left behind.

#include <algorithm>

#include "coordinator/core/describe.h"
#include "tools/assent-sim/invariants.h"
#include "tools/assent-sim/workloads.h"
#include "tools/assent-sim/world.h"

namespace assent::sim {

// L1's only excuses: one of its participants is gone for good; or an older copy of the log was put
// back, and this transaction had gone on since, or needs what such a one may hold.
bool World::Excused(std::size_t t) const {
  const auto uses = [&](std::size_t other, std::int64_t service) {
    const auto& branches = ledger_.plan(other).branches;
    return std::any_of(branches.begin(), branches.end(), [&](const BranchPlan& b) {
      return static_cast<std::int64_t>(b.service) == service;
    });
  };
  if (dead_service_ >= 0 && uses(t, dead_service_)) return true;
  for (std::size_t other = 0; other < ledger_.size(); ++other) {
    if (!ledger_.books(other).restored) continue;
    if (other == t) return true;
    for (const BranchPlan& b : ledger_.plan(other).branches) {
      if (uses(t, b.service)) return true;
    }
  }
  return false;
}

bool World::AnyRestored() const {
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    if (ledger_.books(t).restored) return true;
  }
  return false;
}

bool World::AtRest() const {
  std::size_t excused = 0;
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    const bool unfinished = ledger_.books(t).unfinished();
    if (!Excused(t) && (unfinished || !people_->Done(t))) return false;
    if (unfinished) ++excused;
  }
  // To one that is gone for good something is on its way at all times; and who holds what a
  // restored log has missed is told CANNOT_TELL, and asks on.
  if (excused > 0 || AnyRestored()) return true;
  if (!std::all_of(coordinators_.begin(), coordinators_.end(),
                   [](const auto& c) { return c->idle() && c->live_count() == 0; }) ||
      !Settled())
    return false;
  return network_.letters_under_way == 0 &&
         std::all_of(participants_.begin(), participants_.end(), [](const auto& participant) {
           return participant->idle() && (participant->unary() || !participant->store().HoldsAny());
         });
}

// L1: how long anything may take once nothing goes wrong any more. Generous, and finite: the
// deadline, then each branch forward and back through its timeouts and backoffs, the participants'
// questions, and the slowest message.
Time World::Bound() const {
  const Options& o = sim_.options;
  const Time pace =
      8 * (o.net_max + o.turn_max + o.log_write_max + o.log_sync_max + o.group_max + o.commit_max);
  const Time branches = o.max_branches + 1;
  const Time retries = (o.attempt_timeout + o.max_backoff + o.hub_tick + pace) * 8 * branches;
  const Time slow = o.slow_call > 0 ? o.window * 8 : 0;
  const Time hours = o.unary_hours > 0 ? 4 * kHour : 0;
  const Time initiators = 70 * (4 * o.deadline + kSecond + o.restart_max);
  return o.deadline + retries * o.transactions + slow + hours + initiators +
         4 * o.question_interval + 4 * o.keepalive + 60 * kSecond + o.window + o.restart_max * 8 +
         (o.coordinators > 1 ? 64 * o.lease : 0);
}

std::string World::WhyNotAtRest() const {
  std::string text;
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    if (!ledger_.books(t).unfinished() || Excused(t)) continue;
    text += ledger_.plan(t).gid + " has not ended: " +
            core::WhyNotFinished(*ledger_.books(t).durable, {sim_.Mono(), sim_.Wall(), 0}) + "; ";
  }
  for (const auto& c : coordinators_) {
    if (text.empty() && !c->idle()) text = "the coordinator is not idle";
    if (text.empty() && c->live_count() > 0) text = "a transaction is live that is not durable";
  }
  if (text.empty() && store_ && !OldRowsGone())
    text = "what has been kept for its time is still there";
  if (text.empty() && !Settled()) text = "a slot is nobody's, or not where it was moved to";
  for (const auto& participant : participants_) {
    if (text.empty() && !participant->idle()) text = participant->name() + " is not idle";
    if (text.empty() && participant->store().HoldsAny())
      text = participant->name() + " holds prepared work";
  }
  if (text.empty() && network_.letters_under_way > 0) text = "letters are under way";
  if (text.empty()) text = "an initiator still waits";
  return text;
}

void World::CheckBound() {
  if (sim_.now - healed_at_ <= Bound()) return;
  sim_.Violate("L1 broken: not at rest long after the world healed; " + WhyNotAtRest());
}

void World::CheckRest() {
  if (!sim_.violation().empty()) return;
  if (!AtRest())
    return sim_.Violate("L1 broken: nothing is left to happen, and the world is not at rest; " +
                        WhyNotAtRest());
  if (std::any_of(coordinators_.begin(), coordinators_.end(),
                  [](const auto& c) { return c->live_count() == 0 && c->waiting_count() != 0; }))
    return sim_.Violate("everything has ended, and something is said to wait for a service");
  bool by_hand = dead_service_ >= 0;
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    const TransactionBooks& books = ledger_.books(t);
    by_hand = by_hand || books.by_hand || books.restored;
    std::size_t undone = 0;
    for (const BranchBooks& b : books.branches) undone += b.undo;
    if (undone > 1) sim_.marks.Set(Mark::kCompensatedTwo);
    if (books.commit_durable &&
        std::any_of(books.plan->branches.begin(), books.plan->branches.end(),
                    [](const BranchPlan& b) { return b.pivot; }))
      sim_.marks.Set(Mark::kPivotDecided);
    if (Excused(t) && !(books.ended && dead_service_ < 0)) continue;
    const std::string broken = BrokenAtRest(books);
    if (!broken.empty()) return sim_.Violate(broken);
    // S3: no faults, all yes, in time, and in no older one's way: commits.
    const bool willing = std::none_of(books.plan->branches.begin(), books.plan->branches.end(),
                                      [](const BranchPlan& b) { return b.refuse; });
    const bool refused =
        std::any_of(books.branches.begin(), books.branches.end(),
                    [](const BranchBooks& b) { return b.refused || b.said_later; });
    const Options& o = sim_.options;
    if (o.faultless() && willing && !refused && !books.in_the_way && books.begun &&
        !books.commit_durable && o.retry_later == 0 && o.refuse_second == 0 &&
        books.plan->form == InitiatorForm::kSubmit && !books.plan->checks_back() &&
        o.deadline > 100 * o.attempt_timeout && o.bounded_attempts == 0)
      return sim_.Violate("S3 broken by " + books.plan->gid +
                          ": no faults, all yes, in time, and it did not commit");
  }
  if (by_hand) return;
  for (const auto& participant : participants_) {
    if (participant->store().AnythingHeld())
      return sim_.Violate("T6 broken: " + participant->name() +
                          " still holds something, and everything has ended");
  }
  if (!sim_.options.business_checks) return;
  std::vector<const Store*> stores;
  for (const auto& participant : participants_) stores.push_back(&participant->store());
  const std::string broken = BrokenBusiness(sim_.options, ledger_, stores);
  if (!broken.empty()) sim_.Violate(broken);
}

}  // namespace assent::sim
