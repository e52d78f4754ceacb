#include "tools/assent-sim/people.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tools/assent-sim/invariants.h"

namespace assent::sim {
namespace {

constexpr std::uint32_t kMaxTries = 60;

}  // namespace

void People::Open() {
  initiators_.resize(ledger_.size());
  held_.resize(ledger_.size());
  for (std::size_t t = 0; t < ledger_.size(); ++t)
    sim_.At(ledger_.plan(t).starts_at, EventKind::kInitiator, t);
}

Coordinator* People::Any() {
  std::vector<Coordinator*> open;
  for (Coordinator* coordinator : coordinators_) {
    if (coordinator->life() != 0) open.push_back(coordinator);
  }
  if (open.size() < 2) return open.empty() ? nullptr : open.front();
  return open[sim_.dice.Below(open.size())];
}

void People::Post(const std::string& gid, engine::Request request) {
  if (Coordinator* coordinator = Any()) (void)coordinator->Post(gid, std::move(request));
}

// ---- What anybody is told -----------------------------------------------------------------------

void People::Told(std::size_t t, const Status& status, const core::Transaction* shown,
                  const char* who) {
  sim_.Mix(static_cast<std::uint64_t>(status.code()) * 64 + t);
  sim_.Say([&] {
    std::string text = std::string(who) + " of " + ledger_.plan(t).gid + " is told ";
    if (shown == nullptr) return text + status.ToString();
    text += std::string(core::Name(shown->phase()));
    if (shown->decision() != core::Decision::kNone)
      text += ", " + std::string(core::Name(shown->outcome()));
    return text + (shown->abort_reason().empty() ? "" : " (" + shown->abort_reason() + ")");
  });
  if (shown == nullptr) return;
  TransactionBooks& books = ledger_.Touch(t);
  const std::string broken = BrokenAtTold({books, *shown, sim_.now});
  if (!broken.empty()) sim_.Violate(broken + ", when told to " + who);
  books.heard_commit = books.heard_commit || shown->decision() == core::Decision::kCommit;
  books.heard_abort = books.heard_abort || shown->decision() == core::Decision::kAbort;
  if (shown->abort_reason().rfind("deadline of", 0) == 0) sim_.marks.Set(Mark::kDeadlineAbort);
  if (shown->decision() == core::Decision::kAbort && shown->branches().size() == 1 &&
      shown->branches()[0].one_phase && books.branches[0].tombstone)
    sim_.marks.Set(Mark::kOnePhasePrevented);
}

engine::ViewCallback People::Watcher(std::size_t t, const char* who) {
  return [this, t, who](const Status& status, const core::Transaction* shown, const core::Now&) {
    Told(t, status, shown, who);
  };
}

// ---- Initiators ---------------------------------------------------------------------------------

engine::ViewCallback People::Listener(std::size_t t, std::uint64_t call) {
  return [this, t, call](const Status& status, const core::Transaction* shown, const core::Now&) {
    Told(t, status, shown, "the initiator");
    OnAnswer(t, call, status, shown);
  };
}

void People::OnInitiator(std::size_t t) {
  Initiator& me = initiators_[t];
  if (me.done) return;
  if (++me.tries > kMaxTries) {
    me.done = true;  // enough: it vanishes
    return;
  }
  Coordinator* coordinator = Any();
  if (coordinator == nullptr) return Again(t);
  me.outstanding = ++me.call;
  if (ledger_.books(t).asked_at < 0) ledger_.Touch(t).asked_at = sim_.now;
  me.asked_life = coordinator->life();
  const Time patience = sim_.Draw(4 * sim_.options.deadline + kSecond);
  sim_.After(patience, EventKind::kPatienceEnds, t, me.call);
  const TransactionPlan& plan = ledger_.plan(t);
  if (plan.form == InitiatorForm::kSubmit) {
    Submit(t, plan.other_content && me.repeated);
  } else {
    Step(t);
  }
  if (plan.checks_back()) return;
  if (plan.vanishes && (plan.form == InitiatorForm::kSubmit || me.step > plan.added.size() / 2)) {
    if (plan.form == InitiatorForm::kInteractive) sim_.marks.Set(Mark::kInteractiveVanished);
    me.done = true;
  }
}

void People::Again(std::size_t t) {
  initiators_[t].outstanding = 0;
  sim_.After(sim_.Draw(sim_.options.restart_max + kMillisecond), EventKind::kInitiator, t);
}

// No answer, or the coordinator went away with it: the outcome is unknown, and the same thing is
// asked again.
void People::OnPatienceEnds(std::size_t t, std::uint64_t call) {
  Initiator& me = initiators_[t];
  if (me.done || me.outstanding != call) return;
  me.unsure = true;
  sim_.Say([&] {
    return "the initiator of " + ledger_.plan(t).gid + " has waited enough and asks again";
  });
  OnInitiator(t);
}

void People::Submit(std::size_t t, bool changed) {
  engine::BeginRequest request;
  request.spec = ledger_.plan(t).spec;
  if (changed) request.spec.branches[0].payload += "!";
  request.wait_for = static_cast<engine::WaitFor>(sim_.dice.Below(3));
  request.done = Listener(t, initiators_[t].call);
  sim_.Say([&] {
    return "the initiator submits " + ledger_.plan(t).gid + (changed ? " with other content" : "");
  });
  if (ledger_.plan(t).checks_back()) ++ledger_.Touch(t).wakers;
  if (ledger_.books(t).ended) {
    sim_.marks.Set(Mark::kRetriedAfterEnd);
  } else if (ledger_.books(t).durable) {
    sim_.marks.Set(Mark::kJoinedLive);
  }
  Post(ledger_.plan(t).gid, std::move(request));
}

// Begin, then each branch, then commit or roll back.
void People::Step(std::size_t t) {
  const TransactionPlan& plan = ledger_.plan(t);
  const Initiator& me = initiators_[t];
  if (me.step == 0) {
    engine::BeginRequest request;
    request.spec = plan.spec;
    request.wait_for = engine::WaitFor::kAccepted;
    request.done = Listener(t, me.call);
    sim_.Say([&] { return "the initiator begins " + plan.gid; });
    Post(plan.gid, std::move(request));
  } else if (me.step <= plan.added.size()) {
    engine::ExecuteRequest request;
    request.gid = plan.gid;
    request.branch = plan.added[me.step - 1];
    request.done = [listen = Listener(t, me.call)](
                       const Status& status, const core::Transaction* shown, core::BranchIndex) {
      listen(status, shown, core::Now{});
    };
    sim_.Say([&] { return "the initiator adds " + request.branch.id + " to " + plan.gid; });
    Post(plan.gid, std::move(request));
  } else {
    engine::CloseRequest request;
    request.gid = plan.gid;
    request.commit = !plan.rolls_back;
    request.wait_for = static_cast<engine::WaitFor>(sim_.dice.Below(3));
    request.done = Listener(t, me.call);
    sim_.Say([&] {
      return "the initiator " + std::string(plan.rolls_back ? "rolls back " : "commits ") +
             plan.gid;
    });
    Post(plan.gid, std::move(request));
  }
}

void People::OnAnswer(std::size_t t, std::uint64_t call, const Status& status,
                      const core::Transaction* shown) {
  Initiator& me = initiators_[t];
  if (me.done || me.outstanding != call) return;
  me.outstanding = 0;
  const TransactionPlan& plan = ledger_.plan(t);
  const bool nothing_done = status.code() == Code::kResourceExhausted ||
                            status.code() == Code::kUnavailable ||
                            status.code() == Code::kElsewhere;
  if (nothing_done && !me.unsure && me.step == 0 && !me.repeated && ledger_.books(t).begun)
    sim_.Violate("S14 broken by " + plan.gid +
                 ": the initiator is told that nothing was begun, and it is");
  if (!nothing_done) me.unsure = true;
  if (status.code() == Code::kResourceExhausted || status.code() == Code::kUnavailable) {
    if (shown == nullptr)
      sim_.marks.Set(status.message().find("transactions") != std::string::npos
                         ? Mark::kTooManyLive
                         : Mark::kFullRefusedBegin);
    return Again(t);
  }
  // It may have been done by one who has lost the slot since: another one knows.
  const bool elsewhere =
      status.code() == Code::kUnknownOutcome || status.code() == Code::kElsewhere;
  if (elsewhere && coordinators_.size() > 1) return Again(t);
  if (status.code() == Code::kAlreadyExists) sim_.marks.Set(Mark::kOtherContent);
  if (plan.form == InitiatorForm::kInteractive) return OnStepAnswer(t, status, shown);
  if (status.ok() && shown != nullptr && plan.checks_back() && me.step == 0) {
    me.step = 1;
    if (plan.rolls_back) {
      me.done = true;  // it has died
      return;
    }
    return sim_.After(plan.commits_after, EventKind::kLocalCommit, t);
  }
  if (status.ok() && shown != nullptr && plan.repeats && !me.repeated) {
    me.repeated = true;
    return Again(t);
  }
  me.done = true;
}

void People::OnLocalEnd(std::size_t t, bool committed) {
  sim_.Say([&] {
    return "the initiator of " + ledger_.plan(t).gid +
           (committed ? " has committed its own part" : " cannot commit its own part");
  });
  if (committed) sim_.marks.Set(Mark::kCommittedByItself);
  Initiator& me = initiators_[t];
  me.repeated = committed;
  if (!committed || ledger_.plan(t).vanishes) {
    me.done = true;
    return;
  }
  Again(t);
}

void People::OnStepAnswer(std::size_t t, const Status& status, const core::Transaction* shown) {
  Initiator& me = initiators_[t];
  const TransactionPlan& plan = ledger_.plan(t);
  if (!status.ok() || shown == nullptr) {
    me.done = true;
    return;
  }
  const bool closing = me.step > plan.added.size();
  if (closing) {
    if (shown->decision() == core::Decision::kCommit) sim_.marks.Set(Mark::kInteractiveCommitted);
    if (plan.rolls_back) sim_.marks.Set(Mark::kInteractiveAborted);
    me.done = true;
    return;
  }
  if (shown->decision() == core::Decision::kAbort) {
    me.done = true;
    return;
  }
  ++me.step;
  sim_.After(sim_.Draw(sim_.options.net_max), EventKind::kInitiator, t);
}

// ---- Operators ----------------------------------------------------------------------------------

void People::Act(std::size_t t, engine::OperatorVerb verb) {
  engine::OperatorRequest request;
  request.gid = ledger_.plan(t).gid;
  request.verb = verb;
  request.actor = core::Actor{"op", "simulated"};
  request.dry_run = sim_.dice.Chance(100);
  if (verb == engine::OperatorVerb::kResolve) {
    request.branch_id = Ledger::BranchIdOf(sim_.dice.Below(ledger_.plan(t).branches.size()));
    request.resolution = sim_.dice.Chance(500) ? core::Decision::kCommit : core::Decision::kAbort;
  }
  const bool dry = request.dry_run;
  static constexpr std::array kVerbs = {"retries", "aborts", "suspends", "resumes",
                                        "resolves a branch of"};
  const char* name = kVerbs[static_cast<std::size_t>(verb)];
  request.done = [this, t, verb, dry](const Status& status, const core::Transaction* shown,
                                      const core::Now&) {
    Told(t, status, shown, "the operator");
    if (!status.ok() || dry) return;
    if (verb == engine::OperatorVerb::kAbort) sim_.marks.Set(Mark::kOperatorAbort);
    if (verb == engine::OperatorVerb::kResume) sim_.marks.Set(Mark::kOperatorResume);
    if (verb == engine::OperatorVerb::kResolve) sim_.marks.Set(Mark::kOperatorResolve);
  };
  sim_.Say([&] {
    return std::string("an operator ") + name + " " + request.gid + (dry ? " (dry run)" : "");
  });
  ++ledger_.Touch(t).wakers;
  if (verb == engine::OperatorVerb::kSuspend) held_[t] = true;
  Post(request.gid, std::move(request));
}

void People::Forget(std::size_t t) {
  if (!ledger_.books(t).ended || !initiators_[t].done || Any() == nullptr) return;
  ledger_.Touch(t).forgotten = true;
  const std::uint64_t serial = ledger_.books(t).serial;
  const std::string gid = ledger_.plan(t).gid;
  sim_.Say([&] { return "an operator forgets " + gid; });
  engine::ForgetRequest request;
  request.gid = gid;
  request.done = [this, t, serial](const Status& status, const core::Transaction* shown,
                                   const core::Now&) {
    Told(t, status, shown, "the operator");
    if (status.ok()) AskForForgotten(t, serial);
  };
  Post(gid, std::move(request));
}

void People::AskForForgotten(std::size_t t, std::uint64_t serial) {
  engine::GetRequest request;
  request.gid = ledger_.plan(t).gid;
  request.done = [this, t, serial](const Status& status, const core::Transaction* shown,
                                   const core::Now&) {
    // A call of its initiator that was long on its way begins it anew.
    const bool anew = ledger_.books(t).serial != serial;
    if (shown != nullptr && !anew && !AnyStale(ledger_.plan(t).gid))
      sim_.Violate("S7: a forgotten transaction is shown");
    if (status.code() == Code::kNotFound) sim_.marks.Set(Mark::kAskedForgotten);
    Told(t, status, shown, "one who asks too late");
  };
  Post(ledger_.plan(t).gid, std::move(request));
}

// What such a one shows is true, and may be over.
bool People::AnyStale(const std::string& gid) const {
  return std::any_of(coordinators_.begin(), coordinators_.end(),
                     [&](const Coordinator* c) { return c->IsStaleOwnerOf(gid); });
}

void People::Watch(std::size_t t) {
  const std::string gid = ledger_.plan(t).gid;
  Post(gid, engine::WatchRequest{gid, [this, t](const Status& status,
                                                const core::Transaction* shown, const core::Now&) {
                                   Told(t, status, shown, "a watcher");
                                   return true;
                                 }});
}

// By preference a branch that can be resolved; and looks at what came of it at once.
void People::ResolveSomething(std::size_t t) {
  // Who is called over unary has no way to ask what was resolved, and would hold its rows for ever.
  if (sim_.options.unary_services > 0) return Act(t, engine::OperatorVerb::kRetryNow);
  for (std::size_t i = 0; i < ledger_.size(); ++i) {
    const std::size_t other = (t + i) % ledger_.size();
    const auto& durable = ledger_.books(other).durable;
    if (!durable || durable->decision() == core::Decision::kNone) continue;
    t = other;
    break;
  }
  // The same of one that will be set aside: its participant's question would be answered
  // CANNOT_TELL.
  if (ledger_.books(t).gid_taken) return Act(t, engine::OperatorVerb::kRetryNow);
  Act(t, engine::OperatorVerb::kResolve);
  const std::string& gid = ledger_.plan(t).gid;
  Post(gid, engine::GetRequest{gid, Watcher(t, "one who looks")});
}

void People::Operate() {
  const std::size_t t = sim_.dice.Below(ledger_.size());
  const std::string& gid = ledger_.plan(t).gid;
  switch (sim_.dice.Below(10)) {
    case 0: return Act(t, engine::OperatorVerb::kRetryNow);
    case 1: return Act(t, engine::OperatorVerb::kAbort);
    case 2: return Act(t, engine::OperatorVerb::kSuspend);
    case 3: return Act(t, engine::OperatorVerb::kResume);
    case 4: return ResolveSomething(t);
    case 5: return Forget(t);
    case 6: return Watch(t);
    case 7: Post(gid, engine::GetRequest{gid, Watcher(t, "one who looks")}); return;
    case 8:
      Post(gid, engine::WaitRequest{gid, engine::WaitFor::kCompleted, Watcher(t, "one who waits")});
      return;
    default: return Act(t, engine::OperatorVerb::kSuspend);
  }
}

// As people should: they look at the participants. Whoever has finished shows that it was
// committed; what nobody has finished may be taken back, or, where that is allowed, go on.
void People::SettleHeld(std::size_t t) {
  const TransactionBooks& books = ledger_.books(t);
  const std::vector<core::Branch>& branches = books.durable->branches();
  engine::OperatorRequest request{books.plan->gid,
                                  engine::OperatorVerb::kAbort,
                                  {"op", "what the log has lost"},
                                  {},
                                  core::Decision::kNone,
                                  false,
                                  Watcher(t, "the operator")};
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const bool pivot = books.durable->spec().branches[i].pivot;
    const bool done = books.branches[i].finish > 0 || (pivot && books.branches[i].forward > 0);
    if ((!done && !pivot) || core::IsFinal(branches[i].state)) continue;
    request.verb = engine::OperatorVerb::kResolve;
    request.branch_id = Ledger::BranchIdOf(i);
    request.resolution = done ? core::Decision::kCommit : core::Decision::kAbort;
    if (!done) continue;
    sim_.marks.Set(Mark::kHeldWasCommitted);
    break;
  }
  const auto& specs = books.durable->spec().branches;
  const bool goes_on = std::all_of(specs.begin(), specs.end(), [](const core::BranchSpec& spec) {
    return core::Rules(spec.protocol).resume_undecided;
  });
  if (request.verb == engine::OperatorVerb::kAbort && goes_on)
    request.verb = engine::OperatorVerb::kResume;
  ++ledger_.Touch(t).wakers;
  Post(books.plan->gid, std::move(request));
}

void People::ReleaseHolds() {
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    const auto& durable = ledger_.books(t).durable;
    if (durable && durable->held()) {
      SettleHeld(t);
      continue;
    }
    if (!held_[t]) continue;
    if (durable && durable->suspended() && durable->phase() == core::Phase::kActive &&
        durable->deadline_at() < sim_.Wall())
      sim_.marks.Set(Mark::kDeadlineWhileSuspended);
    const std::string gid = ledger_.plan(t).gid;
    ++ledger_.Touch(t).wakers;
    Post(gid, engine::OperatorRequest{gid,
                                      engine::OperatorVerb::kResume,
                                      {"op", "go on"},
                                      {},
                                      core::Decision::kNone,
                                      false,
                                      Watcher(t, "the operator")});
    sim_.marks.Set(Mark::kOperatorResume);
  }
}

void People::AskAll() {
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    const std::string gid = ledger_.plan(t).gid;
    Post(gid, engine::GetRequest{gid, Watcher(t, "one who asks in the end")});
  }
}

}  // namespace assent::sim
