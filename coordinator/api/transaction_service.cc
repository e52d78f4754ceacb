#include "coordinator/api/transaction_service.h"

#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/limits.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/api/call.h"
#include "coordinator/api/convert.h"
#include "coordinator/api/list.h"
#include "coordinator/api/streams.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/text.h"

namespace assent::api {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

std::string EffectOf(engine::OperatorVerb verb, const std::string& branch,
                     core::Decision resolution, bool dry_run) {
  const std::string would = dry_run ? "would be " : "is ";
  switch (verb) {
    case engine::OperatorVerb::kRetryNow:
      return "everything that waits for its backoff " + would + "tried now";
    case engine::OperatorVerb::kAbort:
      return "the transaction " + would + "aborted: every branch is undone";
    case engine::OperatorVerb::kSuspend:
      return "the transaction " + would + "held: nothing more is sent for it until it is resumed";
    case engine::OperatorVerb::kResume: return "the transaction " + would + "resumed";
    case engine::OperatorVerb::kResolve:
      return "branch " + branch + " " + would + "taken as " +
             (resolution == core::Decision::kCommit ? "committed" : "aborted") +
             " by declaration: its participant is asked no more";
  }
  return {};
}

class TransactionServiceImpl final : public v1::TransactionService::CallbackService {
 public:
  TransactionServiceImpl(ServiceOptions options, engine::Engine& engine)
      : options_(std::move(options)), engine_(engine) {}

  // ---- Initiators
  Reactor* Submit(Context* context, const v1::SubmitRequest* request,
                  v1::SubmitReply* reply) override {
    auto call = Call<v1::SubmitReply>::Start(context, reply);
    PostSubmit(engine_, request->transaction(), request->wait_for(), /*open=*/false,
               AnswerWithReply(call), IsOver(call));
    return call.get();
  }

  grpc::ServerBidiReactor<v1::SubmitRequestFrame, v1::SubmitReplyFrame>* SubmitStream(
      Context*) override {
    return StartSubmitStream(engine_, options_.max_stream_outstanding_count);
  }

  Reactor* Begin(Context* context, const v1::BeginRequest* request,
                 v1::BeginReply* reply) override {
    auto call = Call<v1::BeginReply>::Start(context, reply);
    PostSubmit(engine_, request->transaction(), v1::WAIT_ACCEPTED, /*open=*/true,
               [call](const Status& status, const core::Transaction* txn, const core::Now&) {
                 call->Answer(status, [&](v1::BeginReply& out) {
                   out.set_gid(txn->gid());
                   out.set_deadline_unix_ms(txn->deadline_at().time_since_epoch().count());
                 });
               });
    return call.get();
  }

  Reactor* ExecuteBranch(Context* context, const v1::ExecuteBranchRequest* request,
                         v1::ExecuteBranchReply* reply) override {
    auto call = Call<v1::ExecuteBranchReply>::Start(context, reply);
    Result<core::BranchSpec> branch = FromProto(request->branch());
    if (!branch.ok()) {
      call->Fail(branch.status());
      return call.get();
    }
    engine::ExecuteRequest execute;
    execute.gid = request->gid();
    execute.branch = std::move(branch).value();
    execute.done = [call](const Status& status, const core::Transaction* txn,
                          core::BranchIndex index) {
      if (!status.ok()) return call->Fail(status);
      const core::Branch& done = txn->branches()[index];
      const bool answered =
          done.state == core::BranchState::kRefused || txn->decision() == core::Decision::kNone;
      if (!answered)
        return call->Fail(
            {Code::kAborted, "transaction " + txn->gid() + " was aborted: " + txn->abort_reason()});
      call->Answer(status, [&](v1::ExecuteBranchReply& out) {
        out.set_branch_id(txn->spec().branches[index].id);
        out.set_state(static_cast<v1::BranchState>(done.state));
        out.set_result(done.result);
        out.set_reason(done.state == core::BranchState::kRefused ? done.last_error : "");
      });
    };
    Post(request->gid(), std::move(execute), *call);
    return call.get();
  }

  Reactor* Commit(Context* context, const v1::CommitRequest* request,
                  v1::SubmitReply* reply) override {
    return CloseBy(context, request->gid(), /*commit=*/true, {}, request->wait_for(), reply);
  }
  Reactor* Rollback(Context* context, const v1::RollbackRequest* request,
                    v1::SubmitReply* reply) override {
    return CloseBy(context, request->gid(), /*commit=*/false,
                   std::string(core::CutReason(request->reason())), request->wait_for(), reply);
  }

