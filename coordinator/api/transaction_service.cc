#include "coordinator/api/transaction_service.h"

#include <algorithm>
#include <map>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/limits.h>
#include <assent/text.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/api/call.h"
#include "coordinator/api/convert.h"
#include "coordinator/api/effects.h"
#include "coordinator/api/list.h"
#include "coordinator/api/streams.h"
#include "coordinator/core/spec.h"
#include "proto/words/words.h"

namespace assent::api {
namespace {

using Bytes = grpc::ByteBuffer;
using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;
using Wire = v1::TransactionService;

template <typename Reply>
using CallPtr = std::shared_ptr<Call<Reply>>;

// Every method takes its request as bytes (call.h says why).
template <typename Base>
using RawInitiators = Wire::WithRawCallbackMethod_Submit<Wire::WithRawCallbackMethod_SubmitStream<
    Wire::WithRawCallbackMethod_Begin<Wire::WithRawCallbackMethod_ExecuteBranch<
        Wire::WithRawCallbackMethod_Commit<Wire::WithRawCallbackMethod_Rollback<Base>>>>>>;
template <typename Base>
using RawLooking = Wire::WithRawCallbackMethod_Get<
    Wire::WithRawCallbackMethod_List<Wire::WithRawCallbackMethod_Watch<
        Wire::WithRawCallbackMethod_Wait<Wire::WithRawCallbackMethod_ListParticipants<
            Wire::WithRawCallbackMethod_GetServerInfo<Base>>>>>>;
template <typename Base>
using RawOperators = Wire::WithRawCallbackMethod_RetryNow<Wire::WithRawCallbackMethod_Abort<
    Wire::WithRawCallbackMethod_Suspend<Wire::WithRawCallbackMethod_Resume<
        Wire::WithRawCallbackMethod_ResolveBranch<Wire::WithRawCallbackMethod_Forget<Base>>>>>>;
using RawService = RawInitiators<RawLooking<RawOperators<Wire::Service>>>;

class TransactionServiceImpl final : public RawService {
 public:
  TransactionServiceImpl(ServiceOptions options, engine::Engine& engine)
      : options_(std::move(options)), engine_(engine), holdings_(options_.holdings) {}

  Reactor* Submit(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::SubmitRequest, v1::SubmitReply>(context, *request, reply);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* SubmitStream(Context* context) override {
    return StartSubmitStream(engine_, holdings_, context, options_.max_stream_outstanding_count);
  }
  Reactor* Begin(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::BeginRequest, v1::BeginReply>(context, *request, reply);
  }
  Reactor* ExecuteBranch(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::ExecuteBranchRequest, v1::ExecuteBranchReply>(context, *request, reply);
  }
  Reactor* Commit(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::CommitRequest, v1::SubmitReply>(context, *request, reply);
  }
  Reactor* Rollback(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::RollbackRequest, v1::SubmitReply>(context, *request, reply);
  }
  Reactor* Get(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::GetRequest, v1::Transaction>(context, *request, reply);
  }
  Reactor* List(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::ListRequest, v1::ListReply>(context, *request, reply);
  }
  grpc::ServerWriteReactor<Bytes>* Watch(Context* context, const Bytes* request) override {
    auto* const watch = StartWatch(engine_, holdings_, context, *request);
    Free(*request);
    return watch;
  }
  Reactor* Wait(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::WaitRequest, v1::SubmitReply>(context, *request, reply);
  }
  Reactor* RetryNow(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::RetryNowRequest, v1::OperatorReply>(context, *request, reply);
  }
  Reactor* Abort(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::AbortRequest, v1::OperatorReply>(context, *request, reply);
  }
  Reactor* Suspend(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::SuspendRequest, v1::OperatorReply>(context, *request, reply);
  }
  Reactor* Resume(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::ResumeRequest, v1::OperatorReply>(context, *request, reply);
  }
  Reactor* ResolveBranch(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::ResolveBranchRequest, v1::OperatorReply>(context, *request, reply);
  }
  Reactor* Forget(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::ForgetRequest, v1::OperatorReply>(context, *request, reply);
  }
  Reactor* ListParticipants(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::ListParticipantsRequest, v1::ListParticipantsReply>(context, *request, reply);
  }
  Reactor* GetServerInfo(Context* context, const Bytes* request, Bytes* reply) override {
    return Take<v1::GetServerInfoRequest, v1::ServerInfo>(context, *request, reply);
  }

 private:
  // gRPC keeps the bytes of a request as long as the call lasts. They are its own, and nobody reads
  // them again.
  static void Free(const Bytes& request) { const_cast<Bytes&>(request).Clear(); }

  template <typename Request, typename Reply>
  Reactor* Take(Context* context, const Bytes& bytes, Bytes* reply) {
    const CallPtr<Reply> call = Call<Reply>::Start(context, reply, holdings_);
    Request request;
    const Status parsed = ParseRequest(bytes, request);
    Free(bytes);
    if (call->Over()) return call.get();
    if (parsed.ok()) {
      On(std::move(request), call);
    } else {
      call->Fail(parsed);
    }
    return call.get();
  }

  // ---- Initiators
  void On(v1::SubmitRequest request, const CallPtr<v1::SubmitReply>& call) {
    PostSubmit(engine_, std::move(*request.mutable_transaction()), request.wait_for(),
               /*open=*/false, AnswerWithReply(call), IsOver(call));
  }

  void On(v1::BeginRequest request, const CallPtr<v1::BeginReply>& call) {
    PostSubmit(engine_, std::move(*request.mutable_transaction()), v1::WAIT_ACCEPTED, /*open=*/true,
               [call](const Status& status, const core::Transaction* txn, const core::Now&) {
                 call->Answer(status, [&](v1::BeginReply& out) {
                   out.set_gid(txn->gid());
                   out.set_deadline_unix_ms(txn->deadline_at().time_since_epoch().count());
                 });
               });
  }

  void On(v1::ExecuteBranchRequest request, const CallPtr<v1::ExecuteBranchReply>& call) {
    Result<core::BranchSpec> branch = FromProto(std::move(*request.mutable_branch()), "branch");
    if (!branch.ok()) return call->Fail(branch.status());
    engine::ExecuteRequest execute;
    execute.gid = request.gid();
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
        out.set_state(wire::ToWire(done.state));
        out.set_result(done.result);
        out.set_reason(done.state == core::BranchState::kRefused ? done.last_error : "");
      });
    };
    Post(request.gid(), std::move(execute), *call);
  }

