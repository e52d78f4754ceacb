#include <utility>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/show_view.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

bool IsThere(const v1::Transaction& seen, v1::WaitFor wait_for) {
  if (seen.state() == v1::FINISHED || wait_for == v1::WAIT_ACCEPTED) return true;
  return wait_for == v1::WAIT_DECIDED && seen.decision() != v1::DECISION_UNSPECIFIED;
}

// It does not go on without a person: it needs one, or one has suspended it.
bool NeedsHuman(const v1::Transaction& transaction) {
  return transaction.needs_operator() || transaction.suspended();
}

// What a script is told of a transaction that got where it was waited for. Undecided: accepted is
// all that was asked.
Exit Verdict(const v1::Transaction& transaction) {
  if (transaction.outcome() == v1::MIXED || transaction.outcome() == v1::HAZARD) {
    return Exit::kNeedsHuman;
  }
  const bool aborted =
      transaction.outcome() == v1::ABORTED || transaction.decision() == v1::DECISION_ABORT;
  return aborted ? Exit::kAborted : Exit::kDone;
}

}  // namespace

Exit RunWait(const WaitCommand& command, Session& session) {
  bool there = false;
  bool told = false;
  const Followed followed =
      Follow(command.gid, session.options.wait_timeout, session, [&](const v1::Transaction& seen) {
        there = IsThere(seen, command.wait_for);
        const bool goes_on = !there && (command.patient || !NeedsHuman(seen));
        if (goes_on && !std::exchange(told, true)) {
          session.console.Err("waiting: " + Visible(seen.why_not_finished()) + "\n");
        }
        return goes_on;
      });
  if (followed.end == Followed::End::kFailed) return session.Fail(followed.failure);
  if (followed.last.has_value()) {
    session.console.Out(RenderOutcome(*followed.last, session.MakeStyle()));
  }
  if (there) return Verdict(*followed.last);
  const std::string gid = Visible(command.gid);
  if (followed.end == Followed::End::kTimedOut) {
    session.console.Err("assentctl: " + gid +
                        " is still running after --timeout; it goes on (assentctl show " + gid +
                        ")\n");
    const bool human = followed.last.has_value() && NeedsHuman(*followed.last);
    return human ? Exit::kNeedsHuman : Exit::kStillRunning;
  }
  session.console.Err(
      "assentctl: " + gid +
      (followed.last->needs_operator() ? " needs a human" : " is suspended by a human") +
      " (assentctl show " + gid + "; --patient waits on)\n");
  return Exit::kNeedsHuman;
}

}  // namespace assent::ctl
