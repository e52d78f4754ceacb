#include "coordinator/service/service.h"

#include <utility>

#include <assent/text.h>

#include "coordinator/core/spec.h"
#include "coordinator/service/batch.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/list.h"
#include "coordinator/service/may.h"
#include "coordinator/service/own_list.h"
#include "coordinator/service/record.h"
#include "proto/words/words.h"

namespace assent::service {
namespace {

template <typename Reply>
engine::ViewCallback AnswerWithReply(const AskerPtr<Reply>& asker) {
  return [asker](const Status& status, const core::Transaction* txn, const core::Now&) {
    asker->Answer(status, [&](Reply& out) { FillReply(*txn, out); });
  };
}

// Also to whoever sees transactions of others without what is in them.
engine::ViewCallback AnswerWithOutcome(const AskerPtr<v1::SubmitReply>& asker) {
  return [asker](const Status& status, const core::Transaction* txn, const core::Now&) {
    asker->Answer(status, [&](v1::SubmitReply& out) {
      FillReply(*txn, out);
      out.clear_results();
    });
  };
}

// Kept beside the answer's callback, which holds the asker.
template <typename Reply>
engine::Abandoned IsOver(const AskerPtr<Reply>& asker) {
  return [asker = asker.get()] { return asker->Over(); };
}

}  // namespace

template <typename Request, typename Reply>
void Service::Post(const std::string& gid, Request request, Asker<Reply>& asker) {
  Status status = core::CheckGid(gid);
  if (status.ok()) status = engine_.Post(gid, std::move(request));
  if (!status.ok()) asker.Fail(status);
}

void Service::NoteRefused(const Caller& caller, std::string what, const Status& why) const {
  if (options_.guard == nullptr) return;
  options_.guard->Note(
      {.identity = caller.name, .address = caller.address, .call = std::move(what), .status = why});
}

// ---- Initiators --------------------------------------------------------------------------------

template <typename Reply>
void Service::Begin(const Caller& caller, v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                    const AskerPtr<Reply>& asker) {
  Result<engine::BeginRequest> begin =
      ToBegin(std::move(spec), wait_for, open, [&] { return engine_.IssueGid(); });
  if (!begin.ok()) return asker->Fail(begin.status());
  if (const Status may = MayBegin(caller, begin->spec); !may.ok()) {
    NoteRefused(caller, "begin " + begin->spec.gid, may);
    return asker->Fail(may);
  }
  begin->spec.initiator = OwnOf(caller);
  begin->allowance = AllowanceOf(caller);
  const std::string gid = begin->spec.gid;
  begin->done = AnswerWithReply(asker);
  begin->abandoned = IsOver(asker);
  const Status posted = engine_.Post(gid, *std::move(begin));
  if (!posted.ok()) asker->Fail(posted);
}

void Service::Take(const Caller& caller, v1::SubmitRequest request,
                   const AskerPtr<v1::SubmitReply>& asker) {
  Begin(caller, std::move(*request.mutable_transaction()), request.wait_for(), /*open=*/false,
        asker);
}

void Service::Take(const Caller& caller, v1::BeginRequest request,
                   const AskerPtr<v1::BeginReply>& asker) {
  Begin(caller, std::move(*request.mutable_transaction()), v1::WAIT_ACCEPTED, /*open=*/true, asker);
}

void Service::Take(const Caller& caller, v1::ExecuteBranchRequest request,
                   const AskerPtr<v1::ExecuteBranchReply>& asker) {
  Result<core::BranchSpec> branch = FromProto(std::move(*request.mutable_branch()), "branch");
  if (!branch.ok()) return asker->Fail(branch.status());
  const Status may = MayAdd(caller, request.gid(), *branch);
  if (!may.ok()) {
    NoteRefused(caller, "begin a branch of " + request.gid(), may);
    return asker->Fail(may);
  }
  engine::ExecuteRequest execute;
  execute.only_of = OwnOf(caller);
  execute.allowance = AllowanceOf(caller);
  execute.gid = request.gid();
  execute.branch = std::move(branch).value();
  execute.done = [asker](const Status& status, const core::Transaction* txn,
                         core::BranchIndex index) {
    if (!status.ok()) return asker->Fail(status);
    const core::Branch& done = txn->branches()[index];
    const bool refused = done.state == BranchState::kRefused;
    if (!refused && txn->decision() != Decision::kNone)
      return asker->Fail(
          {Code::kAborted, "transaction " + txn->gid() + " was aborted: " + txn->abort_reason()});
    asker->Answer(status, [&](v1::ExecuteBranchReply& out) {
      out.set_branch_id(txn->spec().branches[index].id);
      out.set_state(wire::ToWire(done.state));
      out.set_result(done.result);
      out.set_reason(refused ? done.last_error : "");
    });
  };
  Post(request.gid(), std::move(execute), *asker);
}

void Service::Close(const Caller& caller, const std::string& gid, bool commit, std::string reason,
                    v1::WaitFor wait_for, const AskerPtr<v1::SubmitReply>& asker) {
  const Result<engine::WaitFor> wait = FromProto(wait_for);
  if (!wait.ok()) return asker->Fail(wait.status());
  Post(gid,
       engine::CloseRequest{.gid = gid,
                            .commit = commit,
                            .reason = std::move(reason),
                            .wait_for = *wait,
                            .done = AnswerWithReply(asker),
                            .abandoned = IsOver(asker),
                            .only_of = OwnOf(caller)},
       *asker);
}

void Service::Take(const Caller& caller, v1::CommitRequest request,
                   const AskerPtr<v1::SubmitReply>& asker) {
  Close(caller, request.gid(), /*commit=*/true, {}, request.wait_for(), asker);
}

void Service::Take(const Caller& caller, v1::RollbackRequest request,
                   const AskerPtr<v1::SubmitReply>& asker) {
  Close(caller, request.gid(), /*commit=*/false, std::string(CutReason(request.reason())),
        request.wait_for(), asker);
}

void Service::Take(const Caller& caller, v1::WaitRequest request,
                   const AskerPtr<v1::SubmitReply>& asker) {
  const Result<engine::WaitFor> wait = FromProto(request.wait_for());
  if (!wait.ok()) return asker->Fail(wait.status());
  Post(request.gid(),
       engine::WaitRequest{
           .gid = request.gid(),
           .wait_for = *wait,
           .done = MaySeePayloads(caller).ok() ? AnswerWithReply(asker) : AnswerWithOutcome(asker),
           .abandoned = IsOver(asker),
           .only_of = SeenBy(caller)},
       *asker);
}

// ---- Looking -----------------------------------------------------------------------------------

void Service::Take(const Caller& caller, v1::GetRequest request,
                   const AskerPtr<v1::Transaction>& asker) {
  const std::string gid = request.gid();
  const bool asks = request.payloads() || request.results();
  const Status may = asks ? MaySeePayloads(caller) : OkStatus();
  if (!may.ok()) {
    NoteRefused(caller, "payloads of " + gid, may);
    return asker->Fail(may);
  }
  engine::GetRequest get{
      gid,
      [this, asker, request = std::move(request)](
          const Status& status, const core::Transaction* txn, const core::Now& now) {
        if (!status.ok()) return asker->Fail(status);
        const Result<Detail> detail = DetailOf(request, *txn);
        asker->Answer(detail.status(), [&](v1::Transaction& out) {
          ToProto(*txn, now, *detail, true, out);
          FillHolder(out);
        });
      },
      SeenBy(caller)};
  Post(gid, std::move(get), *asker);
}

void Service::Take(const Caller& caller, v1::ListRequest request,
                   const AskerPtr<v1::ListReply>& asker) {
  const engine::OnlyOf own = SeenBy(caller);
  if (own != nullptr && own->empty()) {
    return asker->Fail(Unauthenticated(
        "who is not known has no list of what he began: show a certificate or a token"));
  }
  // A slice says how many rows there are of others.
  if (own != nullptr) request.clear_slice();
  RunListOf(own, {engine_, router_, options_.peers}, std::move(request),
            [asker](const Status& status, v1::ListReply list) {
              asker->Answer(status, [&](v1::ListReply& out) { out.Swap(&list); });
            });
}

void Service::Take(const Caller&, const v1::ListCausesRequest& request,
                   const AskerPtr<v1::ListCausesReply>& asker) {
  causes_.Ask({engine_, router_, options_.peers}, request, asker);
}

// ---- Operators ---------------------------------------------------------------------------------

namespace {

// It came to its end by itself, which is what was wanted.
bool HadEnded(const Deed& deed, const Status& status, const core::Transaction* txn) {
  return !status.ok() && txn != nullptr && txn->finished() &&
         (deed.verb != engine::OperatorVerb::kAbort || txn->outcome() == core::Outcome::kAborted);
}

}  // namespace

void Service::Operate(const Caller& caller, const v1::OperatorAction& action, Deed deed,
                      const AskerPtr<v1::OperatorReply>& asker) {
  const Result<core::Actor> actor = ActorOf(caller, action);
  Status status = actor.status();
  if (status.ok()) status = core::CheckGid(action.gid());
  if (!status.ok()) return asker->Fail(status);
  deed.dry_run = action.dry_run();
  const auto act = [this, gid = action.gid(), actor = *actor, deed,
                    may_have_ended = action.if_unfinished()](
                       const AskerPtr<v1::OperatorReply>& answered, const auto& before) {
    const auto done = [answered, deed, may_have_ended](const Status& status_of,
                                                       const core::Transaction* txn,
                                                       const core::Now& now) {
      const bool had_ended = may_have_ended && HadEnded(deed, status_of, txn);
      answered->Answer(had_ended ? OkStatus() : status_of, [&](v1::OperatorReply& out) {
        if (!deed.brief)
          ToProto(*txn, now, Detail{.attempts = true}, true, *out.mutable_transaction());
        out.set_had_ended(had_ended);
        out.set_effect(had_ended
                           ? "it has ended by itself: " + std::string(core::Name(txn->outcome()))
                           : EffectOf(deed, *txn, now));
      });
    };
    Post(gid,
         engine::OperatorRequest{
             .gid = gid,
             .verb = deed.verb,
             .actor = actor,
             .branch_id = deed.branch_id,
             .resolution = deed.resolution,
             .dry_run = deed.dry_run,
             .done = done,
             .before = [before](const core::Transaction& txn,
                                const core::Now& now) { before(StandingOf(txn, now)); }},
         *answered);
  };
  if (deed.dry_run) return act(asker, [](const std::string&) {});
  OnRecord(options_.audit, DeedOnRecord(caller, action, deed), asker, act);
}

void Service::Take(const Caller& caller, const v1::ForgetRequest& request,
                   const AskerPtr<v1::OperatorReply>& asker) {
  const Result<core::Actor> actor = ActorOf(caller, request.action());
  const std::string& gid = request.action().gid();
  Status status = actor.status();
  if (status.ok()) status = core::CheckGid(gid);
  if (!status.ok()) return asker->Fail(status);
  if (request.action().dry_run()) return Forget(gid, true, asker);
  // It will not be there to be asked how it ended.
  const auto act = [this, gid](const AskerPtr<v1::OperatorReply>& answered, const auto& before) {
    engine::GetRequest get{
        gid, [this, gid, answered, before](const Status& found, const core::Transaction* txn,
                                           const core::Now& now) {
          if (!found.ok()) return answered->Fail(found);
          before(StandingOf(*txn, now));
          Forget(gid, false, answered);
        }};
    Post(gid, std::move(get), *answered);
  };
  OnRecord(options_.audit, DeedBy(caller, request.action(), {.verb = "forget", .gid = gid}), asker,
           act);
}

namespace {

engine::OperatorVerb VerbOf(v1::BatchRequest::Verb verb) {
  switch (verb) {
    case v1::BatchRequest::ABORT: return engine::OperatorVerb::kAbort;
    case v1::BatchRequest::SUSPEND: return engine::OperatorVerb::kSuspend;
    case v1::BatchRequest::RESUME: return engine::OperatorVerb::kResume;
    default: return engine::OperatorVerb::kRetryNow;  // CheckBatch knows no others
  }
}

// Of one transaction of a batch.
class OneOfMany final : public Asker<v1::OperatorReply> {
 public:
  explicit OneOfMany(OneDone done) : done_(std::move(done)) {}
  void Answer(const Status& status, absl::FunctionRef<void(v1::OperatorReply&)> fill) override {
    v1::OperatorReply reply;
    if (status.ok()) fill(reply);
    done_(status, reply.had_ended());
  }
  bool Over() override { return false; }

