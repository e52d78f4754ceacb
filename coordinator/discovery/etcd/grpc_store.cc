#include "coordinator/discovery/etcd/grpc_store.h"

#include <chrono>
#include <set>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/text.h>
#include <assent/thread_safety.h>

#include "coordinator/discovery/etcd/etcd.grpc.pb.h"
#include "proto/tls/channel_credentials.h"
#include "proto/tls/uncompressed.h"

namespace assent::discovery::etcd {
namespace {

using std::chrono::milliseconds;

// Why there is no connection: "failed to connect to all addresses; last error: UNKNOWN: ipv4:...:
// Failed to connect to remote host: Connection refused", or what is wrong with TLS.
std::string WhyUnconnected(const std::string& message) {
  const std::string explained = tls::Explained(message);
  if (explained != message)
    return explained.substr(message.size() + 2, explained.size() - message.size() - 3);
  const std::size_t last_part = message.rfind(": ");
  return last_part == std::string::npos ? message : message.substr(last_part + 2);
}

// What etcd says is wrong; of one that is not reached, why that is.
Status WhyFailed(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
    return Unavailable("it does not answer");
  const std::string& message = status.error_message();
  if (status.error_code() == grpc::StatusCode::PERMISSION_DENIED)
    return Status(Code::kPermissionDenied, CleanText(message));
  if (message.rfind("failed to connect", 0) == 0)
    return Unavailable(CleanText(WhyUnconnected(message)));
  return Unavailable(
      CleanText(message.empty() ? "code " + std::to_string(status.error_code()) : message));
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& endpoint, const Access& access) {
  grpc::ChannelArguments arguments;
  tls::TakeNothingCompressed(arguments);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMaxAnswerBytes));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(kProbeIntervalMs));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(kProbeTimeoutMs));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Each store has a connection of its own, and no memory of others that failed.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      endpoint,
      access.credentials != nullptr ? access.credentials : grpc::InsecureChannelCredentials(),
      arguments);
}

class GrpcStore final : public Store {
 public:
  GrpcStore(const std::string& endpoint, Access access)
      : access_(std::move(access)),
        channel_(ChannelTo(endpoint, access_)),
        kv_(channel_),
        watch_(channel_),
        lease_(channel_),
        auth_(channel_) {}

  Result<Listing> List(const std::string& prefix) override {
    etcdserverpb::RangeRequest request;
    request.set_key(prefix);
    request.set_range_end(EndOf(prefix));
    request.set_limit(kMaxKeysOfPrefixCount);
    etcdserverpb::RangeResponse response;
    if (Status status = Ask([&](auto* context) { return kv_.Range(context, request, &response); });
        !status.ok())
      return status;
    Listing listing;
    for (etcdserverpb::KeyValue& one : *response.mutable_kvs())
      listing.values.push_back(std::move(*one.mutable_value()));
    listing.count = response.count();
    listing.revision = response.header().revision();
    return listing;
  }

  Status Watch(const std::vector<Watched>& watched,
               const std::function<void(std::size_t)>& changed) override {
    if (Status status = Enter(); !status.ok()) return status;
    const Call call(*this, /*bounded=*/false);
    const auto stream = watch_.Watch(call.context.get());
    for (const Watched& one : watched) {
      etcdserverpb::WatchRequest request;
      request.mutable_create_request()->set_key(one.prefix);
      request.mutable_create_request()->set_range_end(EndOf(one.prefix));
      request.mutable_create_request()->set_start_revision(one.revision);
      if (!stream->Write(request)) break;
    }
    std::vector<std::int64_t> ids;  // of each, in the order in which they were asked for
    Status end;
    etcdserverpb::WatchResponse response;
    while (end.ok() && stream->Read(&response)) {
      if (response.created()) ids.push_back(response.watch_id());
      if (response.compact_revision() != 0) {
        end = Status(Code::kOutOfRange, "what was before is forgotten");
      } else if (response.canceled()) {
        end = Unavailable("the watch was cancelled: " + CleanText(response.cancel_reason()));
      } else if (response.events_size() != 0) {
        for (std::size_t number = 0; number < ids.size() && number < watched.size(); ++number)
          if (ids[number] == response.watch_id()) changed(number);
      }
    }
    if (!end.ok()) call.context->TryCancel();
    const grpc::Status finished = stream->Finish();
    if (!end.ok()) return end;
    return finished.ok() ? Unavailable("the watch has ended") : WhyFailed(finished);
  }