  void On(v1::CommitRequest request, const CallPtr<v1::SubmitReply>& call) {
    Close(request.gid(), /*commit=*/true, {}, request.wait_for(), call);
  }
  void On(v1::RollbackRequest request, const CallPtr<v1::SubmitReply>& call) {
    Close(request.gid(), /*commit=*/false, std::string(CutReason(request.reason())),
          request.wait_for(), call);
  }

  // ---- Looking
  void On(v1::GetRequest request, const CallPtr<v1::Transaction>& call) {
    const std::string gid = request.gid();
    Post(gid,
         engine::GetRequest{
             gid,
             [call, request = std::move(request)](
                 const Status& status, const core::Transaction* txn, const core::Now& now) {
               if (!status.ok()) return call->Fail(status);
               const Result<Detail> detail = DetailOf(request, *txn);
               call->Answer(detail.status(),
                            [&](v1::Transaction& out) { ToProto(*txn, now, *detail, true, out); });
             }},
         *call);
  }

  void On(v1::ListRequest request, const CallPtr<v1::ListReply>& call) {
    RunList(engine_, std::move(request), [call](const Status& status, v1::ListReply list) {
      call->Answer(status, [&](v1::ListReply& out) { out.Swap(&list); });
    });
  }

  void On(v1::WaitRequest request, const CallPtr<v1::SubmitReply>& call) {
    const Result<engine::WaitFor> wait_for = FromProto(request.wait_for());
    if (!wait_for.ok()) return call->Fail(wait_for.status());
    Post(request.gid(),
         engine::WaitRequest{request.gid(), *wait_for, AnswerWithReply(call), IsOver(call)}, *call);
  }

  void On(v1::ListParticipantsRequest request, const CallPtr<v1::ListParticipantsReply>& call) {
    call->Answer(OkStatus(), [&](v1::ListParticipantsReply& out) {
      std::vector<transport::ServiceInfo> services =
          options_.participants(request.service_prefix());
      std::map<std::string, std::uint64_t> waiting;
      for (engine::WaitingFor& one :
           engine_.Waiting(request.service_prefix(), options_.max_absent_services_count))
        waiting.emplace(std::move(one.service), one.transactions);
      std::map<std::string, std::uint64_t> absent = waiting;
      for (const transport::ServiceInfo& info : services) absent.erase(info.service);
      for (const auto& [service, transactions] : absent) services.push_back({service, {}, {}, 0});
      FillPage(std::move(services), request.page_token(), out);
      for (v1::ParticipantInfo& participant : *out.mutable_participants()) {
        const auto found = waiting.find(participant.service());
        if (found != waiting.end()) participant.set_waiting(found->second);
      }
    });
  }

