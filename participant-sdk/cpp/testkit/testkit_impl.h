#pragma once

// The coordinator in miniature behind testkit::Coordinator. Single-threaded; everything it knows
// survives its crashes but what the scenario says is lost: which is the point of a test kit, and
// why it proves nothing about the real one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <assent/connection.h>
#include <assent/testkit.h>

namespace assent::testkit {

class Coordinator::Impl final : public Connection {
 public:
  using Milliseconds = std::chrono::milliseconds;

  // Connection: initiators.
  Result<Report> Submit(const SubmitParams& params) override;
  void SubmitAsync(SubmitParams params, ReportCallback done) override { done(Submit(params)); }
  Status Begin(const BeginParams& params) override;
  Result<BranchResult> Execute(const ExecuteParams& params) override;
  Result<Report> Finish(const FinishParams& params) override;
  Result<Report> Wait(const WaitParams& params) override;
  Result<TransactionInfo> Get(const GetParams& params) override;

  // Tests.
  void Restart();
  void Advance(Milliseconds by);
  void DeliverLate();
  void Plan(CrashPoint point);
  // The plans that have not happened, as sentences.
  std::vector<std::string> Unreached() const;
  // Violations and those.
  const std::vector<std::string>& Said();

  std::map<std::string, Resource*> services;
  struct PlannedLoss {
    Operation operation;
    Loss loss;
    std::string branch_id;
  };
  std::vector<PlannedLoss> losses;
  std::optional<CrashPoint> crash_at;
  bool crashed = false;
  std::vector<Event> history;
  std::vector<std::string> violations;
  bool unreached_said = false;

 private:
  struct Part {
    Branch spec;
    std::string id;
    BranchState state = BranchState::kWaiting;
    std::string result;
    std::string last_error;
    std::uint32_t attempts = 0;
  };
  enum class Decision : std::uint8_t { kNone, kCommit, kAbort };
  struct Running {
    Transaction spec;
    std::vector<Part> parts;
    bool open = false;
    bool recovered =
        false;  // its coordinator crashed while it was undecided: anything may have been asked
    Decision decision = Decision::kNone;
    TransactionState state = TransactionState::kActive;
    std::string abort_reason;
    Milliseconds deadline{0};  // on our clock
  };
  enum class Step : std::uint8_t { kDone, kRefused, kLater, kGaveUp };

  Running* Find(const std::string& gid);
  Status Refusal() const;
  Report ReportOf(const Running& running) const;
  Running& Admit(const Transaction& transaction, bool open);

  // Each runs as far as it gets: to the end, to something that must wait, or to the crash.
  void Drive(Running& running);
  void DriveForward(Running& running);
  bool RunForward(Running& running, Part& part);
  void Decide(Running& running, Decision decision, std::string reason);
  void AbortNow(Running& running, std::string reason);
  void DriveFinish(Running& running);
  void FinishPart(Running& running, Part& part);
  bool Crash(CrashPoint point);

  Part* NextReady(Running& running) const;
  bool Ready(const Running& running, std::size_t index) const;
  bool Follows(const Running& running, std::size_t index, const std::string& id) const;
  std::vector<std::string> Before(const Running& running, std::size_t index) const;
  bool OnePhase(const Running& running) const;

  // One operation with everything that may befall it. `reply` is final unless kLater or kGaveUp.
  Step Ask(Running& running, Part& part, Operation operation, Reply* reply);
  std::optional<Reply> Deliver(Running& running, const Call& call, bool* gave_up);
  Reply Execute(const Call& call, bool heard);
  static bool Offers(const Resource& resource, const Call& call);
  Call CallFor(const Running& running, const Part& part, Operation operation) const;
  std::optional<Loss> TakeLoss(const Call& call);
  void AnswerQuestions();

  Milliseconds now_{0};
  std::uint64_t epoch_ = 1;
  std::map<std::string, Running> transactions_;
  std::map<std::tuple<std::string, std::string, Operation>, Reply> first_answers_;
  std::vector<Call> late_;
  std::vector<std::string> said_;
};

}  // namespace assent::testkit
