#include "coordinator/core/describe.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include <assent/limits.h>
#include <assent/text.h>

namespace assent::core {
namespace {

// How much a branch deserves to be the one that is named. 0: it holds nothing up.
int Interest(const Transaction& t, BranchIndex i) {
  const Branch& branch = t.branches()[i];
  if (t.Due(i) == kNoOperation) return 0;
  // It waits for others to be undone; nothing is asked of it meanwhile.
  if (t.phase() == Phase::kAborting && branch.state == BranchState::kExecuting) return 0;
  if (branch.hazard) return 5;
  if (branch.needs_operator) return 4;
  if (!branch.last_error.empty()) return 3;
  return branch.in_flight ? 2 : 1;
}

std::string Times(std::uint32_t n) {
  return n == 1 ? "1 attempt" : std::to_string(n) + " attempts";
}

std::string DescribeBranch(const Transaction& t, BranchIndex i, const Now& now) {
  const BranchSpec& spec = t.spec().branches[i];
  const Branch& branch = t.branches()[i];
  std::string text = "branch " + spec.id + " " + spec.service + "/" + spec.action + ": " +
                     std::string(spec.check_back && t.phase() == Phase::kActive
                                     ? "whether its initiator has committed is asked"
                                     : Name(t.Due(i))) +
                     ", " + Times(branch.attempts);
  if (!branch.last_error.empty()) text += ", last: " + branch.last_error;
  if (branch.in_flight) {
    text += "; sent " + HumanDuration(now.mono - branch.sent_at) + " ago, not answered yet";
  } else if (t.suspended()) {
    text += "; held until resumed";
  } else if (branch.absent_since != kNever) {
    // Whoever took it up has not seen what was before.
    text += std::string(t.recoveries() > 0 ? " (for at least " : " (for ") +
            HumanDuration(now.mono - branch.absent_since) + "); goes on as soon as " +
            spec.service + " appears";
  } else if (branch.next_attempt != kNever) {
    text += "; next try " + (branch.next_attempt <= now.mono
                                 ? "now"
                                 : "in " + HumanDuration(branch.next_attempt - now.mono));
  }
  if (branch.hazard) {
    text +=
        "; HAZARD: the participant contradicts the decision, a person must look (assentctl "
        "resolve)";
  } else if (branch.needs_operator) {
    text += "; a person should look";
  }
  return text;
}

}  // namespace

std::string HumanDuration(Micros duration) {
  const auto micros = std::max<std::int64_t>(duration.count(), 0);
  const std::int64_t ms = (micros + 500) / 1000;
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 120'000) return std::to_string((ms + 500) / 1000) + " s";
  if (ms < 7'200'000) return std::to_string(ms / 60'000) + " min";
  if (ms < 172'800'000) return std::to_string(ms / 3'600'000) + " h";
  return std::to_string(ms / 86'400'000) + " d";
}

Status HeldStatus(const std::string& gid) {
  return FailedPrecondition("transaction " + gid + " is held: " + std::string(kWhyHeld) +
                            ". A person " + std::string(kEndHeld));
}

std::string WhyNotFinished(const Transaction& t, const Now& now) {
  if (t.finished()) return {};
  std::string prefix;
  if (t.held()) {
    prefix = "held: " + std::string(kWhyHeld) + "; a person " + std::string(kEndHeld) + "; ";
  } else if (t.suspended()) {
    prefix = "suspended by a person";
    for (auto it = t.interventions().rbegin(); it != t.interventions().rend(); ++it) {
      if (it->verb != "suspend") continue;
      if (!it->who.empty()) prefix = "suspended by " + it->who;
      if (!it->reason.empty()) prefix += " (" + it->reason + ")";
      break;
    }
    prefix += "; ";
  }
  switch (t.phase()) {
    case Phase::kActive: prefix += "not decided: "; break;
    case Phase::kCommitting: prefix += "decided commit, carrying it out: "; break;
    case Phase::kAborting: prefix += "decided abort, undoing: "; break;
    case Phase::kUnknown:
    case Phase::kFinished: break;
  }
  return prefix + WhatIsLeft(t, now);
}

std::optional<HeldUp> WhatHoldsItUp(const Transaction& t) {
  HeldUp held;
  int best = 0;
  std::size_t busy = 0;
  for (BranchIndex i = 0; i < t.branches().size(); ++i) {
    const int interest = Interest(t, i);
    busy += interest > 0 ? 1 : 0;
    if (interest > best) {
      best = interest;
      held.by = i;
    }
  }
  if (busy == 0) return std::nullopt;
  held.others = busy - 1;
  return held;
}

std::string WhatIsLeft(const Transaction& t, const Now& now) {
  const std::optional<HeldUp> held = WhatHoldsItUp(t);
  if (!held) {
    if (!t.sealed()) return "its initiator has not said Commit yet";
    return "waiting for earlier branches";
  }
  std::string text = DescribeBranch(t, held->by, now);
  if (held->others > 0) text += " (and " + std::to_string(held->others) + " more)";
  return text;
}

std::string WhoIsToBlame(const Transaction& t) {
  BranchIndex named = 0;
  int best = 0;
  for (BranchIndex i = 0; i < t.branches().size(); ++i) {
    const Branch& branch = t.branches()[i];
    if (branch.state != BranchState::kExecuting) continue;
    const int blame = !branch.last_error.empty() ? 3 : branch.in_flight ? 2 : 1;
    if (blame > best) {
      best = blame;
      named = i;
    }
  }
  if (best == 0) return t.sealed() ? "" : ": its initiator had not said Commit";
  const BranchSpec& spec = t.spec().branches[named];
  const Branch& branch = t.branches()[named];
  const std::string tail = branch.attempts == 0 ? "" : " (" + Times(branch.attempts) + ")";
  const std::string cause = best == 3
                                ? branch.last_error
                                : std::string(Name(t.Due(named))) +
                                      (tail.empty() ? " is not sent yet" : " is not answered yet");
  std::string text = ": branch " + spec.id + " " + spec.service + "/" + spec.action + ": ";
  // The cause may be as long as a reason can be, and is cut to leave room for the rest.
  constexpr std::size_t kRoomForTheRest = 64;
  text += CutReason(cause, limits::kMaxReasonBytes - text.size() - tail.size() - kRoomForTheRest);
  return text + tail;
}

}  // namespace assent::core
