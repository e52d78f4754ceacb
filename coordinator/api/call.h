#pragma once

// A unary call: parsed here, answered later, from another thread, or ended by its caller before that. Finish is called once,
// whoever comes first; after it the reply is not touched.
//
// Requests come as bytes. gRPC's own parsing would answer UNIMPLEMENTED without a word for one text that is not UTF-8; so the
// service takes them raw, and says which field it was.

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <assent/status.h>

#include "coordinator/transport/grpc_status.h"

namespace assent::api {

// What RESOURCE_EXHAUSTED tells its caller in the trailer `assent-retry-after-ms`.
inline constexpr int kRetryHintMs = 250;

// A message of at most kMaxFrameBytes, or INVALID_ARGUMENT with the field at fault.
Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);
grpc::ByteBuffer Serialised(const google::protobuf::Message& message);

template <typename ReplyMessage>
class Call final : public grpc::ServerUnaryReactor {
 public:
  static std::shared_ptr<Call> Start(grpc::CallbackServerContext* context,
                                     grpc::ByteBuffer* reply) {
    std::shared_ptr<Call> call(new Call(context, reply));
    call->self_ = call;
    return call;
  }

  // `fill` writes the reply; it is run only if the caller is still there.
  template <typename Fill>
  void Answer(const Status& status, Fill&& fill) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(finished_, true)) return;
    if (status.ok()) {
      ReplyMessage reply;
      fill(reply);
      *reply_ = Serialised(reply);
    }
    if (status.code() == Code::kResourceExhausted) {
      context_->AddTrailingMetadata("assent-retry-after-ms", std::to_string(kRetryHintMs));
    }
    Finish(transport::ToGrpc(status));
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
    // Moved out first: resetting the member would destroy the mutex under our feet.
    const std::shared_ptr<Call> last = std::move(self_);
  }

 private:
  Call(grpc::CallbackServerContext* context, grpc::ByteBuffer* reply)
      : context_(context), reply_(reply) {}

  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const reply_;
  std::shared_ptr<Call> self_;  // until OnDone
  std::mutex mutex_;
  bool finished_ = false;  // guarded by mutex_
};

}  // namespace assent::api