  // ---- Looking
  Reactor* Get(Context* context, const v1::GetRequest* request, v1::Transaction* reply) override {
    auto call = Call<v1::Transaction>::Start(context, reply);
    Post(request->gid(),
         engine::GetRequest{
             request->gid(),
             [call](const Status& status, const core::Transaction* txn, const core::Now& now) {
               call->Answer(status, [&](v1::Transaction& out) {
                 ToProto(*txn, now, Detail::kFull, true, out);
               });
             }},
         *call);
    return call.get();
  }

  Reactor* List(Context* context, const v1::ListRequest* request, v1::ListReply* reply) override {
    auto call = Call<v1::ListReply>::Start(context, reply);
    RunList(engine_, *request, [call](const Status& status, v1::ListReply list) {
      call->Answer(status, [&](v1::ListReply& out) { out.Swap(&list); });
    });
    return call.get();
  }

  grpc::ServerWriteReactor<v1::Transaction>* Watch(Context*,
                                                   const v1::WatchRequest* request) override {
    return StartWatch(engine_, *request);
  }

  Reactor* Wait(Context* context, const v1::WaitRequest* request, v1::SubmitReply* reply) override {
    auto call = Call<v1::SubmitReply>::Start(context, reply);
    const Result<engine::WaitFor> wait_for = FromProto(request->wait_for());
    if (!wait_for.ok()) {
      call->Fail(wait_for.status());
    } else {
      Post(request->gid(),
           engine::WaitRequest{request->gid(), *wait_for, AnswerWithReply(call), IsOver(call)},
           *call);
    }
    return call.get();
  }

  // ---- Operators
  Reactor* RetryNow(Context* context, const v1::RetryNowRequest* request,
                    v1::OperatorReply* reply) override {
    return Operate(context, request->action(), engine::OperatorVerb::kRetryNow, {},
                   core::Decision::kNone, reply);
  }
  Reactor* Abort(Context* context, const v1::AbortRequest* request,
                 v1::OperatorReply* reply) override {
    return Operate(context, request->action(), engine::OperatorVerb::kAbort, {},
                   core::Decision::kNone, reply);
  }
  Reactor* Suspend(Context* context, const v1::SuspendRequest* request,
                   v1::OperatorReply* reply) override {
    return Operate(context, request->action(), engine::OperatorVerb::kSuspend, {},
                   core::Decision::kNone, reply);
  }
  Reactor* Resume(Context* context, const v1::ResumeRequest* request,
                  v1::OperatorReply* reply) override {
    return Operate(context, request->action(), engine::OperatorVerb::kResume, {},
                   core::Decision::kNone, reply);
  }
  Reactor* ResolveBranch(Context* context, const v1::ResolveBranchRequest* request,
                         v1::OperatorReply* reply) override {
    const auto resolution = request->resolution() == v1::DECISION_COMMIT  ? core::Decision::kCommit
                            : request->resolution() == v1::DECISION_ABORT ? core::Decision::kAbort
                                                                          : core::Decision::kNone;
    return Operate(context, request->action(), engine::OperatorVerb::kResolve, request->branch_id(),
                   resolution, reply);
  }
  Reactor* Forget(Context* context, const v1::ForgetRequest* request,
                  v1::OperatorReply* reply) override {
    auto call = Call<v1::OperatorReply>::Start(context, reply);
    const bool dry_run = request->action().dry_run();
    const std::string gid = request->action().gid();
    Post(gid,
         engine::ForgetRequest{
             gid, dry_run,
             [call, dry_run](const Status& status, const core::Transaction*, const core::Now&) {
               call->Answer(status, [&](v1::OperatorReply& out) {
                 out.set_effect(std::string("the transaction ") + (dry_run ? "would be" : "is") +
                                " removed from the history");
               });
             }},
         *call);
    return call.get();
  }

