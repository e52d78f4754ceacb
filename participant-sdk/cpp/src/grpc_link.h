#pragma once

// One coordinator, as a client calls it: its channel, and the calls that are under way on it.

#include <memory>
#include <set>
#include <string>

#include <assent/thread_safety.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "participant-sdk/cpp/src/grpc_channel.h"

namespace assent::internal {

// Thread-safety: every method may be called from any thread.
class GrpcLink {
 public:
  // Dials nothing yet.
  GrpcLink(const std::string& endpoint, const Dialling& dialling);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::TransactionService::Stub& stub() { return *stub_; }

  // It has left the cluster, perhaps because it was stopped and is silent: calls that wait for it
  // are cut, and none begins any more.
  void Leave();

  // While it lives a call may be under way with this context. OK is false when none may.
  class Use {
   public:
    Use(GrpcLink& link, grpc::ClientContext& context);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    bool ok() const { return ok_; }

   private:
    GrpcLink& link_;
    grpc::ClientContext& context_;
    const bool ok_;
  };

 private:
  bool Begin(grpc::ClientContext* context);
  void End(grpc::ClientContext* context);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::TransactionService::Stub> stub_;
  Mutex mutex_;
  bool left_ ASSENT_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> calls_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::internal
