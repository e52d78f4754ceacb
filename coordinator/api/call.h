#pragma once

// A unary call: parsed here, answered later, from another thread, or ended by its caller before
// that. Finish is called once, whoever comes first; after it the reply is not touched.
//
// Requests come as bytes. gRPC's own parsing would answer UNIMPLEMENTED without a word for one text
// that is not UTF-8; so the service takes them raw, and says which field it was.

#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/api/holdings.h"
#include "coordinator/transport/grpc_status.h"

namespace assent::api {

// What RESOURCE_EXHAUSTED tells its caller in the trailer `assent-retry-after-ms`.
inline constexpr int kRetryHintMs = 250;

// A message of at most kMaxFrameBytes, or INVALID_ARGUMENT with the field at fault.
Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);
grpc::ByteBuffer Serialised(const google::protobuf::Message& message);

// Calls that only look: one whose answer has no room has not done anything.
template <typename Reply>
inline constexpr bool kOnlyLooks =
    std::is_same_v<Reply, v1::Transaction> || std::is_same_v<Reply, v1::ListReply> ||
    std::is_same_v<Reply, v1::ListParticipantsReply> || std::is_same_v<Reply, v1::ServerInfo>;

template <typename ReplyMessage>
class Call final : public grpc::ServerUnaryReactor {
 public:
  // If there are too many calls it is answered already, and Over.
  static std::shared_ptr<Call> Start(grpc::CallbackServerContext* context, grpc::ByteBuffer* reply,
                                     Holdings& holdings) {
    constexpr Held kWhat = std::is_same_v<ReplyMessage, v1::ListReply> ? Held::kPage : Held::kCall;
    std::shared_ptr<Call> call(new Call(context, reply));
    call->self_ = call;
    auto place = holdings.Enter(kWhat, context->peer());
    if (place.ok()) {
      call->place_ = std::move(place).value();
    } else {
      call->Fail(place.status());
    }
    return call;
  }

  // `fill` writes the reply; it is run only if the caller is still there.
  template <typename Fill>
  void Answer(const Status& status, Fill&& fill) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(finished_, true)) return;
    Status told = status;
    if (status.ok()) {
      ReplyMessage reply;
      fill(reply);
      told = place_->HoldAnswer(reply.ByteSizeLong(), [end = canceller_] { end->Cancel(); });
      if (told.ok()) {
        *reply_ = Serialised(reply);
      } else if (!kOnlyLooks<ReplyMessage>) {
        told = UnknownOutcome(told.message());
      }
    }
    if (told.code() == Code::kResourceExhausted) {
      context_->AddTrailingMetadata("assent-retry-after-ms", std::to_string(kRetryHintMs));
    }
    Finish(transport::ToGrpc(told));
  }
  void Fail(const Status& status) {
    Answer(status, [](ReplyMessage&) {});
  }

  // Its caller went away, or it is answered.
  bool Over() {
    const std::lock_guard lock(mutex_);
    return finished_;
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
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
  std::unique_ptr<Holdings::Place> place_;  // until OnDone
  std::mutex mutex_;
  bool finished_ = false;  // guarded by mutex_
};

}  // namespace assent::api