  Reactor* ListParticipants(Context* context, const v1::ListParticipantsRequest* request,
                            v1::ListParticipantsReply* reply) override {
    for (const transport::ServiceInfo& info : options_.participants(request->service_prefix())) {
      v1::ParticipantInfo& participant = *reply->add_participants();
      participant.set_service(info.service);
      participant.set_queued(static_cast<std::uint32_t>(info.queued));
      for (const std::string& action : info.actions) participant.add_actions(action);
      for (const transport::InstanceInfo& one : info.instances) {
        v1::ParticipantInfo::Instance& instance = *participant.add_instances();
        instance.set_instance(one.instance);
        instance.set_address(one.address);
        instance.set_agent(one.agent);
        instance.set_connected_unix_ms(one.connected_at.time_since_epoch().count());
        instance.set_in_flight(static_cast<std::uint32_t>(one.in_flight));
        instance.set_transport(one.unary ? "unary" : "session");
      }
    }
    Reactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  Reactor* GetServerInfo(Context* context, const v1::GetServerInfoRequest*,
                         v1::ServerInfo* reply) override {
    const engine::ShardStats stats = engine_.Stats();
    const log::Stats log = engine_.log().GetStats();
    reply->set_version(options_.version);
    reply->set_coordinator_id(engine_.recovered().coordinator_id);
    reply->set_epoch(engine_.recovered().epoch);
    reply->set_started_unix_ms(options_.started_unix_ms);
    reply->set_data_file(options_.data_file);
    reply->set_active(stats.active);
    reply->set_committing(stats.committing);
    reply->set_aborting(stats.aborting);
    reply->set_needs_operator(stats.needs_operator);
    reply->set_retained(log.finished_rows);
    reply->set_begun(stats.begun);
    reply->set_committed(stats.committed);
    reply->set_aborted(stats.aborted);
    reply->set_refusing(engine_.refusing());
    reply->set_log_records(log.records);
    reply->set_log_commits(log.commits);
    reply->set_set_aside(stats.set_aside);
    Reactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  static engine::ViewCallback AnswerWithReply(std::shared_ptr<Call<v1::SubmitReply>> call) {
    return [call = std::move(call)](const Status& status, const core::Transaction* txn,
                                    const core::Now&) {
      call->Answer(status, [&](v1::SubmitReply& out) { FillReply(*txn, out); });
    };
  }

  static engine::Abandoned IsOver(std::shared_ptr<Call<v1::SubmitReply>> call) {
    return [call = std::move(call)] { return call->Over(); };
  }

  template <typename Request, typename Reply>
  void Post(const std::string& gid, Request request, Call<Reply>& call) {
    const Status named = core::CheckGid(gid);
    if (!named.ok()) return call.Fail(named);
    const Status posted = engine_.Post(gid, std::move(request));
    if (!posted.ok()) call.Fail(posted);
  }

  Reactor* CloseBy(Context* context, const std::string& gid, bool commit, std::string reason,
                   v1::WaitFor wait_for, v1::SubmitReply* reply) {
    auto call = Call<v1::SubmitReply>::Start(context, reply);
    const Result<engine::WaitFor> wait = FromProto(wait_for);
    if (!wait.ok()) {
      call->Fail(wait.status());
    } else {
      Post(gid,
           engine::CloseRequest{gid, commit, std::move(reason), *wait, AnswerWithReply(call),
                                IsOver(call)},
           *call);
    }
    return call.get();
  }

  Reactor* Operate(Context* context, const v1::OperatorAction& action, engine::OperatorVerb verb,
                   const std::string& branch, core::Decision resolution, v1::OperatorReply* reply) {
    auto call = Call<v1::OperatorReply>::Start(context, reply);
    const Result<core::Actor> actor = FromProto(action);
    if (!actor.ok()) {
      call->Fail(actor.status());
      return call.get();
    }
    const std::string effect = EffectOf(verb, branch, resolution, action.dry_run());
    Post(action.gid(),
         engine::OperatorRequest{action.gid(), verb, *actor, branch, resolution, action.dry_run(),
                                 [call, effect](const Status& status, const core::Transaction* txn,
                                                const core::Now& now) {
                                   call->Answer(status, [&](v1::OperatorReply& out) {
                                     ToProto(*txn, now, Detail::kFull, true,
                                             *out.mutable_transaction());
                                     out.set_effect(effect);
                                   });
                                 }},
         *call);
    return call.get();
  }

  const ServiceOptions options_;
  engine::Engine& engine_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTransactionService(ServiceOptions options,
                                                      engine::Engine& engine) {
  return std::make_unique<TransactionServiceImpl>(std::move(options), engine);
}

}  // namespace assent::api
