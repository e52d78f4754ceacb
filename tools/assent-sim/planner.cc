#include "tools/assent-sim/planner.h"

#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/core/spec.h"
#include "coordinator/core/trace.h"
#include "tools/assent-sim/ledger.h"

namespace assent::sim {
namespace {

core::Protocol DrawProtocol(Sim& sim) {
  for (;;) {
    const std::uint64_t i = sim.dice.Below(3);
    if ((sim.options.protocols >> i) & 1) return static_cast<core::Protocol>(i + 1);
  }
}

core::Millis ToMillis(Time time) { return core::Millis(std::max<Time>(1, time / kMillisecond)); }

core::BranchSpec SpecOf(Sim& sim, const BranchPlan& plan, std::size_t index) {
  core::BranchSpec spec;
  spec.id = Ledger::BranchIdOf(index);
  spec.protocol = plan.protocol;
  spec.service = "s" + std::to_string(plan.service);
  spec.action = "act";
  spec.payload = plan.payload;
  spec.pivot = plan.pivot;
  spec.check_back = plan.check_back;
  spec.receive_results = sim.dice.Chance(300);
  spec.retry.initial_backoff = ToMillis(sim.options.backoff);
  spec.retry.max_backoff = ToMillis(sim.options.max_backoff);
  if (sim.dice.Chance(sim.options.bounded_attempts))
    spec.retry.max_attempts = static_cast<std::uint32_t>(sim.dice.Between(1, 4));
  spec.attempt_timeout = ToMillis(sim.options.attempt_timeout);
  return spec;
}

// Which accounts, and how much: a transfer takes here and gives there; a token moves nothing; an
// order takes stock and takes money.
void DrawAmounts(Sim& sim, std::vector<BranchPlan>& branches) {
  std::int64_t carried = 0;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    BranchPlan& b = branches[i];
    switch (sim.options.workload) {
      case Workload::kTransfers:
        if (i + 1 == branches.size()) {
          b.amount = -carried;
        } else {
          b.amount = sim.dice.Between(1, 9);
          carried += b.amount;
        }
        break;
      case Workload::kTokens: b.amount = 0; break;
      case Workload::kOrders: b.amount = sim.dice.Between(1, 5); break;
    }
  }
}

std::vector<BranchPlan> DrawBranches(Sim& sim, std::size_t t) {
  const Options& o = sim.options;
  const std::size_t count =
      sim.dice.Chance(o.single_branch) ? 1 : 1 + sim.dice.Below(o.max_branches);
  std::vector<BranchPlan> branches(count);
  for (std::size_t i = 0; i < count; ++i) {
    BranchPlan& b = branches[i];
    b.protocol = DrawProtocol(sim);
    b.service = static_cast<std::uint32_t>(sim.dice.Below(o.services));
    b.account = static_cast<std::uint32_t>(sim.dice.Below(o.accounts));
    b.refuse = sim.dice.Chance(o.refuse);
    // A transfer of which half only looks would not be one.
    b.read_only = sim.dice.Chance(o.read_only) && o.workload != Workload::kTransfers;
  }
  DrawAmounts(sim, branches);
  for (std::size_t i = 0; i < count; ++i) {
    branches[i].payload =
        Ledger::GidOf(t) + "." + std::to_string(i) + ":" + std::to_string(branches[i].amount);
  }
  return branches;
}

void DrawPivot(Sim& sim, std::vector<BranchPlan>& branches) {
  std::vector<std::size_t> steps;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    if (branches[i].protocol == core::Protocol::kSaga) steps.push_back(i);
  }
  if (steps.empty() || !sim.dice.Chance(sim.options.pivot)) return;
  const bool check_back = steps.front() == 0 && sim.dice.Chance(sim.options.check_back);
  const std::size_t pivot = check_back ? 0 : steps[sim.dice.Below(steps.size())];
  branches[pivot].pivot = true;
  branches[pivot].check_back = check_back;
  // An account that nobody prepares: a pivot in doubt may not be given up, and if it waits for a
  // row that waits for another such pivot, only a person can help (docs/correctness.md, "Two-phase
  // commit blocks").
  branches[pivot].account = sim.options.accounts;
  // What comes after the pivot cannot refuse.
  for (std::size_t i = pivot + 1; i < branches.size(); ++i) {
    branches[i].refuse = false;
    branches[i].cannot_refuse = true;
    branches[i].amount = std::min<std::int64_t>(branches[i].amount, 0);
    branches[i].payload += "+";
  }
  if (sim.options.workload != Workload::kTransfers || pivot + 1 >= branches.size()) return;
  // ... and a transfer still gives as much as it takes.
  std::int64_t others = 0;
  for (std::size_t i = 0; i + 1 < branches.size(); ++i) others += branches[i].amount;
  branches.back().amount = -others;
}

