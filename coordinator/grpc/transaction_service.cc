#include "coordinator/grpc/transaction_service.h"

#include <string>
#include <utility>

#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/grpc/raw_service.h"
#include "coordinator/grpc/streams.h"
#include "coordinator/service/kinds.h"

namespace assent::door {
namespace {

// The transaction that a request is about.
template <typename Request>
std::string GidOf(const Request& request) {
  if constexpr (requires { request.transaction(); }) {
    return request.transaction().gid();
  } else if constexpr (requires { request.action(); }) {
    return request.action().gid();
  } else {
    return request.gid();
  }
}

using service::kRepeatable;

class TransactionService final : public RawService<v1::TransactionService::Service> {
 public:
  TransactionService(service::Service& service, GrpcPeers* peers)
      : RawService(service, *v1::SubmitRequest::descriptor()->file()->FindServiceByName(
                                "TransactionService")),
        ways_{service, peers} {
    Travelling<v1::SubmitRequest, v1::SubmitReply>();
    Travelling<v1::BeginRequest, v1::BeginReply>();
    Travelling<v1::ExecuteBranchRequest, v1::ExecuteBranchReply>();
    Travelling<v1::CommitRequest, v1::SubmitReply>();
    Travelling<v1::RollbackRequest, v1::SubmitReply>();
    Travelling<v1::WaitRequest, v1::SubmitReply>();
    Travelling<v1::GetRequest, v1::Transaction>();
    Unary<v1::ListRequest, v1::ListReply>();
    Unary<v1::ListCausesRequest, v1::ListCausesReply>();
    Unary<v1::ListAuditRequest, v1::ListAuditReply>();
    Unary<v1::ListParticipantsRequest, v1::ListParticipantsReply>();
    Unary<v1::SetBreakerRequest, v1::SetBreakerReply>();
    Unary<v1::GetServerInfoRequest, v1::ServerInfo>();
    Travelling<v1::RetryNowRequest, v1::OperatorReply>();
    Travelling<v1::AbortRequest, v1::OperatorReply>();
    Travelling<v1::SuspendRequest, v1::OperatorReply>();
    Travelling<v1::ResumeRequest, v1::OperatorReply>();
    Travelling<v1::ResolveBranchRequest, v1::OperatorReply>();
    Travelling<v1::ForgetRequest, v1::OperatorReply>();
    Serve<v1::SubmitRequestFrame>(new grpc::internal::CallbackBidiHandler<Bytes, Bytes>(
        [this, needs = Needed<v1::SubmitRequestFrame>()](
            Context* context) -> grpc::ServerBidiReactor<Bytes, Bytes>* {
          auto caller = Admit(*context, service_.guard(), needs.permission, needs.call);
          if (!caller.ok()) return new transport::RefusedStream<Bytes, Bytes>(caller.status());
          auto stay = StayOf(*context, service_.guard(), needs.permission, *caller);
          return StartSubmitStream(service_, ways_, *std::move(caller), std::move(stay), context);
        }));
    Stream<v1::WatchRequest>([this](const service::Caller& caller, const StayPtr& stay,
                                    Context* context, const Bytes& request) {
      return StartWatch(service_, ways_, caller, stay, context, request);
    });
    Stream<v1::EventsRequest>([this](const service::Caller& caller, const StayPtr& stay,
                                     Context* context, const Bytes& request) {
      return StartEvents(service_, caller, stay, context, request);
    });
    CheckAllAreServed();
  }

 private:
  // A call about one transaction, which may be another coordinator's.
  template <typename Request, typename Reply>
  void Travelling() {
    static_assert(service::kTravels<Request>);
    Unary<Request, Reply>([this](const service::Caller& caller, Request&& request,
                                 const std::shared_ptr<Call<Reply>>& call, Context* context,
                                 Bytes&& bytes) {
      if constexpr (service::kTransaction<Request>) {
        if (AdoptTrace(*context, *request.mutable_transaction()) && !service_.router().alone())
          bytes = Serialised(request);
      }
      if (service_.router().alone()) return service_.Take(caller, std::move(request), call);
      Travel<Request, Reply>(caller, std::move(request), call, context, std::move(bytes));
    });
  }

  template <typename Request, typename Reply>
  void Travel(const service::Caller& caller, Request&& request,
              const std::shared_ptr<Call<Reply>>& call, Context* context, Bytes&& bytes) {
    std::string gid = GidOf(request);
    if constexpr (requires { request.mutable_transaction(); }) {
      if (gid.empty()) {  // from now on it has one, wherever it is asked
        gid = service_.engine().IssueGid();
        request.mutable_transaction()->set_gid(gid);
        bytes = Serialised(request);
      }
    }
    if (caller.forwarded) {
      call->Travel(service_.router(), std::move(gid), kRepeatable<Request>, nullptr);
      return service_.Take(caller, std::move(request), call);
    }
    const bool is_here = service_.router().Find(gid).where == service::Route::Where::kHere;
    Trip trip = {.gid = gid,
                 .method = MethodOf<Request>(),
                 .on_behalf_of = caller.on_behalf_of(),
                 .request = is_here ? KeptOf(bytes) : std::move(bytes),
                 .deadline = context->deadline(),
                 .repeatable = kRepeatable<Request>,
                 .new_work = service::kNewWork<Request>};
    trip.here = [this, caller, call, kept = trip.request] {
      Request again;
      const Status parsed = ParseRequest(kept, again);
      parsed.ok() ? service_.Take(caller, std::move(again), call) : call->Fail(parsed);
    };
    trip.arrived = [call](Handed&& handed) { call->Pass(std::move(handed)); };
    trip.lost = [call](const Status& why, bool) { call->Lose(why); };
    const auto journey = std::make_shared<Journey>(ways_, std::move(trip));
    call->Travel(service_.router(), std::move(gid), kRepeatable<Request>, journey);
    is_here ? service_.Take(caller, std::move(request), call) : journey->Go();
  }

  template <typename Request>
  static const std::string& MethodOf() {
    static const std::string name = [] {
      const auto& service =
          *v1::SubmitRequest::descriptor()->file()->FindServiceByName("TransactionService");
      int i = 0;
      while (service.method(i)->input_type() != Request::descriptor()) ++i;
      return "/" + service.full_name() + "/" + service.method(i)->name();
    }();
    return name;
  }

  const Ways ways_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTransactionService(service::Service& service, GrpcPeers* peers) {
  return std::make_unique<TransactionService>(service, peers);
}

}  // namespace assent::door
