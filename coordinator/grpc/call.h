#pragma once

// A unary call: parsed here, answered later, from another thread, or ended by its caller before
// that. Finish is called once, whoever comes first; after it the reply is not touched.
//
// Requests come as bytes. gRPC's own parsing would answer UNIMPLEMENTED without a word for one text
// that is not UTF-8; so the door takes them raw, and says which field it was.

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/cluster.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/grpc/journey.h"
#include "coordinator/security/guard.h"
#include "coordinator/service/asker.h"
#include "coordinator/service/holdings.h"
#include "coordinator/service/router.h"
#include "coordinator/transport/canceller.h"
#include "coordinator/transport/grpc_status.h"
#include "coordinator/transport/grpc_streams.h"

namespace assent::door {

// What RESOURCE_EXHAUSTED tells its caller in the trailer `assent-retry-after-ms`.
inline constexpr int kRetryHintMs = 250;
// Metadata of a call that another coordinator hands on.
inline constexpr char kForwarded[] = "assent-forwarded";
// And for whom: the name that it has proven there.
inline constexpr char kOnBehalfOf[] = "assent-on-behalf-of";

// Who is asking, by gRPC's name of the peer: "ipv4:127.0.0.1:53412", "ipv6:%5B::1%5D:53412", or
// "unix:UID" of a Unix socket: each user counts as one host.
service::Caller CallerOf(const std::string& peer);
// Of the user who comes by a Unix socket, or empty. Lives as long as the caller.
std::string_view UnixUidOf(const service::Caller& caller);

// Who calls, and that it may. With several coordinators also whether one of them hands the call on
// (metadata `assent-forwarded`), and for whom; what it asks for itself it may. `guard` is nullptr
// where nobody is asked who he is. With RESOURCE_EXHAUSTED the call has the trailer that says when
// to come back.
//
// `call` is what the record says of one that is refused: "TransactionService/Abort".
Result<service::Caller> Admit(grpc::CallbackServerContext& context, security::Guard* guard,
                              security::Permission needs, std::string_view call);

// What the connection of a call and its metadata show. The views are of the context and the caller.
security::Proof ProofOf(const grpc::CallbackServerContext& context, const service::Caller& caller);
// For whom another coordinator hands it on; empty: for nobody.
std::string_view OnBehalfOf(const grpc::CallbackServerContext& context);
// Whether this visitor may, who came by himself or for somebody: then it is that one from now on.
Status Settle(security::Guard& guard, security::Permission needs, bool forwarded,
              std::string_view on_behalf_of, security::Visitor& visitor);

// Who may open a session, and for which services. Likewise.
transport::AdmitStream AdmitSessions(security::Guard* guard);

// How a call ends; RESOURCE_EXHAUSTED with the trailer that says when to come back.
grpc::Status Told(const Status& status, grpc::CallbackServerContext& context);

// The trace context of the call's metadata, for a transaction that it begins. True: it is in `spec`
// now.
bool AdoptTrace(const grpc::CallbackServerContext& context, v1::TransactionSpec& spec);

// A message of at most kMaxFrameBytes, or INVALID_ARGUMENT with the field at fault.
Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);
grpc::ByteBuffer Serialised(const google::protobuf::Message& message);

using transport::Canceller;

// Calls that only look: one whose answer has no room has not done anything.
template <typename Reply>
inline constexpr bool kOnlyLooks =
    std::is_same_v<Reply, v1::Transaction> || std::is_same_v<Reply, v1::ListReply> ||
    std::is_same_v<Reply, v1::ListCausesReply> ||
    std::is_same_v<Reply, v1::ListParticipantsReply> || std::is_same_v<Reply, v1::ServerInfo> ||
    std::is_same_v<Reply, v1::ClusterView>;

template <typename Reply>
class Call final : public grpc::ServerUnaryReactor, public service::Asker<Reply> {
 public:
  // If there are too many calls it is answered already, and Over.
  static std::shared_ptr<Call> Start(grpc::CallbackServerContext* context, grpc::ByteBuffer* reply,
                                     service::Holdings& holdings, const service::Caller& caller) {
    constexpr auto kWhat =
        std::is_same_v<Reply, v1::ListReply> ? service::Held::kPage : service::Held::kCall;
    std::shared_ptr<Call> call(new Call(context, reply));
    call->self_ = call;
    auto place = holdings.Enter(kWhat, caller);
    if (place.ok()) {
      call->place_ = std::move(place).value();
    } else {
      call->Fail(place.status());
    }
    return call;
  }