TransactionPlan DrawPlan(Sim& sim, std::size_t t) {
  const Options& o = sim.options;
  TransactionPlan plan;
  plan.gid = Ledger::GidOf(t);
  plan.branches = DrawBranches(sim, t);
  plan.form = sim.dice.Chance(o.interactive) ? InitiatorForm::kInteractive : InitiatorForm::kSubmit;
  if (plan.form == InitiatorForm::kSubmit) DrawPivot(sim, plan.branches);
  plan.rolls_back = sim.dice.Chance(200);
  plan.vanishes = sim.dice.Chance(o.initiator_vanishes);
  plan.repeats = sim.dice.Chance(o.initiator_retries);
  plan.other_content = plan.repeats && sim.dice.Chance(o.other_content);
  if (plan.checks_back()) {
    plan.other_content = false;
    plan.branches[0].refuse = false;
    plan.patience = sim.Draw(2 * o.deadline);
    plan.commits_after = sim.Draw(sim.dice.Chance(800) ? plan.patience : 2 * plan.patience);
    if (sim.dice.Chance(300)) {  // shortly before the deadline, which must mean nothing
      plan.patience = 2 * o.deadline;
      plan.commits_after = o.deadline - sim.Draw(std::min(o.deadline, 2 * o.max_backoff));
    }
  }
  plan.starts_at = static_cast<Time>(sim.dice.Below(static_cast<std::uint64_t>(o.window) / 2 + 1));
  plan.spec.gid = plan.gid;
  if (t % 3 == 0) plan.spec.trace = core::NewTrace(plan.gid, 1, t);
  plan.spec.deadline = ToMillis(o.deadline);
  plan.spec.open = plan.form == InitiatorForm::kInteractive;
  if (sim.dice.Chance(o.declared_order))
    plan.spec.ordering =
        sim.dice.Chance(500) ? core::Ordering::kSequential : core::Ordering::kDeclared;
  std::vector<core::BranchSpec> specs;
  for (std::size_t i = 0; i < plan.branches.size(); ++i) {
    specs.push_back(SpecOf(sim, plan.branches[i], i));
    if (plan.spec.ordering == core::Ordering::kDeclared && i > 0 && sim.dice.Chance(500))
      specs.back().after_ids.push_back(Ledger::BranchIdOf(sim.dice.Below(i)));
  }
  (plan.spec.open ? plan.added : plan.spec.branches) = std::move(specs);
  return plan;
}

// One that must not refuse waits for what another branch of the same transaction has prepared:
// nobody can help it.
bool BlocksItself(const std::vector<BranchPlan>& branches) {
  for (const BranchPlan& waiter : branches) {
    for (const BranchPlan& holder : branches) {
      if (&waiter != &holder && waiter.cannot_refuse &&
          holder.protocol == core::Protocol::kTwoPhase && waiter.service == holder.service &&
          waiter.account == holder.account)
        return true;
    }
  }
  return false;
}

// A transaction that nobody may submit (a TCC branch after a pivot, say) is made plainer until it
// may be.
TransactionPlan DrawLegalPlan(Sim& sim, std::size_t t) {
  for (;;) {
    TransactionPlan plan = DrawPlan(sim, t);
    if (!core::Normalise(plan.spec).ok() || BlocksItself(plan.branches)) continue;
    return plan;
  }
}

}  // namespace

std::vector<TransactionPlan> DrawPlans(Sim& sim) {
  std::vector<TransactionPlan> plans;
  for (std::size_t t = 0; t < sim.options.transactions; ++t) plans.push_back(DrawLegalPlan(sim, t));
  return plans;
}

}  // namespace assent::sim
