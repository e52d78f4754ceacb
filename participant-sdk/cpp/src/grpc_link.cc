#include "participant-sdk/cpp/src/grpc_link.h"

#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

namespace assent::internal {

GrpcLink::GrpcLink(const std::string& endpoint, const Dialling& dialling)
    : channel_(MakeChannel(endpoint, dialling)), stub_(v1::TransactionService::NewStub(channel_)) {}

void GrpcLink::Leave() {
  const MutexLock lock(mutex_);
  left_ = true;
  for (grpc::ClientContext* context : calls_) context->TryCancel();
}

bool GrpcLink::Begin(grpc::ClientContext* context) {
  const MutexLock lock(mutex_);
  if (!left_) calls_.insert(context);
  return !left_;
}

void GrpcLink::End(grpc::ClientContext* context) {
  const MutexLock lock(mutex_);
  calls_.erase(context);
}

GrpcLink::Use::Use(GrpcLink& link, grpc::ClientContext& context)
    : link_(link), context_(context), ok_(link.Begin(&context)) {}

GrpcLink::Use::~Use() {
  if (ok_) link_.End(&context_);
}

}  // namespace assent::internal
