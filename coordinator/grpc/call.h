#pragma once

// A unary call: parsed here, answered later, from another thread, or ended by its caller before
// that. Finish is called once, whoever comes first; after it the reply is not touched.
//
// Requests come as bytes. gRPC's own parsing would answer UNIMPLEMENTED without a word for one text
// that is not UTF-8; so the door takes them raw, and says which field it was.

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/cluster.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/service/asker.h"
#include "coordinator/service/holdings.h"
#include "coordinator/transport/grpc_status.h"

namespace assent::door {

// What RESOURCE_EXHAUSTED tells its caller in the trailer `assent-retry-after-ms`.
inline constexpr int kRetryHintMs = 250;
// Metadata of a call that another coordinator hands on.
inline constexpr char kForwarded[] = "assent-forwarded";

// Who is asking, by gRPC's name of the peer: "ipv4:127.0.0.1:53412", "ipv6:%5B::1%5D:53412", or
// "unix:" for all clients of a Unix socket, who count as one host.
service::Caller CallerOf(const std::string& peer);
// Likewise; and whether it hands the call on for somebody (metadata `assent-forwarded`).
service::Caller CallerOf(const grpc::CallbackServerContext& context);

// A message of at most kMaxFrameBytes, or INVALID_ARGUMENT with the field at fault.
Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);
grpc::ByteBuffer Serialised(const google::protobuf::Message& message);

// Ends a call without waiting for its reader, as long as it is there. May outlive it.
class Canceller {
 public:
  explicit Canceller(grpc::CallbackServerContext* context) : context_(context) {}
  void Cancel() {
    const MutexLock lock(mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }
  // The call is over: its OnDone.
  void Forget() {
    const MutexLock lock(mutex_);
    context_ = nullptr;
  }

 private:
  Mutex mutex_;
  grpc::CallbackServerContext* context_ ASSENT_GUARDED_BY(mutex_);
};

// Calls that only look: one whose answer has no room has not done anything.
template <typename Reply>
inline constexpr bool kOnlyLooks =
    std::is_same_v<Reply, v1::Transaction> || std::is_same_v<Reply, v1::ListReply> ||
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
    const MutexLock lock(mutex_);
    if (std::exchange(finished_, true)) return;
    Status told = status;
    if (status.ok()) {
      Reply reply;
      fill(reply);
      told = place_->HoldAnswer(reply.ByteSizeLong(), [end = canceller_] { end->Cancel(); });
      if (told.ok()) {
        *reply_ = Serialised(reply);
      } else if (!kOnlyLooks<Reply>) {
        told = UnknownOutcome(told.message());
      }
    }
    if (told.code() == Code::kResourceExhausted) {
      context_->AddTrailingMetadata("assent-retry-after-ms", std::to_string(kRetryHintMs));
    }
    Finish(transport::ToGrpc(told));
  }

  bool Over() override {
    const MutexLock lock(mutex_);
    return finished_;
  }

  void OnCancel() override {
    const MutexLock lock(mutex_);
    if (!std::exchange(finished_, true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    // Moved out first: resetting the member would destroy the mutex under our feet.
    const std::shared_ptr<Call> last = std::move(self_);
  }

 private:
  Call(grpc::CallbackServerContext* context, grpc::ByteBuffer* reply)
      : context_(context), reply_(reply), canceller_(std::make_shared<Canceller>(context)) {}

  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const reply_;
  std::shared_ptr<Call> self_;  // until OnDone
  const std::shared_ptr<Canceller> canceller_;
  std::unique_ptr<service::Holdings::Place> place_;  // until OnDone
  Mutex mutex_;
  bool finished_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace assent::door
