#pragma once

// Behind testkit::Coordinator: the coordinator's own state machine (coordinator/core), one
// transaction at a time, with a clock that is moved by hand and messages that are lost by plan.
// Single-threaded. What core says must be recorded is kept as bytes, and a crash leaves only that.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <assent/connection.h>
#include <assent/testkit.h>

#include "coordinator/core/transaction.h"

namespace assent::testkit {

class Coordinator::Impl final : public Connection {
 public:
  // Connection: initiators.
  Result<Report> Submit(const SubmitParams& params) override;
  void SubmitAsync(SubmitParams params, ReportCallback done) override { done(Submit(params)); }
  Status Begin(const BeginParams& params) override;
  Result<BranchResult> Execute(const ExecuteParams& params) override;
  Result<Report> Finish(const FinishParams& params) override;
  Result<Report> Wait(const WaitParams& params) override;
  Result<TransactionInfo> Get(const GetParams& params) override;

  // Tests.
  void Serve(std::string service, Resource& resource);
  void Restart();
  void Advance(std::chrono::milliseconds by);
  void DeliverLate();
  void Plan(CrashPoint point);
  // The plans that have not happened, as sentences.
  std::vector<std::string> Unreached() const;
  // Violations and those.
  const std::vector<std::string>& Said();

  struct PlannedLoss {
    Operation operation;
    Loss loss;
    std::string branch_id;
  };
  std::vector<PlannedLoss> losses;
  bool crashed = false;
  std::vector<Event> history;
  bool unreached_said = false;

 private:
  // A transaction in memory, and as its log would have it.
  struct Live {
    core::Transaction txn;
    std::string spec;
    std::string state;
  };
  struct Outgoing {
    Live* live;
    core::Send send;
  };

  Result<Live*> Find(const std::string& gid);
  Result<Live*> Admit(const Transaction& transaction, bool open);
  // What to answer about it now.
  Result<Report> ReportOf(const Live& live) const;

  core::Now Now() const;
  core::MonoTime DeadlineOf(const Live& live) const;
  // The one place where the state machine is asked: writes its record, then takes its messages.
  Status Apply(Live& live, const core::Event& event);
  // Delivers what is to be sent, and moves the clock on to what is due, until `until` or the end of
  // `waited`.
  void RunUntil(core::MonoTime until, const Live* waited = nullptr);
  void Run(const Live& live);
  bool Crash(CrashPoint point);

  void Deliver(const Outgoing& outgoing);
  // Nothing: nobody heard an answer.
  std::optional<Reply> Exchange(const Call& call, Live& live);
  Reply Ask(const Call& call, bool heard);
  void GiveWay(const Live& older, core::BranchIndex branch, const std::string& gid);
  static Call CallFor(const Live& live, const core::Send& send);
  std::optional<Loss> TakeLoss(const Call& call);
  void AnswerQuestions();

  core::MonoTime now_{};
  std::uint64_t epoch_ = 1;
  std::map<std::string, Resource*> services_;
  std::map<std::string, Live> transactions_;
  std::vector<Outgoing> outbox_;
  std::optional<CrashPoint> crash_at_;
  std::map<std::tuple<std::string, std::string, Operation>, Reply> first_answers_;
  std::vector<Call> late_;
  std::vector<std::string> violations_;
  std::vector<std::string> said_;
};

}  // namespace assent::testkit