  void Answer(const Status& status, absl::FunctionRef<void(Reply&)> fill) override {
    MutexLock lock(mutex_);
    if (finished_) return;
    if (!status.ok() && journey_ != nullptr) {
      const std::shared_ptr<Journey> journey = journey_;
      lock.Unlock();
      // Nothing of it was done here, or what was can be asked for again where it is now.
      if (journey->Again(status)) return;
      lock.Lock();
    }
    if (std::exchange(finished_, true)) return;
    Status told = status;
    if (status.ok()) {
      Reply reply;
      fill(reply);
      told = Hold(reply.ByteSizeLong());
      if (told.ok()) *reply_ = Serialised(reply);
    }
    if (router_ != nullptr && IsElsewhere(status)) {
      told = {Code::kElsewhere, status.message()};
      AddTrailers(router_->Find(gid_), *context_);
    }
    Finish(Told(told, *context_));
  }

  // Of several coordinators: the transaction may be elsewhere, or come to be. Before the service
  // has the call; `journey` is nullptr if it goes no further.
  void Travel(const service::Router& router, std::string gid, bool repeatable,
              std::shared_ptr<Journey> journey) {
    const MutexLock lock(mutex_);
    router_ = &router;
    gid_ = std::move(gid);
    repeatable_ = repeatable;
    journey_ = std::move(journey);
  }
  // What another coordinator has answered.
  void Pass(Handed&& handed) {
    const MutexLock lock(mutex_);
    if (std::exchange(finished_, true)) return;
    grpc::Status told = handed.status;
    if (told.ok()) {
      const Status room = Hold(handed.reply.Length());
      if (room.ok()) reply_->Swap(&handed.reply);
      told = transport::ToGrpc(room);
    }
    if (told.error_code() == grpc::RESOURCE_EXHAUSTED)
      context_->AddTrailingMetadata("assent-retry-after-ms", std::to_string(kRetryHintMs));
    Finish(told);
  }
  // Nobody has answered.
  void Lose(const Status& why) {
    const MutexLock lock(mutex_);
    if (std::exchange(finished_, true)) return;
    AddTrailers(router_->Find(gid_), *context_);
    Finish(transport::ToGrpc(Unavailable(why.message())));
  }

  bool Over() override {
    const MutexLock lock(mutex_);
    return finished_;
  }

  void OnCancel() override {
    std::shared_ptr<Journey> journey;
    {
      const MutexLock lock(mutex_);
      journey = journey_;
      if (!std::exchange(finished_, true)) Finish(grpc::Status::CANCELLED);
    }
    if (journey != nullptr) journey->End();
  }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    std::shared_ptr<Journey> journey;
    {
      const MutexLock lock(mutex_);
      journey.swap(journey_);
    }
    if (journey != nullptr) journey->End();
    // Moved out first: resetting the member would destroy the mutex under our feet.
    const std::shared_ptr<Call> last = std::move(self_);
  }

 private:
  Call(grpc::CallbackServerContext* context, grpc::ByteBuffer* reply)
      : context_(context), reply_(reply), canceller_(std::make_shared<Canceller>(context)) {}

  // There is room for an answer of so many bytes. Who has done something is never told that it has
  // not, for want of it.
  Status Hold(std::size_t bytes) {
    const Status room = place_->HoldAnswer(bytes, [end = canceller_] { end->Cancel(); });
    return room.ok() || kOnlyLooks<Reply> ? room : UnknownOutcome(room.message());
  }
  bool IsElsewhere(const Status& status) const ASSENT_REQUIRES(mutex_) {
    return status.code() == Code::kElsewhere ||
           (repeatable_ && status.code() == Code::kUnknownOutcome);
  }

  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const reply_;
  std::shared_ptr<Call> self_;  // until OnDone
  const std::shared_ptr<Canceller> canceller_;
  std::unique_ptr<service::Holdings::Place> place_;  // until OnDone
  Mutex mutex_;
  bool finished_ ASSENT_GUARDED_BY(mutex_) = false;
  // Set by Travel.
  const service::Router* router_ ASSENT_GUARDED_BY(mutex_) = nullptr;
  std::string gid_ ASSENT_GUARDED_BY(mutex_);
  bool repeatable_ ASSENT_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Journey> journey_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::door
