#include "coordinator/engine/teller.h"

#include <algorithm>
#include <string>

#include "coordinator/core/describe.h"

namespace assent::engine {
namespace {

// As it durably stands. That it has ended is said of kEnded alone.
Event EventOf(const Live& live, EventKind kind, core::WallTime at, bool decided) {
  const core::Decision decision = decided ? live.txn.decision() : core::Decision::kNone;
  return {.at = at,
          .kind = kind,
          .state = decision == core::Decision::kNone     ? core::Phase::kActive
                   : decision == core::Decision::kCommit ? core::Phase::kCommitting
                                                         : core::Phase::kAborting,
          .decision = decision,
          .gid = live.txn.gid()};
}

// Whose refusal ended it.
std::string_view ServiceThatRefused(const core::Transaction& txn) {
  const auto& branches = txn.branches();
  const auto refused = std::find_if(branches.begin(), branches.end(), [](const core::Branch& b) {
    return b.state == core::BranchState::kRefused;
  });
  if (refused == branches.end()) return {};
  return txn.spec().branches[static_cast<std::size_t>(refused - branches.begin())].service;
}

std::string_view ServiceOfBranch(const core::Transaction& txn, std::string_view branch_id) {
  const std::size_t branch = txn.FindBranch(branch_id);
  if (branch_id.empty() || branch == txn.branches().size()) return {};
  return txn.spec().branches[branch].service;
}

void AddIntervention(const core::Transaction& txn, const core::Intervention& done, Event event,
                     Events& events) {
  event.service = ServiceOfBranch(txn, done.branch_id);
  event.branch_id = done.branch_id;
  event.verb = done.verb;
  event.who = done.who;
  event.text = done.reason;
  events.Add(event);
}

}  // namespace

void Teller::Announced(const Live& live, const core::Announce& announce, core::WallTime now) const {
  if (events_ == nullptr) return;
  const bool decided = live.audience.decided();
  switch (announce.milestone) {
    case core::Milestone::kAccepted:
      return events_->Add(EventOf(live, EventKind::kBegan, now, decided));
    case core::Milestone::kDecided: {
      Event event = EventOf(live, EventKind::kDecided, now, /*decided=*/true);
      if (event.decision == core::Decision::kAbort) {
        event.service = ServiceThatRefused(live.txn);
        event.text = live.txn.abort_reason();
      }
      return events_->Add(event);
    }
    case core::Milestone::kIntervened: {
      const auto& done = live.txn.interventions();
      const std::size_t undisclosed = live.audience.undisclosed();
      if (undisclosed == 0 || undisclosed > done.size()) return;  // the oldest have given way
      return AddIntervention(live.txn, done[done.size() - undisclosed],
                             EventOf(live, EventKind::kIntervened, now, decided), *events_);
    }
    case core::Milestone::kBranchAnswered:
    case core::Milestone::kCompleted: return;
  }
}

void Teller::Counted(Live& live, bool needs_person, const core::Now& now) const {
  const bool told = live.rare != nullptr && live.rare->told_need;
  if (needs_person == told || events_ == nullptr) return;
  if (live.write != WriteState::kClean || live.txn.finished()) return;
  live.AddRare().told_need = needs_person;
  Event event = EventOf(live, needs_person ? EventKind::kNeedsPerson : EventKind::kNeedsNobody,
                        now.wall, live.audience.decided());
  std::string why;
  if (needs_person) {
    why = core::WhyNotFinished(live.txn, now);
    event.text = why;
  }
  if (const auto held_up = core::WhatHoldsItUp(live.txn))
    event.service = live.txn.spec().branches[held_up->by].service;
  events_->Add(event);
}

void Teller::Ended(const Live& live, core::WallTime now) const {
  if (events_ == nullptr) return;
  if (live.rare != nullptr && live.rare->told_need)
    events_->Add(EventOf(live, EventKind::kNeedsNobody, now, /*decided=*/true));
  Event event = EventOf(live, EventKind::kEnded, now, /*decided=*/true);
  event.state = core::Phase::kFinished;
  event.outcome = live.txn.outcome();
  events_->Add(event);
}

}  // namespace assent::engine
