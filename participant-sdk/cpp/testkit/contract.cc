#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include <assent/testkit.h>

#include "participant-sdk/cpp/testkit/ask.h"

namespace assent::testkit {
namespace {

constexpr int kMaxTries = 200;
constexpr std::chrono::milliseconds kBetweenTries{5};

using Kind = Reply::Kind;

// Drives one resource; each scenario is a branch of its own.
class Checker {
 public:
  Checker(Resource& resource, const Probe& probe)
      : resource_(resource), probe_(probe), operations_(OperationsOf(probe.protocol)) {}

  ContractReport Run() {
    ToTheEnd();
    Undone();
    UndoFirst();
    if (operations_.has_finish) {
      FinishWithoutForward();
      UndoAfterFinish();
      FinishAfterUndo();
    }
    if (probe_.protocol == Protocol::kTwoPhase) OnePhase();
    ForwardTwiceAtOnce();
    ForwardAndUndoAtOnce();
    return std::move(report_);
  }

 private:
  void Begin(std::string scenario) {
    scenario_ = std::move(scenario);
    gid_ = NewGid();
  }

  Call CallFor(Operation operation) const {
    Call call;
    call.gid = gid_;
    call.branch_id = "1";
    call.operation = operation;
    call.protocol = probe_.protocol;
    call.service = probe_.service;
    call.action = probe_.action;
    call.payload = probe_.payload;
    call.headers = probe_.headers;
    call.timeout = std::chrono::seconds(10);
    call.coordinator_id = 1;
    call.began_epoch = 1;
    return call;
  }

  void Broken(const std::string& what) { report_.broken.push_back(scenario_ + ": " + what); }

  // Asks until the answer is final.
  Reply AskUntilFinal(Call call) {
    for (int i = 0; i < kMaxTries; ++i) {
      call.attempt = static_cast<std::uint32_t>(i + 1);
      const Result<Reply> reply = AskOnce(resource_, call);
      if (!reply.ok()) {
        Broken(reply.status().message());
        return Reply::RetryLater("no answer");
      }
      if (reply->kind != Kind::kRetryLater) return *reply;
      std::this_thread::sleep_for(kBetweenTries);  // tidy: allow(sleep) "retry later" means later
    }
    Broken(Shown(call) + " was answered \"retry later\" " + std::to_string(kMaxTries) + " times");
    return Reply::RetryLater("no end");
  }
  Reply Ask(Operation operation) { return AskUntilFinal(CallFor(operation)); }

  // Asks, and complains unless the answer is of that kind.
  Reply Expect(Operation operation, Kind kind, const char* because) {
    const Call call = CallFor(operation);
    Reply reply = AskUntilFinal(call);
    if (reply.kind != kind) Broken(Shown(call) + " was answered " + Shown(reply) + "; " + because);
    return reply;
  }
  void ExpectNotDone(Operation operation, const char* because) {
    const Call call = CallFor(operation);
    const Reply reply = AskUntilFinal(call);
    if (reply.kind == Kind::kDone || reply.kind == Kind::kDoneReadOnly) {
      Broken(Shown(call) + " was answered " + Shown(reply) + "; " + because);
    }
  }
  void ExpectSame(Operation operation, const Reply& first) {
    const Call call = CallFor(operation);
    const Reply again = AskUntilFinal(call);
    if (!(again == first)) {
      Broken(Shown(call) + " was answered " + Shown(first) + ", and asked again " + Shown(again));
    }
  }
  Reply Forward() { return Expect(operations_.forward, Kind::kDone, "the probe should succeed"); }
  Reply Undo() {
    return Expect(operations_.undo, Kind::kDone, "an undo always succeeds in the end");
  }
  Reply Finish() {
    return Expect(operations_.finish, Kind::kDone, "the forward operation was done");
  }

  void ToTheEnd() {
    Begin("run to the end, everything twice");
    const Reply forward = Forward();
    ExpectSame(operations_.forward, forward);
    if (operations_.has_finish) {
      const Reply finish = Finish();
      ExpectSame(operations_.finish, finish);
      ExpectSame(operations_.forward, forward);
      ExpectSame(operations_.finish, finish);
    }
    ++report_.committed;
  }

  void Undone() {
    Begin("done and undone, everything twice");
    const Reply forward = Forward();
    const Reply undo = Undo();
    ExpectSame(operations_.undo, undo);
    ExpectSame(operations_.forward, forward);
    ExpectSame(operations_.undo, undo);
    ++report_.undone;
  }

