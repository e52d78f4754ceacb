#include "coordinator/http/calls.h"

#include <map>
#include <type_traits>
#include <utility>

#include <assent/thread_safety.h>

#include "coordinator/http/events.h"
#include "coordinator/http/json.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/printer.h"
#include "coordinator/http/room.h"
#include "coordinator/http/stream.h"
#include "coordinator/service/kinds.h"
#include "coordinator/service/trace.h"
#include "coordinator/service/watch.h"

namespace assent::http {
namespace {

using service::kRepeatable;
using service::kTransaction;
using service::kTravels;

// One whose answer has no room has not done anything.
template <typename Reply>
constexpr bool kOnlyLooks =
    std::is_same_v<Reply, v1::Transaction> || std::is_same_v<Reply, v1::ListReply> ||
    std::is_same_v<Reply, v1::ListCausesReply> || std::is_same_v<Reply, v1::ListAuditReply> ||
    std::is_same_v<Reply, v1::ListParticipantsReply> || std::is_same_v<Reply, v1::ServerInfo>;

template <typename Request, typename Reply>
class Call final : public service::Asker<Reply>,
                   public Pending,
                   public std::enable_shared_from_this<Call<Request, Reply>> {
 public:
  explicit Call(Order&& order)
      : exchange_(std::move(order.exchange)),
        timeout_(order.asked.timeout_ms > 0 ? order.asked.timeout_ms : order.route->patience_ms),
        is_asked_(order.asked.timeout_ms > 0),
        gid_(order.asked.gid),
        traceparent_(std::move(order.traceparent)),
        tracestate_(std::move(order.tracestate)) {}

  void Start(const Rooms& rooms, const service::Caller& caller, Request&& request) {
    constexpr auto kWhat =
        std::is_same_v<Reply, v1::ListReply> ? service::Held::kPage : service::Held::kCall;
    const Status room = room_->Enter(rooms.service.holdings(), kWhat, caller);
    if (!room.ok()) return this->Fail(room);
    const auto self = this->shared_from_this();
    if constexpr (kTransaction<Request>) {
      // From now on it has one, wherever it is asked, and whatever its caller is told.
      if (gid_.empty()) gid_ = rooms.service.engine().IssueGid();
      request.mutable_transaction()->set_gid(gid_);
      (void)service::AdoptTrace(traceparent_, tracestate_, *request.mutable_transaction());
    }
    if constexpr (kTravels<Request>) {
      if (!rooms.service.router().alone() && rooms.way != nullptr)
        return Travel(rooms, caller, std::move(request));
    }
    rooms.service.Take(caller, std::move(request), service::AskerPtr<Reply>(self));
  }

  void Answer(const Status& status, absl::FunctionRef<void(Reply&)> fill) override {
    if (!status.ok() && AskedAgain(status)) return;
    const auto exchange = Finish();
    if (exchange == nullptr) return;
    if (!status.ok()) return exchange->Reply([status] { return Failure(status); });
    const auto reply = std::make_shared<Reply>();
    fill(*reply);
    Tell(exchange, reply);
  }
  bool Over() override {
    const MutexLock lock(mutex_);
    return exchange_ == nullptr;
  }

  std::chrono::milliseconds patience() const override { return timeout_; }
  void TimedOut() override {
    if (const auto exchange = Finish())
      exchange->Reply([status = TooLate()] { return Failure(status); });
  }
  void Close() override {
    (void)Finish();
    room_->Leave();
  }

 private:
  // What is told of it, once; nullptr: somebody was first.
  std::shared_ptr<Exchange> Finish() {
    std::shared_ptr<Exchange> exchange;
    std::shared_ptr<service::Travelling> travelling;
    {
      const MutexLock lock(mutex_);
      exchange = std::move(exchange_);
      travelling = std::move(travelling_);
    }
    if (travelling != nullptr) travelling->End();
    return exchange;
  }
  bool AskedAgain(const Status& status) {
    std::shared_ptr<service::Travelling> travelling;
    {
      const MutexLock lock(mutex_);
      if (exchange_ == nullptr) return true;
      travelling = travelling_;
    }
    return travelling != nullptr && travelling->Again(status);
  }
  void Tell(const std::shared_ptr<Exchange>& exchange, const std::shared_ptr<Reply>& reply) {
    auto made = [room = room_, exchange, reply] {
      http::Answer answer = Message(*reply);
      const Status held = room->Hold(answer.body.size(), exchange);
      if (held.ok()) return answer;
      return Failure(kOnlyLooks<Reply> ? held : UnknownOutcome(held.message()));
    };
    exchange->Reply(std::move(made), reply->ByteSizeLong() > kLargeBytes);
  }
  Status TooLate() const {
    if constexpr (kOnlyLooks<Reply>) {
      return TooLateToLook(timeout_, is_asked_);
    } else if constexpr (service::kBatch<Request>) {
      return {Code::kDeadlineExceeded,
              "the time that the call had is over: no further transactions are begun with, and "
              "what was done is on record (at_most_ms ends a batch with an answer)"};
    } else {
      return {
          Code::kDeadlineExceeded,
          "the time that the call had is over; " +
              (kRepeatable<Request> ? "transaction " + gid_ + " goes on, and may be asked for again"
                                    : "it may be done all the same: look at transaction " + gid_ +
                                          " before you ask again")};
    }
  }

  void Travel(const Rooms& rooms, const service::Caller& caller, Request&& request) {
    const bool is_here = rooms.service.router().Find(gid_).where == service::Route::Where::kHere;
    const auto self = this->shared_from_this();
    service::Errand errand{.gid = gid_,
                           .method = MethodName(),
                           .on_behalf_of = caller.on_behalf_of(),
                           .request = request.SerializeAsString(),
                           .repeatable = kRepeatable<Request>,
                           .new_work = service::kNewWork<Request>};
    if (timeout_.count() > 0) errand.deadline = std::chrono::system_clock::now() + timeout_;
    errand.here = [&service = rooms.service, caller, self](const std::string& bytes) {
      Request again;
      again.ParseFromString(bytes)
          ? service.Take(caller, std::move(again), service::AskerPtr<Reply>(self))
          : self->Fail(Internal("the request cannot be read"));
    };
    errand.arrived = [self](const Status& status, std::string bytes) {
      self->Arrived(status, std::move(bytes));
    };
    const auto travelling = rooms.way->Send(std::move(errand), is_here);
    {
      const MutexLock lock(mutex_);
      travelling_ = travelling;
    }
    is_here ? rooms.service.Take(caller, std::move(request), service::AskerPtr<Reply>(self))
            : travelling->Go();
  }
  void Arrived(const Status& status, std::string bytes) {
    const auto exchange = Finish();
    if (exchange == nullptr) return;
    if (!status.ok()) return exchange->Reply([status] { return Failure(status); });
    const auto reply = std::make_shared<Reply>();
    if (!reply->ParseFromString(bytes)) {
      return exchange->Reply(
          [] { return Failure(UnknownOutcome("the other coordinator's answer cannot be read")); });
    }
    Tell(exchange, reply);
  }
  static std::string MethodName() {
    for (const Route& route : Routes()) {
      const auto& method = route.descriptor();
      if (method.input_type() == Request::descriptor())
        return method.service()->name() + "/" + method.name();
    }
    return {};
  }

  Mutex mutex_;
  std::shared_ptr<Exchange> exchange_ ASSENT_GUARDED_BY(mutex_);  // nullptr: answered, or left
  std::shared_ptr<service::Travelling> travelling_ ASSENT_GUARDED_BY(mutex_);
  const std::shared_ptr<Room> room_ = std::make_shared<Room>();
  const std::chrono::milliseconds timeout_;
  const bool is_asked_;  // it was the caller who said so
  std::string gid_;
  const std::string traceparent_;
  const std::string tracestate_;
};

// A state of a watch, wherever it comes from, as an event `transaction`.
class WatchCall final : public service::Viewer,
                        public StreamCall,
                        public std::enable_shared_from_this<WatchCall> {
 public:
  explicit WatchCall(std::shared_ptr<Exchange> exchange) : StreamCall(std::move(exchange)) {}

  void Start(const Rooms& rooms, const service::Caller& caller, const v1::WatchRequest& request) {
    const Status room = Enter(rooms, caller);
    if (!room.ok()) return End(room);
    const service::Router& router = rooms.service.router();
    const bool is_here =
        router.alone() || router.Find(request.gid()).where == service::Route::Where::kHere;
    if (is_here || rooms.way == nullptr) {
      const auto watch = std::make_shared<service::Watch>(rooms.service, shared_from_this());
      Keep([watch] { watch->Taken(); },
           [watch] {
             watch->Leave({Code::kCancelled, "the caller has left"});
           });
      return watch->Start(caller, request);
    }
    const auto watch = rooms.way->Watch(caller, request, shared_from_this());
    if (watch == nullptr) return;
    Keep([watch] { watch->Taken(); }, [watch] { watch->Leave(); });
  }

  Status Show(const v1::Transaction& shown) override {
    return ShowText(shown.ByteSizeLong(), [state = std::make_shared<v1::Transaction>(shown)] {
      return EventText("transaction", PrintJson(*state));
    });
  }
  void End(const Status& status) override { EndStream(status); }
};

std::shared_ptr<Pending> BeginWatch(const Rooms& rooms, Order&& order) {
  if (HasHadTheEnd(order)) return nullptr;
  const auto call = std::make_shared<WatchCall>(order.exchange);
  call->Start(rooms, order.caller, static_cast<const v1::WatchRequest&>(*order.asked.request));
  return call;
}

template <typename Request, typename Reply>
std::shared_ptr<Pending> BeginCall(const Rooms& rooms, Order&& order) {
  const service::Caller caller = order.caller;
  const auto request = std::move(order.asked.request);
  const auto call = std::make_shared<Call<Request, Reply>>(std::move(order));
  call->Start(rooms, caller, std::move(static_cast<Request&>(*request)));
  return call;
}

using Beginner = std::shared_ptr<Pending> (*)(const Rooms&, Order&&);

// By the type of the request, which each call has of its own.
const std::map<const google::protobuf::Descriptor*, Beginner>& Beginners() {
  static const auto* const beginners = new std::map<const google::protobuf::Descriptor*, Beginner>{
      {v1::SubmitRequest::descriptor(), BeginCall<v1::SubmitRequest, v1::SubmitReply>},
      {v1::BeginRequest::descriptor(), BeginCall<v1::BeginRequest, v1::BeginReply>},
      {v1::ExecuteBranchRequest::descriptor(),
       BeginCall<v1::ExecuteBranchRequest, v1::ExecuteBranchReply>},
      {v1::CommitRequest::descriptor(), BeginCall<v1::CommitRequest, v1::SubmitReply>},
      {v1::RollbackRequest::descriptor(), BeginCall<v1::RollbackRequest, v1::SubmitReply>},
      {v1::WaitRequest::descriptor(), BeginCall<v1::WaitRequest, v1::SubmitReply>},
      {v1::GetRequest::descriptor(), BeginCall<v1::GetRequest, v1::Transaction>},
      {v1::ListRequest::descriptor(), BeginCall<v1::ListRequest, v1::ListReply>},
      {v1::ListCausesRequest::descriptor(), BeginCall<v1::ListCausesRequest, v1::ListCausesReply>},
      {v1::WatchRequest::descriptor(), BeginWatch},
      {v1::EventsRequest::descriptor(), BeginEvents},
      {v1::RetryNowRequest::descriptor(), BeginCall<v1::RetryNowRequest, v1::OperatorReply>},
      {v1::AbortRequest::descriptor(), BeginCall<v1::AbortRequest, v1::OperatorReply>},
      {v1::SuspendRequest::descriptor(), BeginCall<v1::SuspendRequest, v1::OperatorReply>},
      {v1::ResumeRequest::descriptor(), BeginCall<v1::ResumeRequest, v1::OperatorReply>},
      {v1::ResolveBranchRequest::descriptor(),
       BeginCall<v1::ResolveBranchRequest, v1::OperatorReply>},
      {v1::ForgetRequest::descriptor(), BeginCall<v1::ForgetRequest, v1::OperatorReply>},
      {v1::BatchRequest::descriptor(), BeginCall<v1::BatchRequest, v1::BatchReply>},
      {v1::ListAuditRequest::descriptor(), BeginCall<v1::ListAuditRequest, v1::ListAuditReply>},
      {v1::ListParticipantsRequest::descriptor(),
       BeginCall<v1::ListParticipantsRequest, v1::ListParticipantsReply>},
      {v1::SetBreakerRequest::descriptor(), BeginCall<v1::SetBreakerRequest, v1::SetBreakerReply>},
      {v1::GetServerInfoRequest::descriptor(), BeginCall<v1::GetServerInfoRequest, v1::ServerInfo>},
  };
  return *beginners;
}

}  // namespace

std::shared_ptr<Pending> Begin(const Rooms& rooms, Order order) {
  const Beginner begin = Beginners().at(order.route->descriptor().input_type());
  return begin(rooms, std::move(order));
}

}  // namespace assent::http