  Result<std::int64_t> Put(const std::string& key, const std::string& value,
                           std::int64_t seconds) override {
    etcdserverpb::LeaseGrantRequest lease;
    lease.set_ttl(seconds);
    etcdserverpb::LeaseGrantResponse granted;
    if (Status status =
            Ask([&](auto* context) { return lease_.LeaseGrant(context, lease, &granted); });
        !status.ok())
      return status;
    if (granted.id() == 0 || !granted.error().empty())
      return Unavailable("there is no lease: " + CleanText(granted.error()));
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_lease(granted.id());
    etcdserverpb::PutResponse response;
    if (Status status = Ask([&](auto* context) { return kv_.Put(context, request, &response); });
        !status.ok()) {
      return status;
    }
    return granted.id();
  }

  Status Renew(std::int64_t lease) override {
    etcdserverpb::LeaseKeepAliveResponse response;
    const Status status = Ask([&](auto* context) {
      etcdserverpb::LeaseKeepAliveRequest request;
      request.set_id(lease);
      const auto stream = lease_.LeaseKeepAlive(context);
      const bool answered = stream->Write(request) && stream->Read(&response);
      if (answered) context->TryCancel();
      const grpc::Status finished = stream->Finish();
      return answered ? grpc::Status::OK : finished;
    });
    if (!status.ok()) return status;
    return response.ttl() > 0 ? OkStatus() : NotFound("the lease is over");
  }

  Status Revoke(std::int64_t lease) override {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(lease);
    etcdserverpb::LeaseRevokeResponse response;
    return Ask([&](auto* context) { return lease_.LeaseRevoke(context, request, &response); });
  }

  void Cancel() override {
    const MutexLock lock(mutex_);
    cancelled_ = true;
    for (grpc::ClientContext* context : under_way_) context->TryCancel();
  }

 private:
  // One that is under way, which Cancel ends.
  struct Call {
    Call(GrpcStore& of, bool bounded)
        : store(of), context(std::make_unique<grpc::ClientContext>()) {
      if (bounded) {
        context->set_deadline(std::chrono::system_clock::now() + milliseconds(kCallTimeoutMs));
      }
      // One that has lost the others says so, in place of what it knew.
      context->AddMetadata("hasleader", "true");
      if (!store.token_.empty()) context->AddMetadata("token", store.token_);
      const MutexLock lock(store.mutex_);
      store.under_way_.insert(context.get());
      if (store.cancelled_) context->TryCancel();
    }
    ~Call() {
      const MutexLock lock(store.mutex_);
      store.under_way_.erase(context.get());
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    GrpcStore& store;
    std::unique_ptr<grpc::ClientContext> context;
  };

  template <typename Method>
  Status Ask(const Method& method) {
    if (Status status = Enter(); !status.ok()) return status;
    const Call call(*this, /*bounded=*/true);
    const grpc::Status status = method(call.context.get());
    return status.ok() ? OkStatus() : WhyFailed(status);
  }

  // Says who asks, once.
  Status Enter() {
    if (access_.user.empty() || !token_.empty()) return OkStatus();
    etcdserverpb::AuthenticateRequest request;
    request.set_name(access_.user);
    request.set_password(access_.password);
    etcdserverpb::AuthenticateResponse response;
    const Call call(*this, /*bounded=*/true);
    const grpc::Status status = auth_.Authenticate(call.context.get(), request, &response);
    if (!status.ok()) return WhyFailed(status);
    token_ = response.token();
    return OkStatus();
  }

  const Access access_;
  const std::shared_ptr<grpc::Channel> channel_;
  etcdserverpb::KV::Stub kv_;
  etcdserverpb::Watch::Stub watch_;
  etcdserverpb::Lease::Stub lease_;
  etcdserverpb::Auth::Stub auth_;
  std::string token_;  // of the first call, which no other is beside

  Mutex mutex_;
  bool cancelled_ ASSENT_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> under_way_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Store> DialStore(const std::string& endpoint, Access access) {
  return std::make_unique<GrpcStore>(endpoint, std::move(access));
}

}  // namespace assent::discovery::etcd
