#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <assent/testkit.h>

#include "participant-sdk/cpp/testkit/ask.h"

namespace assent::testkit {
namespace {

constexpr int kMaxTries = 200;
constexpr std::chrono::milliseconds kBetweenTries{5};

using Kind = Reply::Kind;

// What a network and a coordinator may do to one branch, one operation after the other. Pairs of
//   which:    f forward, x finish, u undo, 1 forward in one phase
//   expected: + done, - refused for good, ! not done, = the same as it was answered first
struct Scenario {
  const char* name;
  const char* steps;
  bool committed;  // it took effect for good; otherwise it must have left no trace
  const char* because;
};
// What has an 'x' is left out for protocols without a finishing operation, but for the first.
constexpr Scenario kScenarios[] = {
    {"run to the end, everything twice", "f+f=x+x=f=x=", true,
     "the probe should succeed, and what was done can be finished"},
    {"done and undone, everything twice", "f+u+u=f=u=", false,
     "the probe should succeed, and an undo always succeeds in the end"},
    {"undo before the forward operation", "u+f-f=u=", false,
     "there is nothing to undo, so it is done, and the forward operation is refused for good"},
    {"finish without the forward operation", "x!", false, "nothing was there to finish"},
    {"undo after the finish", "f+x+u!x=", true, "it was finished, and cannot have been undone"},
    {"finish after the undo", "f+u+x!u=", false, "it was undone, and cannot have been finished"},
};
constexpr Scenario kOnePhaseScenarios[] = {
    {"prepare and commit in one phase", "1+1=u-", true,
     "the probe should succeed, and the rollback asks whether it did"},
    {"roll back before a one-phase prepare", "u+1-", false,
     "there is nothing to roll back, so it is done, and the prepare is refused for good"},
};

// Drives one resource; each scenario is a branch of its own.
class Checker {
 public:
  Checker(Resource& resource, const Probe& probe)
      : resource_(resource), probe_(probe), operations_(OperationsOf(probe.protocol)) {}

  ContractReport Run() {
    for (const Scenario& scenario : kScenarios) {
      const bool first = &scenario == &kScenarios[0];
      const bool finishes = std::string_view(scenario.steps).find('x') != std::string_view::npos;
      if (operations_.finish != kNoOperation || first || !finishes) Play(scenario);
    }
    for (const Scenario& scenario : kOnePhaseScenarios) {
      if (probe_.protocol == Protocol::kTwoPhase) Play(scenario);
    }
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

  // Asks until the answer is final. From any thread: it leaves the report alone.
  Result<Reply> AskUntilFinal(Call call) const {
    for (int i = 0; i < kMaxTries; ++i) {
      call.attempt = static_cast<std::uint32_t>(i + 1);
      Result<Reply> reply = AskOnce(resource_, call);
      if (!reply.ok() || reply->kind != Kind::kRetryLater) return reply;
      std::this_thread::sleep_for(kBetweenTries);  // tidy: allow(sleep) "retry later" means later
    }
    return Status(Code::kDeadlineExceeded, Shown(call) + " was answered \"retry later\" " +
                                               std::to_string(kMaxTries) + " times");
  }
  Reply Ask(const Call& call) {
    const Result<Reply> reply = AskUntilFinal(call);
    if (reply.ok()) return *reply;
    Broken(reply.status().message());
    return Reply::RetryLater("no answer");
  }

  void Play(const Scenario& scenario) {
    Begin(scenario.name);
    std::map<char, Reply> first;
    for (std::string_view steps = scenario.steps; !steps.empty(); steps.remove_prefix(2)) {
      const char which = steps[0];
      if (which == 'x' && operations_.finish == kNoOperation) continue;
      Call call = CallFor(which == 'x'   ? operations_.finish
                          : which == 'u' ? operations_.undo
                                         : operations_.forward);
      call.one_phase = which == '1';
      Expect(call, steps[1], first, which, scenario.because);
    }
    ++(scenario.committed ? report_.committed : report_.undone);
  }

  void Expect(const Call& call, char expected, std::map<char, Reply>& first, char which,
              const char* because) {
    const Reply reply = Ask(call);
    const auto [known, is_first] = first.emplace(which, reply);
    if (expected == '=' && !(reply == known->second)) {
      Broken(Shown(call) + " was answered " + Shown(known->second) + ", and asked again " +
             Shown(reply));
    }
    const bool done = reply.kind == Kind::kDone || reply.kind == Kind::kDoneReadOnly;
    const bool wrong = (expected == '+' && reply.kind != Kind::kDone) ||
                       (expected == '-' && reply.kind != Kind::kRefused) ||
                       (expected == '!' && done);
    if (wrong) Broken(Shown(call) + " was answered " + Shown(reply) + "; " + because);
  }

  // Asks `beside` on another thread at the same time as the forward operation.
  std::pair<Reply, Reply> AtOnce(Operation beside) {
    Result<Reply> other_reply = Reply();
    std::thread other([&, call = CallFor(beside)] { other_reply = AskUntilFinal(call); });
    Reply reply = Ask(CallFor(operations_.forward));
    other.join();
    if (!other_reply.ok()) Broken(other_reply.status().message());
    return {std::move(reply), other_reply.ok() ? *other_reply : Reply()};
  }

  // Two instances of a service may be asked the same at the same time, by two coordinators or one
  // that has restarted.
  void ForwardTwiceAtOnce() {
    Begin("the forward operation twice at once");
    const auto [first, second] = AtOnce(operations_.forward);
    if (first.kind != Kind::kDone || !(first == second))
      Broken("the two were answered " + Shown(first) + " and " + Shown(second));
    const Reply undo = Ask(CallFor(operations_.undo));
    if (undo.kind != Kind::kDone) Broken("the undo was answered " + Shown(undo));
    ++report_.undone;
  }

  void ForwardAndUndoAtOnce() {
    Begin("the forward operation and its undo at once");
    const auto [forward, undo] = AtOnce(operations_.undo);
    if (undo.kind != Kind::kDone) Broken("the undo was answered " + Shown(undo));
    if (forward.kind != Kind::kDone && forward.kind != Kind::kRefused)
      Broken("the forward operation was answered " + Shown(forward));
    const Reply again = Ask(CallFor(operations_.forward));
    if (!(again == forward))
      Broken("the forward operation was answered " + Shown(forward) + ", and asked again " +
             Shown(again));
    ++report_.undone;
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
