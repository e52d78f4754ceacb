// A business no, a failure, and what is not there.
#include "tests/contract/rules.h"

namespace assent::contract {

void RefusalFinal(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, -5);
    const Answer refused = e.Refused(work, Forward(protocol), "the account has nothing");
    const Work other = Add(v1::SAGA, e.Name(), work.account, 10);
    e.Done(other, v1::ACTION);
    e.SameAgain(work, Forward(protocol), refused);  // it would do now
    e.Done(work, Undo(protocol));
    e.SameAgain(work, Forward(protocol), refused);
    e.LedgerIs(work.account, {10, 0}, "after a refusal that was asked for again");
  }
}

void RefusalLeavesNothing(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.refuse = "as the payload says"});
    const Answer refused = e.Refused(work, Forward(protocol), "the payload says so");
    if (IsKind(refused, v1::BranchReply::REFUSED)) {
      e.Expect(refused.reply->reason().find("as the payload says") != std::string::npos,
               "the reason is the handler's: as the payload says", Shown(refused));
    }
    e.LedgerIs(work.account, {0, 0}, "after a refusal by a handler that had written");
    e.Done(work, Undo(protocol));
    e.LedgerIs(work.account, {0, 0}, "after the undo of a refusal");
    // It holds nothing that another one would need.
    const Work next = Add(protocol, e.Name(), work.account, 5);
    e.Done(next, Forward(protocol));
    e.Done(next, Undo(protocol));
  }
}

void FailedHandler(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.fail = true});
    for (int i = 0; i < 2; ++i) {
      const Answer answer = e.AskOnce(work, Forward(protocol));
      e.Expect(!IsDone(answer) && !IsKind(answer, v1::BranchReply::REFUSED),
               "a handler that fails is RETRY_LATER, or not answered", Shown(answer));
    }
    e.LedgerIs(work.account, {0, 0}, "after a handler that had written, and failed");
    e.Done(work, Undo(protocol));
    e.Refused(work, Forward(protocol), "it was undone before it succeeded");
    e.LedgerIs(work.account, {0, 0}, "after the undo of what had failed");
  }
}

void UnknownAction(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    Work work = e.NewAdd(protocol, 5);
    work.action = "no-such-action";
    e.NotDone(work, Forward(protocol), "there is no such action here");
    if (Finish(protocol) != v1::OPERATION_UNSPECIFIED)
      e.NotDone(work, Finish(protocol), "there is no such action here");
    // An earlier version has done it, and this one knows the action no more.
    Work done = e.NewAdd(protocol, 5);
    e.Done(done, Forward(protocol));
    done.action = "no-such-action";
    e.NotDone(done, Undo(protocol), "it was done, and nobody here knows how it is undone");
    done.action = "add";
    e.Done(done, Undo(protocol));
    e.LedgerIs(done.account, {0, 0}, "after the undo by a version that knows the action");
  }
}

}  // namespace assent::contract
