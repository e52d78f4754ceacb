#include "participant-sdk/cpp/src/grpc_connection.h"

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <assent/limits.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "participant-sdk/cpp/src/endpoint.h"
#include "participant-sdk/cpp/src/grpc_channel.h"
#include "participant-sdk/cpp/src/grpc_dialer.h"
#include "participant-sdk/cpp/src/retry.h"
#include "participant-sdk/cpp/src/seed.h"
#include "participant-sdk/cpp/src/submitter.h"
#include "participant-sdk/cpp/src/text.h"
#include "participant-sdk/cpp/src/wire.h"
#include "proto/words/words.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;

constexpr const char* kSubmitStreamMethod = "/assent.v1.TransactionService/SubmitStream";
constexpr const char* kRetryAfterTrailer = "assent-retry-after-ms";
constexpr milliseconds kMaxRetryAfter{60'000};

SteadyTime Now() { return std::chrono::steady_clock::now(); }

void ReallySleep(milliseconds wait) {
  std::this_thread::sleep_for(wait);  // tidy: allow(sleep) a backoff is a wait for the clock
}

milliseconds RetryAfterOf(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto at = trailers.find(kRetryAfterTrailer);
  if (at == trailers.end()) return milliseconds(0);
  std::int64_t value = 0;
  const auto parsed = std::from_chars(at->second.begin(), at->second.end(), value);
  if (parsed.ec != std::errc() || value < 0) return milliseconds(0);
  return std::min(milliseconds(value), kMaxRetryAfter);
}

std::chrono::system_clock::time_point TimeOf(std::int64_t unix_ms) {
  return std::chrono::system_clock::time_point(milliseconds(unix_ms));
}

BranchInfo InfoOf(const v1::Branch& branch) {
  BranchInfo info;
  info.id = branch.spec().branch_id();
  info.protocol = wire::FromWire<Protocol>(branch.spec().protocol()).value_or(Protocol{});
  info.service = branch.spec().service();
  info.action = branch.spec().action();
  info.state = wire::FromWire<BranchState>(branch.state()).value_or(BranchState::kUnknown);
  info.result = branch.result();
  info.attempts = branch.attempt_count();
  info.last_error = branch.last_error();
  info.needs_operator = branch.needs_operator();
  return info;
}

TransactionInfo InfoOf(const v1::Transaction& transaction) {
  TransactionInfo info;
  info.gid = transaction.gid();
  info.state =
      wire::FromWire<TransactionState>(transaction.state()).value_or(TransactionState::kUnknown);
  info.outcome = wire::FromWire<Outcome>(transaction.outcome()).value_or(Outcome::kHazard);
  info.open = transaction.open();
  info.suspended = transaction.suspended();
  for (const v1::Branch& branch : transaction.branches()) info.branches.push_back(InfoOf(branch));
  for (const auto& [key, value] : transaction.labels()) info.labels.emplace(key, value);
  info.abort_reason = transaction.abort_reason();
  info.why_not_finished = transaction.why_not_finished();
  info.began = TimeOf(transaction.began_unix_ms());
  info.deadline = TimeOf(transaction.deadline_unix_ms());
  info.decided = TimeOf(transaction.decided_unix_ms());
  info.finished = TimeOf(transaction.finished_unix_ms());
  return info;
}

std::string EndpointOf(const ClientOptions& options) {
  return options.endpoint.empty() ? DefaultEndpoints().front() : options.endpoint;
}

class GrpcConnection final : public Connection {
 public:
  explicit GrpcConnection(const ClientOptions& options)
      : options_(options),
        endpoint_(EndpointOf(options)),
        usable_(CheckEndpoint("endpoint", endpoint_)),
        channel_(MakeChannel(endpoint_, options.keepalive)),
        stub_(v1::TransactionService::NewStub(channel_)) {}

  ~GrpcConnection() override {
    for (const auto& submitter : submitters_) submitter->Shutdown();
  }

  Result<Report> Submit(const SubmitParams& params) override {
    v1::SubmitRequest request;
    PutTransaction(params.transaction, request.mutable_transaction());
    request.set_wait_for(wire::ToWire(params.wait));
    return CallForReport("Submit of transaction " + params.transaction.gid(), params.timeout, false,
                         &v1::TransactionService::Stub::Submit, request);
  }

  void SubmitAsync(SubmitParams params, ReportCallback done) override {
    if (!usable_.ok()) return done(usable_);
    v1::SubmitRequest request;
    PutTransaction(params.transaction, request.mutable_transaction());
    request.set_wait_for(wire::ToWire(params.wait));
    NextSubmitter().Submit(std::move(request), std::move(done), Now() + params.timeout);
  }

  Status Begin(const BeginParams& params) override {
    v1::BeginRequest request;
    PutTransaction(params.transaction, request.mutable_transaction());
    v1::BeginReply reply;
    return Call("Begin of transaction " + params.transaction.gid(), params.timeout, false,
                &v1::TransactionService::Stub::Begin, request, &reply);
  }

  Result<BranchResult> Execute(const ExecuteParams& params) override {
    v1::ExecuteBranchRequest request;
    request.set_gid(params.gid);
    PutBranch(params.branch, request.mutable_branch());
    v1::ExecuteBranchReply reply;
    const Status status =
        Call("branch " + params.branch.options.id + " of transaction " + params.gid, params.timeout,
             false, &v1::TransactionService::Stub::ExecuteBranch, request, &reply);
    if (!status.ok()) return status;
    return TakeBranchResult(&reply);
  }

  Result<Report> Finish(const FinishParams& params) override {
    if (params.commit) {
      v1::CommitRequest request;
      request.set_gid(params.gid);
      request.set_wait_for(wire::ToWire(params.wait));
      return CallForReport("Commit of transaction " + params.gid, params.timeout, false,
                           &v1::TransactionService::Stub::Commit, request);
    }
    v1::RollbackRequest request;
    request.set_gid(params.gid);
    request.set_wait_for(wire::ToWire(params.wait));
    request.set_reason(CleanText(params.reason, limits::kMaxReasonBytes));
    return CallForReport("Rollback of transaction " + params.gid, params.timeout, false,
                         &v1::TransactionService::Stub::Rollback, request);
  }

  Result<Report> Wait(const WaitParams& params) override {
    v1::WaitRequest request;
    request.set_gid(params.gid);
    request.set_wait_for(wire::ToWire(params.wait));
    return CallForReport("Wait for transaction " + params.gid, params.timeout, true,
                         &v1::TransactionService::Stub::Wait, request);
  }

  Result<TransactionInfo> Get(const GetParams& params) override {
    v1::GetRequest request;
    request.set_gid(params.gid);
    v1::Transaction reply;
    const Status status = Call("Get of transaction " + params.gid, params.timeout, true,
                               &v1::TransactionService::Stub::Get, request, &reply);
    if (!status.ok()) return status;
    return InfoOf(reply);
  }

 private:
  template <typename Request, typename Reply>
  using Method = grpc::Status (v1::TransactionService::Stub::*)(grpc::ClientContext*,
                                                                const Request&, Reply*);

  // One unary call, repeated as long as that may help.
  template <typename Request, typename Reply>
  Status Call(std::string what, milliseconds timeout, bool read_only, Method<Request, Reply> method,
              const Request& request, Reply* reply) {
    if (!usable_.ok()) return usable_;
    RetryParams retry;
    retry.policy = options_.retry;
    retry.deadline = Now() + timeout;
    retry.read_only = read_only;
    retry.what = std::move(what);
    retry.seed = RandomSeed();
    retry.sleep = [this](milliseconds wait) { WaitToRepeat(wait); };
    retry.now = Now;
    return Retry(retry, [&] {
      const auto deadline = std::chrono::system_clock::now() + (retry.deadline - Now());
      if (!AwaitConnection(*channel_, deadline)) {
        return Attempt{Unavailable("no connection to " + endpoint_ + "; is assentd running there?"),
                       false,
                       {}};
      }
      grpc::ClientContext context;
      context.set_deadline(deadline);
      const grpc::Status status = (stub_.get()->*method)(&context, request, reply);
      return Attempt{StatusOf(status), true, RetryAfterOf(context)};
    });
  }

  // gRPC gets on with connecting only while somebody waits for it. After a plain sleep a
  // coordinator that is back would be noticed at gRPC's own next look, five seconds later; so this
  // waits for the connection, unless there is one.
  void WaitToRepeat(milliseconds wait) {
    if (options_.sleep) return options_.sleep(wait);
    const bool connected = channel_->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY;
    if (connected) return ReallySleep(wait);
    channel_->WaitForConnected(std::chrono::system_clock::now() + wait);
  }

  template <typename Request>
  Result<Report> CallForReport(std::string what, milliseconds timeout, bool read_only,
                               Method<Request, v1::SubmitReply> method, const Request& request) {
    v1::SubmitReply reply;
    const Status status = Call(std::move(what), timeout, read_only, method, request, &reply);
    if (!status.ok()) return status;
    return TakeReport(&reply);
  }

  Submitter& NextSubmitter() {
    std::call_once(submitters_once_, [this] {
      for (std::size_t i = 0; i < std::max<std::size_t>(1, options_.streams); ++i) {
        SubmitQueue::Options queue;
        queue.endpoint = endpoint_;
        queue.max_pending_count = options_.max_pending_count;
        queue.max_pending_bytes = options_.max_pending_bytes;
        queue.retry = options_.retry;
        queue.seed = RandomSeed();
        // Each with a connection of its own: one connection is one thread's work in gRPC.
        auto channel = i == 0 ? channel_ : MakeChannel(endpoint_, options_.keepalive);
        submitters_.push_back(std::make_shared<Submitter>(
            std::move(queue), MakeGrpcDialer(std::move(channel), kSubmitStreamMethod)));
        submitters_.back()->Start();
      }
    });
    return *submitters_[next_submitter_.fetch_add(1, std::memory_order_relaxed) %
                        submitters_.size()];
  }

  const ClientOptions options_;
  const std::string endpoint_;
  const Status usable_;  // what every call answers if it is not OK
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::TransactionService::Stub> stub_;
  std::once_flag submitters_once_;
  std::vector<std::shared_ptr<Submitter>> submitters_;
  std::atomic<std::size_t> next_submitter_{0};
};

}  // namespace

std::shared_ptr<Connection> MakeGrpcConnection(const ClientOptions& options) {
  return std::make_shared<GrpcConnection>(options);
}

}  // namespace assent::internal

namespace assent {

Client::Client() : Client(ClientOptions{}) {}

Client::Client(ClientOptions options)
    : connection_(internal::MakeGrpcConnection(options)), options_(std::move(options)) {}

}  // namespace assent