  void UndoFirst() {
    Begin("undo before the forward operation");
    const Reply undo =
        Expect(operations_.undo, Kind::kDone, "there is nothing to undo, so it is done");
    const Reply late = Expect(operations_.forward, Kind::kRefused,
                              "its undo came before it, so it must be refused for good");
    ExpectSame(operations_.forward, late);
    ExpectSame(operations_.undo, undo);
    ++report_.undone;
  }

  void FinishWithoutForward() {
    Begin("finish without the forward operation");
    ExpectNotDone(operations_.finish, "nothing was there to finish");
    ++report_.undone;
  }

  void UndoAfterFinish() {
    Begin("undo after the finish");
    Forward();
    const Reply finish = Finish();
    ExpectNotDone(operations_.undo, "it was finished, and cannot have been undone");
    ExpectSame(operations_.finish, finish);
    ++report_.committed;
  }

  void FinishAfterUndo() {
    Begin("finish after the undo");
    Forward();
    const Reply undo = Undo();
    ExpectNotDone(operations_.finish, "it was undone, and cannot have been finished");
    ExpectSame(operations_.undo, undo);
    ++report_.undone;
  }

  void OnePhase() {
    Begin("prepare and commit in one phase");
    Call call = CallFor(Operation::kPrepare);
    call.one_phase = true;
    const Reply first = AskUntilFinal(call);
    if (first.kind != Kind::kDone)
      Broken(Shown(call) + " was answered " + Shown(first) + "; the probe should succeed");
    if (!(AskUntilFinal(call) == first))
      Broken(Shown(call) + " was answered differently the second time");
    Expect(Operation::kRollback, Kind::kRefused,
           "it is committed, which is what the rollback asks");
    ++report_.committed;

    Begin("roll back before a one-phase prepare");
    Expect(Operation::kRollback, Kind::kDone, "there is nothing to roll back, so it is done");
    Call late = CallFor(Operation::kPrepare);
    late.one_phase = true;
    const Reply refused = AskUntilFinal(late);
    if (refused.kind != Kind::kRefused) {
      Broken(Shown(late) + " was answered " + Shown(refused) +
             "; it was rolled back before, so it must be refused for good");
    }
    ++report_.undone;
  }

  // Two instances of a service may be asked the same at the same time, by two coordinators or one
  // that has restarted.
  void ForwardTwiceAtOnce() {
    Begin("the forward operation twice at once");
    Reply second;
    const Call call = CallFor(operations_.forward);
    std::thread other([&] { second = OnOtherThread(call); });
    const Reply first = AskUntilFinal(call);
    other.join();
    if (first.kind != Kind::kDone || !(first == second)) {
      Broken("the two were answered " + Shown(first) + " and " + Shown(second));
    }
    Undo();
    ++report_.undone;
  }

  void ForwardAndUndoAtOnce() {
    Begin("the forward operation and its undo at once");
    Reply undo;
    const Call undo_call = CallFor(operations_.undo);
    std::thread other([&] { undo = OnOtherThread(undo_call); });
    const Reply forward = AskUntilFinal(CallFor(operations_.forward));
    other.join();
    if (undo.kind != Kind::kDone) Broken("the undo was answered " + Shown(undo));
    if (forward.kind != Kind::kDone && forward.kind != Kind::kRefused) {
      Broken("the forward operation was answered " + Shown(forward));
    }
    ExpectSame(operations_.forward, forward);
    ++report_.undone;
  }

  // As AskUntilFinal, but leaves the report alone: it belongs to the first thread.
  Reply OnOtherThread(const Call& call) {
    for (int i = 0; i < kMaxTries; ++i) {
      const Result<Reply> reply = AskOnce(resource_, call);
      if (!reply.ok()) return Reply::RetryLater(reply.status().message());
      if (reply->kind != Kind::kRetryLater) return *reply;
      std::this_thread::sleep_for(kBetweenTries);  // tidy: allow(sleep) "retry later" means later
    }
    return Reply::RetryLater("no end");
  }

  Resource& resource_;
  const Probe& probe_;
  const Operations operations_;
  std::string scenario_;
  std::string gid_;
  ContractReport report_;
};

}  // namespace

std::string ContractReport::ToString() const {
  std::string text;
  for (const std::string& sentence : broken) text.append(sentence).append("\n");
  return text;
}

ContractReport CheckContract(Resource& resource, const Probe& probe) {
  return Checker(resource, probe).Run();
}

}  // namespace assent::testkit