  void On(v1::GetServerInfoRequest, const CallPtr<v1::ServerInfo>& call) {
    const engine::ShardStats stats = engine_.Stats();
    const log::Stats log = engine_.log().GetStats();
    call->Answer(OkStatus(), [&](v1::ServerInfo& reply) {
      reply.set_version(options_.version);
      reply.set_coordinator_id(engine_.recovered().log_id);
      reply.set_epoch(engine_.recovered().epoch);
      reply.set_started_unix_ms(options_.started_unix_ms);
      reply.set_data_file(options_.data_file);
      reply.set_active(stats.active);
      reply.set_committing(stats.committing);
      reply.set_aborting(stats.aborting);
      reply.set_needs_operator(stats.needs_operator);
      reply.set_retained(log.finished_rows);
      reply.set_begun(stats.begun);
      reply.set_committed(stats.committed);
      reply.set_aborted(stats.aborted);
      reply.set_refusing(engine_.refusing());
      reply.set_log_records(log.records);
      reply.set_log_commits(log.commits);
      reply.set_set_aside(stats.set_aside);
    });
  }

  // ---- Operators
  using OperatorCall = CallPtr<v1::OperatorReply>;
  void On(v1::RetryNowRequest request, const OperatorCall& call) {
    Operate(request.action(), {engine::OperatorVerb::kRetryNow}, call);
  }
  void On(v1::AbortRequest request, const OperatorCall& call) {
    Operate(request.action(), {engine::OperatorVerb::kAbort}, call);
  }
  void On(v1::SuspendRequest request, const OperatorCall& call) {
    Operate(request.action(), {engine::OperatorVerb::kSuspend}, call);
  }
  void On(v1::ResumeRequest request, const OperatorCall& call) {
    Operate(request.action(), {engine::OperatorVerb::kResume}, call);
  }
  void On(v1::ResolveBranchRequest request, const OperatorCall& call) {
    const auto resolution =
        wire::FromWire<Decision>(request.resolution()).value_or(Decision::kNone);
    Operate(request.action(),
            {engine::OperatorVerb::kResolve, std::move(*request.mutable_branch_id()), resolution},
            call);
  }
  void On(v1::ForgetRequest request, const OperatorCall& call) {
    const Result<core::Actor> actor = FromProto(request.action());
    if (!actor.ok()) return call->Fail(actor.status());
    const bool dry_run = request.action().dry_run();
    const std::string& gid = request.action().gid();
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
  }

  void Operate(const v1::OperatorAction& action, Deed deed, const OperatorCall& call) {
    const Result<core::Actor> actor = FromProto(action);
    if (!actor.ok()) return call->Fail(actor.status());
    deed.dry_run = action.dry_run();
    Post(
        action.gid(),
        engine::OperatorRequest{
            action.gid(), deed.verb, *actor, deed.branch_id, deed.resolution, deed.dry_run,
            [call, deed](const Status& status, const core::Transaction* txn, const core::Now& now) {
              call->Answer(status, [&](v1::OperatorReply& out) {
                ToProto(*txn, now, Detail{.attempts = true}, true, *out.mutable_transaction());
                out.set_effect(EffectOf(deed, *txn, now));
              });
            }},
        *call);
  }

  // ---- Shared
  static engine::ViewCallback AnswerWithReply(CallPtr<v1::SubmitReply> call) {
    return [call = std::move(call)](const Status& status, const core::Transaction* txn,
                                    const core::Now&) {
      call->Answer(status, [&](v1::SubmitReply& out) { FillReply(*txn, out); });
    };
  }

  static engine::Abandoned IsOver(CallPtr<v1::SubmitReply> call) {
    return [call = std::move(call)] { return call->Over(); };
  }

  template <typename Request, typename Reply>
  void Post(const std::string& gid, Request request, Call<Reply>& call) {
    const Status named = core::CheckGid(gid);
    if (!named.ok()) return call.Fail(named);
    const Status posted = engine_.Post(gid, std::move(request));
    if (!posted.ok()) call.Fail(posted);
  }

  void Close(const std::string& gid, bool commit, std::string reason, v1::WaitFor wait_for,
             const CallPtr<v1::SubmitReply>& call) {
    const Result<engine::WaitFor> wait = FromProto(wait_for);
    if (!wait.ok()) return call->Fail(wait.status());
    Post(gid,
         engine::CloseRequest{gid, commit, std::move(reason), *wait, AnswerWithReply(call),
                              IsOver(call)},
         *call);
  }

  const ServiceOptions options_;
  engine::Engine& engine_;
  Holdings holdings_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTransactionService(ServiceOptions options,
                                                      engine::Engine& engine) {
  return std::make_unique<TransactionServiceImpl>(std::move(options), engine);
}

}  // namespace assent::api
