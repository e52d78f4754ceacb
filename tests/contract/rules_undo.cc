// Undo before, beside and after what it undoes; the end without the beginning.
#include "tests/contract/rules.h"

namespace assent::contract {

void UndoLeavesNothing(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    e.Done(work, Forward(protocol));
    for (int i = 0; i < 3; ++i) e.Done(work, Undo(protocol));
    e.LedgerIs(work.account, {0, 0}, "after " + Shown(work, Undo(protocol)) + ", three times");
    e.Ask(work, Forward(protocol));  // late: whatever it is answered
    e.LedgerIs(work.account, {0, 0}, "after the forward operation came once more");
  }
}

void EmptyUndo(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    const Answer undo = e.Done(work, Undo(protocol));
    e.SameAgain(work, Undo(protocol), undo);
    e.LedgerIs(work.account, {0, 0}, "after the undo of nothing");
  }
}

void LateForward(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    e.Ask(work, Undo(protocol));
    const Answer refused = e.Refused(work, Forward(protocol), "it was undone before it came");
    e.SameAgain(work, Forward(protocol), refused);
    e.LedgerIs(work.account, {0, 0}, "after the late forward operation");
  }
}

void UndoDuringForward(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.wait_ms = 120});
    std::future<Answer> forward = e.Send(work, Forward(protocol));
    // Not before it is under way, as far as that can be seen from here.
    const Answer early = e.Take(forward, std::chrono::milliseconds(40));
    std::future<Answer> undo = e.Send(work, Undo(protocol));
    const Answer first = early.reply || !forward.valid() ? early : e.Take(forward);
    e.Take(undo);
    e.Done(work, Undo(protocol));
    e.LedgerIs(work.account, {0, 0}, "after the undo that came while the other was running");
    const Answer again = e.Ask(work, Forward(protocol));
    if (IsDone(first) || IsKind(first, v1::BranchReply::REFUSED)) {
      e.Expect(again.reply && SameReply(*first.reply, *again.reply),
               "the forward operation, asked again, has the bytes of its first answer (" +
                   Shown(first) + ")",
               Shown(again));
    } else {
      e.Expect(IsKind(again, v1::BranchReply::REFUSED),
               "the forward operation that was not answered is REFUSED after its undo",
               Shown(again));
    }
    e.LedgerIs(work.account, {0, 0}, "after the forward operation came again");
  }
}

void NeverBoth(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    if (Finish(protocol) == v1::OPERATION_UNSPECIFIED) continue;
    e.findings().About(ProtocolName(protocol));
    const Work finished = e.NewAdd(protocol, 5);
    e.Done(finished, Forward(protocol));
    e.Done(finished, Finish(protocol));
    e.NotDone(finished, Undo(protocol), "it was finished");
    e.Done(finished, Finish(protocol));
    e.LedgerIs(finished.account, {5, 0}, "of what was finished, whatever was asked later");

    const Work undone = e.NewAdd(protocol, 5);
    e.Done(undone, Forward(protocol));
    e.Done(undone, Undo(protocol));
    e.NotDone(undone, Finish(protocol), "it was undone");
    e.Done(undone, Undo(protocol));
    e.LedgerIs(undone.account, {0, 0}, "of what was undone, whatever was asked later");
  }
}

void FinishWithoutForward(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    if (Finish(protocol) == v1::OPERATION_UNSPECIFIED) continue;
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    if (protocol == v1::TWO_PHASE) {
      e.Refused(work, v1::COMMIT, "nothing is prepared here, and was not committed here");
    } else {
      e.NotDone(work, Finish(protocol), "nothing was tried");
    }
    e.LedgerIs(work.account, {0, 0}, "after a finish of nothing");

    const Work refused = e.NewAdd(protocol, 5, {.refuse = "no"});
    e.Refused(refused, Forward(protocol), "the payload says so");
    e.NotDone(refused, Finish(protocol), "its forward operation was refused");
    e.LedgerIs(refused.account, {0, 0}, "after a finish of what was refused");
  }
}

void OnePhase(Examination& e) {
  Work work = e.NewAdd(v1::TWO_PHASE, 5);
  work.one_phase = true;
  const Answer done = e.Done(work, v1::PREPARE);
  e.LedgerIs(work.account, {5, 0}, "after PREPARE in one phase");
  e.SameAgain(work, v1::PREPARE, done);
  e.Refused(work, v1::ROLLBACK, "it is committed");
  e.LedgerIs(work.account, {5, 0}, "after the ROLLBACK that asks what became of it");

  Work never = e.NewAdd(v1::TWO_PHASE, 5);
  never.one_phase = true;
  e.Done(never, v1::ROLLBACK);
  e.Refused(never, v1::PREPARE, "it was rolled back before it came");
  e.LedgerIs(never.account, {0, 0}, "after ROLLBACK, then PREPARE in one phase");
}

}  // namespace assent::contract