 private:
  const OneDone done_;
};

}  // namespace

void Service::Take(const Caller& caller, const v1::BatchRequest& request,
                   const AskerPtr<v1::BatchReply>& asker) {
  const Result<core::Actor> actor = ActorOf(caller, request.action());
  Status status = actor.status();
  if (status.ok()) status = CheckBatch(request);
  if (status.ok() && request.has_slice() && !caller.forwarded)
    status = InvalidArgument("slice is what coordinators ask of each other");
  if (!status.ok()) return asker->Fail(status);
  // Another coordinator that is asked takes for who asked whom this one has found.
  v1::BatchRequest asked = request;
  asked.mutable_action()->set_who(actor->who);
  // What another coordinator asks is counted there.
  const bool counted = !request.has_slice();
  if (counted && batches_.fetch_add(1) >= kMaxBatchesCount) {
    batches_.fetch_sub(1);
    return asker->Fail(ResourceExhausted(std::to_string(kMaxBatchesCount) +
                                         " batches are under way, which is the limit: try again "
                                         "later"));
  }
  const auto act = [this, caller, request](const std::string& gid, OneDone done) {
    v1::OperatorAction action = request.action();
    action.set_gid(gid);
    action.set_if_unfinished(true);
    Operate(caller, action, {.verb = VerbOf(request.verb()), .brief = true},
            std::make_shared<OneOfMany>(std::move(done)));
  };
  RunBatch(
      {engine_, router_, options_.peers}, asked, act, [asker] { return asker->Over(); },
      [this, counted, asker](const Status& ended, v1::BatchReply reply) {
        if (counted) batches_.fetch_sub(1);
        asker->Answer(ended, [&](v1::BatchReply& out) { out.Swap(&reply); });
      });
}

void Service::Forget(const std::string& gid, bool dry_run,
                     const AskerPtr<v1::OperatorReply>& asker) {
  engine::ForgetRequest forget{
      gid, dry_run,
      [asker, dry_run](const Status& status, const core::Transaction*, const core::Now&) {
        asker->Answer(status, [&](v1::OperatorReply& out) {
          out.set_effect(std::string("the transaction ") + (dry_run ? "would be" : "is") +
                         " removed from the history");
        });
      }};
  Post(gid, std::move(forget), *asker);
}

void Service::Take(const Caller&, v1::ListAuditRequest request,
                   const AskerPtr<v1::ListAuditReply>& asker) {
  ReadRecord(options_.audit, request, asker);
}

}  // namespace assent::service
