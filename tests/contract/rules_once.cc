// One effect, one answer.
#include <assent/limits.h>

#include "tests/contract/rules.h"

namespace assent::contract {
namespace {

// What the ledger shows after a forward operation of 5.
Ledger AfterForward(v1::Protocol protocol, std::int64_t amount = 5) {
  if (protocol == v1::TWO_PHASE) return {0, 0};
  return protocol == v1::TCC ? Ledger{0, amount} : Ledger{amount, 0};
}

}  // namespace

void Completes(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    e.LedgerIs(work.account, {0, 0}, "of an account that nobody has named");
    const Answer done = e.Done(work, Forward(protocol));
    if (done.reply) {
      e.Expect(!done.reply->result().empty(), "the result of add is the ledger of its account",
               Shown(done));
    }
    e.LedgerIs(work.account, AfterForward(protocol), "after " + Shown(work, Forward(protocol)));
    if (Finish(protocol) == v1::OPERATION_UNSPECIFIED) continue;
    e.Done(work, Finish(protocol));
    e.LedgerIs(work.account, {5, 0}, "after " + Shown(work, Finish(protocol)));
  }
}

void Once(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    for (int i = 0; i < 3; ++i) e.Done(work, Forward(protocol));
    e.LedgerIs(work.account, AfterForward(protocol), "after the forward operation, three times");
    if (Finish(protocol) == v1::OPERATION_UNSPECIFIED) continue;
    for (int i = 0; i < 3; ++i) e.Done(work, Finish(protocol));
    e.LedgerIs(work.account, {5, 0}, "after " + Shown(work, Finish(protocol)) + ", three times");
    e.Done(work, Forward(protocol));
    e.LedgerIs(work.account, {5, 0}, "after a forward operation that came again at last");
  }
}

void SameBytes(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5);
    const Answer forward = e.Done(work, Forward(protocol));
    e.SameAgain(work, Forward(protocol), forward);
    const v1::Operation finish = Finish(protocol);
    Answer finished;
    if (finish != v1::OPERATION_UNSPECIFIED) {
      finished = e.Done(work, finish);
      e.SameAgain(work, finish, finished);
    }
    // Another transaction changes what a new answer would be made of.
    Work other = Add(v1::SAGA, e.Name(), work.account, 7);
    e.Done(other, v1::ACTION);
    e.SameAgain(work, Forward(protocol), forward);
    if (finish != v1::OPERATION_UNSPECIFIED) e.SameAgain(work, finish, finished);

    const Work undone = e.NewAdd(protocol, 5);
    const Answer before = e.Done(undone, Forward(protocol));
    const Answer undo = e.Done(undone, Undo(protocol));
    e.SameAgain(undone, Undo(protocol), undo);
    e.SameAgain(undone, Forward(protocol), before);
  }
}

void TwoAtOnce(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const Work work = e.NewAdd(protocol, 5, {.wait_ms = 60});
    std::future<Answer> first = e.Send(work, Forward(protocol));
    std::future<Answer> second = e.Send(work, Forward(protocol));
    const Answer one = e.Take(first);
    const Answer two = e.Take(second);
    const Answer later = e.Done(work, Forward(protocol));
    for (const Answer& answer : {one, two}) {
      // One that is told to come again, or not answered, has waited for the other.
      if (!IsDone(answer) && !IsKind(answer, v1::BranchReply::REFUSED)) continue;
      e.Expect(later.reply && SameReply(*answer.reply, *later.reply),
               "both answers have the same bytes, and those of a third question: " + Shown(later),
               Shown(answer));
    }
    e.LedgerIs(work.account, AfterForward(protocol), "after the forward operation, twice at once");
    if (Finish(protocol) != v1::OPERATION_UNSPECIFIED) {
      std::future<Answer> end = e.Send(work, Finish(protocol));
      std::future<Answer> again = e.Send(work, Finish(protocol));
      e.Take(end);
      e.Take(again);
      e.Done(work, Finish(protocol));
      e.LedgerIs(work.account, {5, 0}, "after " + Shown(work, Finish(protocol)) + " twice at once");
    }
  }
}

void BranchesApart(Examination& e) {
  for (const v1::Protocol protocol : e.protocols) {
    e.findings().About(ProtocolName(protocol));
    const bool ends = Finish(protocol) != v1::OPERATION_UNSPECIFIED;
    const Work one = e.NewAdd(protocol, 5);
    Work two = Add(protocol, one.gid, e.Name(), 7);
    two.branch_id = "2";
    const Work other = e.NewAdd(protocol, 9);  // another gid, branch "1" as well
    e.Done(one, Forward(protocol));
    e.Done(two, Forward(protocol));
    e.Done(other, Forward(protocol));
    e.Done(two, Undo(protocol));
    if (ends) e.Done(one, Finish(protocol));
    if (ends) e.Done(other, Finish(protocol));
    e.LedgerIs(one.account, {5, 0}, "of branch 1, which was finished");
    e.LedgerIs(two.account, {0, 0}, "of branch 2 of the same gid, which was undone");
    e.LedgerIs(other.account, {9, 0}, "of branch 1 of another gid, which was finished");
  }
}

void OddNames(Examination& e) {
  const std::string odd = "'--%s;.:_-\"\\";  // for the account, which is the payload's
  const v1::Protocol protocol = e.protocols.front();
  std::string gid = e.Name() + ".:_-Az09";
  gid.resize(limits::kMaxGidBytes, 'x');
  Work work = Add(protocol, gid, e.Name() + odd, 5);
  work.branch_id = std::string(limits::kMaxBranchIdBytes - 5, 'b') + ".:_-Z";
  e.Done(work, Forward(protocol));
  if (Finish(protocol) != v1::OPERATION_UNSPECIFIED) e.Done(work, Finish(protocol));
  e.LedgerIs(work.account, {5, 0}, "of an account with quotes in its name");
  // Names are compared byte by byte.
  Work upper = work;
  for (char& c : upper.gid) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  e.Ask(upper, Undo(protocol));
  e.LedgerIs(work.account, {5, 0}, "after the undo of a gid that differs in case alone");
}

}  // namespace assent::contract
