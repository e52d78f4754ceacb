#include "tests/contract/rules.h"

namespace assent::contract {
namespace {

constexpr Rule kRules[] = {
    {"completes", "The standard actions work, and show their effects when the protocol says so.",
     kAlways, Completes},
    {"hello", "Hello has version 1, a service, actions, and keeps the limits of its texts.",
     kSession, HelloIsSound},
    {"once", "The same operation asked again has no second effect.", kAlways, Once},
    {"same-bytes", "The same operation asked again is answered with the same bytes, for ever.",
     kAlways, SameBytes},
    {"two-at-once", "The same operation twice at the same time: one effect, the same bytes.",
     kAlways, TwoAtOnce},
    {"branches-apart", "Branches of one transaction, and of two, are known apart.", kAlways,
     BranchesApart},
    {"odd-names", "Any gid, branch id and account that the contract allows is just a name.",
     kAlways, OddNames},
    {"undo", "What is done and undone leaves nothing, and is undone once.", kAlways,
     UndoLeavesNothing},
    {"empty-undo", "An undo of what never came is DONE, each time.", kAlways, EmptyUndo},
    {"late-forward", "The forward operation that comes after its undo is REFUSED, for good.",
     kAlways, LateForward},
    {"undo-during-forward", "An undo that comes while the forward operation runs undoes it.",
     kAlways, UndoDuringForward},
    {"never-both", "Finished is never undone, and undone is never finished.", kTwoSteps, NeverBoth},
    {"finish-without-forward",
     "COMMIT of what is not prepared is REFUSED; CONFIRM of what was not tried is not DONE.",
     kTwoSteps, FinishWithoutForward},
    {"one-phase", "A PREPARE in one phase commits, and its ROLLBACK says what became of it.",
     kTwoPhase, OnePhase},
    {"refusal-final", "A refusal stays one, whatever has changed since.", kAlways, RefusalFinal},
    {"refusal-leaves-nothing", "What is refused has no effect, and its undo is DONE.", kAlways,
     RefusalLeavesNothing},
    {"failed-handler", "A handler that fails is neither DONE nor REFUSED, and leaves nothing.",
     kAlways, FailedHandler},
    {"unknown-action", "An action that is not there is never DONE.", kAlways, UnknownAction},
    {"durable", "DONE is durable: kill -9 right after the answer loses nothing.", kStart, Durable},
    {"remembers", "Refusals and empty undos are remembered through kill -9 as well.", kStart,
     Remembers},
    {"crash-before-commit", "A process that dies before its local commit has done nothing.", kStart,
     CrashBeforeCommit},
    {"prepared-survives", "Prepared work survives kill -9, unseen, and ends as it is told.",
     kStart | kTwoPhase, PreparedSurvives},
    {"outcome-question",
     "After a restart it asks about prepared work, and does what the answer says.",
     kSession | kStart | kTwoPhase, OutcomeQuestion},
    {"lost-answer", "Answers that are lost with their connection are neither lost nor doubled.",
     kAlways, LostAnswer},
    {"reconnect", "A stream that ends, is refused, or whose coordinator restarts, is dialled anew.",
     kSession, Reconnect},
    {"goodbye", "On SIGTERM it says goodbye, answers what it has, leaves, and ends.",
     kSession | kStart, Goodbye},
    {"coordinator-goodbye", "After the coordinator's goodbye it answers, and dials again.",
     kSession, CoordinatorGoodbye},
    {"stale-slot", "A command of a slot's former owner is dropped without an answer.", kSession,
     StaleSlot},
    {"back-pressure", "As many at once as it says it takes: each is answered, and done once.",
     kAlways, BackPressure},
    {"any-bytes", "Payload and result are bytes: all 256, in any order.", kAlways, AnyBytes},
    {"reason-bytes", "A reason that is no text does not cost the answer.", kAlways, ReasonBytes},
    {"large", "Payloads of 1 MiB and results of 256 KiB are taken; larger results are no DONE.",
     kAlways, Large},
    {"hostile", "Bytes that are no message, unknown fields, operations and text: it goes on.",
     kAlways, Hostile},
    {"oversized", "A message over 4 MiB costs at most its stream or call.", kAlways, Oversized},
    {"headers", "Headers and the results of earlier branches are handed on.", kAlways, Headers},
    {"trace", "traceparent and tracestate are handed on, and change nothing.", kAlways, Trace},
    // Last: a process remembers who has been a member.
    {"several-coordinators",
     "Each coordinator of a cluster is dialled; who takes over gets the first one's answers.",
     kSession, SeveralCoordinators},
};

}  // namespace

std::span<const Rule> Rules() { return kRules; }

std::string NeedsOf(const Rule& rule) {
  std::string needs;
  const auto add = [&](unsigned need, const char* word) {
    if ((rule.needs & need) == 0) return;
    if (!needs.empty()) needs += ", ";
    needs += word;
  };
  add(kSession, "session");
  add(kTwoPhase, "2pc");
  add(kTwoSteps, "2pc or tcc");
  add(kStart, "--start");
  return needs;
}

}  // namespace assent::contract
