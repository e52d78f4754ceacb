#include "participant-sdk/cpp/src/grpc_connection.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <assent/limits.h>
#include <assent/thread_safety.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "participant-sdk/cpp/src/endpoint.h"
#include "participant-sdk/cpp/src/grpc_channel.h"
#include "participant-sdk/cpp/src/grpc_dialer.h"
#include "participant-sdk/cpp/src/grpc_link.h"
#include "participant-sdk/cpp/src/map_watcher.h"
#include "participant-sdk/cpp/src/retry.h"
#include "participant-sdk/cpp/src/routes.h"
#include "participant-sdk/cpp/src/seed.h"
#include "participant-sdk/cpp/src/submitter.h"
#include "participant-sdk/cpp/src/text.h"
#include "participant-sdk/cpp/src/wire.h"
#include "proto/tls/channel_credentials.h"
#include "proto/words/words.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;

constexpr const char* kSubmitStreamMethod = "/assent.v1.TransactionService/SubmitStream";
constexpr const char* kWatchMethod = "/assent.v1.ClusterService/Watch";
constexpr const char* kRetryAfterTrailer = "assent-retry-after-ms";
constexpr const char* kOwnerTrailer = "assent-owner";
// For a connection to one coordinator, where another could be tried.
constexpr milliseconds kConnectPatience{1000};
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

// Who has the transaction, by the words of a coordinator that has not.
std::string OwnerIn(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto at = trailers.find(kOwnerTrailer);
  if (at == trailers.end()) return {};
  std::string owner(at->second.data(), at->second.size());
  return CheckEndpoint(kOwnerTrailer, owner).ok() ? owner : std::string();
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

std::vector<std::string> EndpointsOf(const ClientOptions& options) {
  std::vector<std::string> all = options.endpoints;
  if (!options.endpoint.empty()) all.insert(all.begin(), options.endpoint);
  if (all.empty()) all = DefaultEndpoints();
  std::vector<std::string> once;
  for (std::string& endpoint : all) {
    if (std::find(once.begin(), once.end(), endpoint) == once.end())
      once.push_back(std::move(endpoint));
  }
  return once;
}

Status CheckEndpoints(const std::vector<std::string>& endpoints) {
  for (const std::string& endpoint : endpoints) {
    if (Status s = CheckEndpoint("endpoint", endpoint); !s.ok()) return s;
  }
  return OkStatus();
}

Status Both(const Status& first, const Status& second) { return first.ok() ? second : first; }

class GrpcConnection final : public Connection,
                             public std::enable_shared_from_this<GrpcConnection> {
 public:
  explicit GrpcConnection(const ClientOptions& options)
      : options_(options),
        seeds_(EndpointsOf(options)),
        dialling_(MakeDialling(options.tls, options.token, seeds_, options.keepalive)),
        usable_(Both(CheckEndpoints(seeds_), dialling_.status())),
        loop_(MakeStreamLoop()),
        routes_(std::make_shared<const Routes>(seeds_)) {}

  ~GrpcConnection() override {
    if (watcher_) watcher_->Shutdown();
    for (const auto& submitter : submitters_) submitter->Shutdown();
  }

  Result<Report> Submit(const SubmitParams& params) override {
    v1::SubmitRequest request;
    PutTransaction(params.transaction, request.mutable_transaction());
    request.set_wait_for(wire::ToWire(params.wait));
    return CallForReport("Submit of transaction ", params.transaction.gid(), params.timeout, false,
                         &v1::TransactionService::Stub::Submit, request);
  }

  void SubmitAsync(SubmitParams params, ReportCallback done) override {
    if (!usable_.ok()) return done(usable_);
    v1::SubmitRequest request;
    PutTransaction(params.transaction, request.mutable_transaction());
    request.set_wait_for(wire::ToWire(params.wait));
    NextSubmitter().Submit(std::move(request), std::move(done), Now() + params.timeout);
  }

  void SubmitEncodedAsync(SubmitEncodedParams params, ReportCallback done) override {
    // A setting of ours that is wrong is no fault of the request, which can wait.
    if (!usable_.ok()) return done(Unavailable(usable_.message()));
    Result<v1::SubmitRequest> request = TakeRequest(params.request, params.gid);
    if (!request.ok()) return done(request.status());
    request->set_wait_for(wire::ToWire(params.wait));
    NextSubmitter().Submit(std::move(*request), std::move(done), Now() + params.timeout);
  }

  Status Begin(const BeginParams& params) override {
    v1::BeginRequest request;
    PutTransaction(params.transaction, request.mutable_transaction());
    v1::BeginReply reply;
    return Call("Begin of transaction ", params.transaction.gid(), params.timeout, false,
                &v1::TransactionService::Stub::Begin, request, &reply);
  }

  Result<BranchResult> Execute(const ExecuteParams& params) override {
    v1::ExecuteBranchRequest request;
    request.set_gid(params.gid);
    PutBranch(params.branch, request.mutable_branch());
    v1::ExecuteBranchReply reply;
    const Status status =
        Call("branch " + params.branch.options.id + " of transaction ", params.gid, params.timeout,
             false, &v1::TransactionService::Stub::ExecuteBranch, request, &reply);
    if (!status.ok()) return status;
    return TakeBranchResult(&reply);
  }

  Result<Report> Finish(const FinishParams& params) override {
    if (params.commit) {
      v1::CommitRequest request;
      request.set_gid(params.gid);
      request.set_wait_for(wire::ToWire(params.wait));
      return CallForReport("Commit of transaction ", params.gid, params.timeout, false,
                           &v1::TransactionService::Stub::Commit, request);
    }
    v1::RollbackRequest request;
    request.set_gid(params.gid);
    request.set_wait_for(wire::ToWire(params.wait));
    request.set_reason(CleanText(params.reason, limits::kMaxReasonBytes));
    return CallForReport("Rollback of transaction ", params.gid, params.timeout, false,
                         &v1::TransactionService::Stub::Rollback, request);
  }

  Result<Report> Wait(const WaitParams& params) override {
    v1::WaitRequest request;
    request.set_gid(params.gid);
    request.set_wait_for(wire::ToWire(params.wait));
    return CallForReport("Wait for transaction ", params.gid, params.timeout, true,
                         &v1::TransactionService::Stub::Wait, request);
  }

  Result<TransactionInfo> Get(const GetParams& params) override {
    v1::GetRequest request;
    request.set_gid(params.gid);
    v1::Transaction reply;
    const Status status = Call("Get of transaction ", params.gid, params.timeout, true,
                               &v1::TransactionService::Stub::Get, request, &reply);
    if (!status.ok()) return status;
    return InfoOf(reply);
  }

 private:
  template <typename Request, typename Reply>
  using Method = grpc::Status (v1::TransactionService::Stub::*)(grpc::ClientContext*,
                                                                const Request&, Reply*);

  // One unary call, repeated wherever and as long as that may help. `what` and the gid: for
  // messages.
  template <typename Request, typename Reply>
  Status Call(std::string what, const std::string& gid, milliseconds timeout, bool read_only,
              Method<Request, Reply> method, const Request& request, Reply* reply) {
    if (!usable_.ok()) return usable_;
    Watch();
    Tour tour(gid);
    RetryParams retry;
    retry.policy = options_.retry;
    retry.deadline = Now() + timeout;
    retry.read_only = read_only;
    retry.what = std::move(what) + gid;
    retry.seed = RandomSeed();
    retry.sleep = [&](milliseconds wait) {
      tour.Rest();
      WaitToRepeat(gid, wait);
    };
    retry.now = Now;
    return Retry(retry, [&] {
      const auto deadline = std::chrono::system_clock::now() + (retry.deadline - Now());
      Attempt attempt = Try(&tour, deadline, [&](auto& stub, grpc::ClientContext* context) {
        return (stub.*method)(context, request, reply);
      });
      if (attempt.status.ok()) return attempt;
      watcher_->Nudge();
      const bool full =
          attempt.retry_after.count() > 0 || attempt.status.code() == Code::kResourceExhausted;
      attempt.next_at_once = !full && tour.MoreNow(*CurrentRoutes());
      return attempt;
    });
  }

  // At one coordinator. A call is made only when there is a connection: see AwaitConnection.
  template <typename Rpc>
  Attempt Try(Tour* tour, std::chrono::system_clock::time_point deadline, const Rpc& rpc) {
    const auto [link, endpoint, others] = Pick(tour);
    const auto patience = std::chrono::system_clock::now() + kConnectPatience;
    if (!AwaitConnection(*link->channel(), others ? std::min(deadline, patience) : deadline)) {
      return {.status = Unavailable("no connection to " + endpoint + ": " + WhyNot(*link)),
              .contacted = false};
    }
    grpc::ClientContext context;
    context.set_deadline(deadline);
    const GrpcLink::Use use(*link, context);
    if (!use.ok())
      return {.status = Unavailable(endpoint + " has left the cluster"), .contacted = false};
    tour->Contacted();
    const grpc::Status status = rpc(link->stub(), &context);
    if (std::string owner = OwnerIn(context); !owner.empty()) tour->Moved(std::move(owner));
    return {.status = StatusOf(status), .contacted = true, .retry_after = RetryAfterOf(context)};
  }

  // The cause is known to a call alone; one that finds no connection is not sent.
  static std::string WhyNot(GrpcLink& link) {
    constexpr std::string_view kNoAnswer = "no answer in time; is assentd running?";
    if (link.channel()->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_TRANSIENT_FAILURE)
      return std::string(kNoAnswer);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kWhyPatience);
    v1::ServerInfo info;
    const grpc::Status asked =
        link.stub().GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
    return asked.error_code() == grpc::StatusCode::UNAVAILABLE
               ? tls::WhyUnconnected(asked.error_message())
               : std::string(kNoAnswer);
  }

  struct Picked {
    std::shared_ptr<GrpcLink> link;
    std::string endpoint;
    bool others = false;  // could be tried instead
  };
  Picked Pick(Tour* tour) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    Picked picked;
    picked.endpoint = tour->Next(*routes_);
    picked.link = LinkTo(picked.endpoint);
    picked.others = tour->MoreNow(*routes_);
    return picked;
  }

  const std::shared_ptr<GrpcLink>& LinkTo(const std::string& endpoint) ASSENT_REQUIRES(mutex_) {
    std::shared_ptr<GrpcLink>& link = links_[endpoint];
    if (!link) link = std::make_shared<GrpcLink>(endpoint, *dialling_);
    return link;
  }

  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& endpoint) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return LinkTo(endpoint)->channel();
  }

  RoutesPtr CurrentRoutes() ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return routes_;
  }

  // gRPC gets on with connecting only while somebody waits for it. After a plain sleep a
  // coordinator that is back would be noticed at gRPC's own next look, five seconds later; so this
  // waits for the connections that are missing, a part of the time for each.
  void WaitToRepeat(const std::string& gid, milliseconds wait) {
    if (options_.sleep) return options_.sleep(wait);
    const SteadyTime end = Now() + wait;
    const RoutesPtr routes = CurrentRoutes();
    for (std::size_t rank = 0; rank < routes->size(); ++rank) {
      const auto channel = ChannelTo(routes->endpoint(routes->Choice(gid, rank)));
      if (channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) continue;
      const auto slice = (end - Now()) / static_cast<std::int64_t>(routes->size() - rank);
      if (slice.count() > 0 && channel->WaitForConnected(std::chrono::system_clock::now() + slice))
        return;
    }
    if (const auto rest = std::chrono::duration_cast<milliseconds>(end - Now()); rest.count() > 0)
      ReallySleep(rest);
  }

  // From the first call on, whoever shares the log with the coordinators that we were told of is
  // known as soon as one of them says so.
  void Watch() {
    std::call_once(watcher_once_, [this] {
      MapKeeper::Options keeper;
      keeper.seeds = seeds_;
      keeper.seed = RandomSeed();
      watcher_ = std::make_shared<MapWatcher>(
          std::move(keeper), DialerOf(kWatchMethod, loop_, /*shared_channel=*/true),
          [weak = weak_from_this()](const MapWatcher::News& news) {
            if (const auto self = weak.lock()) self->OnNews(news);
          });
      watcher_->Start();
    });
  }

  void OnNews(const MapWatcher::News& news) ASSENT_EXCLUDES(mutex_) {
    std::vector<std::shared_ptr<GrpcLink>> gone;
    std::vector<std::shared_ptr<Submitter>> submitters;
    RoutesPtr routes;
    {
      const MutexLock lock(mutex_);
      if (news.number > news_number_) {
        news_number_ = news.number;
        routes_ = RoutesOf(news);
      }
      routes = routes_;
      for (const std::string& endpoint : news.gone) {
        const auto link = links_.extract(endpoint);
        if (!link.empty()) gone.push_back(link.mapped());
      }
      submitters = submitters_;
    }
    for (const auto& link : gone) link->Leave();
    for (const auto& submitter : submitters) submitter->SetRoutes(news.number, routes, news.gone);
  }

  RoutesPtr RoutesOf(const MapWatcher::News& news) const {
    if (news.map) return std::make_shared<const Routes>(seeds_, news.map, news.left);
    // It shares its log with nobody, so none of the others can do its work.
    if (news.alone) return std::make_shared<const Routes>(std::vector<std::string>{*news.alone});
    return std::make_shared<const Routes>(seeds_);
  }

  // Streams on the link's channel, or on one of their own: one connection is one thread's work in
  // gRPC.
  DialerFactory DialerOf(const char* method, std::shared_ptr<StreamLoop> loop,
                         bool shared_channel) {
    return [weak = weak_from_this(), method, loop = std::move(loop), shared_channel,
            dialling = *dialling_](const std::string& endpoint) {
      const auto self = shared_channel ? weak.lock() : nullptr;
      return MakeGrpcDialer(
          loop, self ? self->ChannelTo(endpoint) : MakeChannel(endpoint, dialling), method);
    };
  }

  template <typename Request>
  Result<Report> CallForReport(std::string what, const std::string& gid, milliseconds timeout,
                               bool read_only, Method<Request, v1::SubmitReply> method,
                               const Request& request) {
    v1::SubmitReply reply;
    const Status status = Call(std::move(what), gid, timeout, read_only, method, request, &reply);
    if (!status.ok()) return status;
    return TakeReport(&reply);
  }

  Submitter& NextSubmitter() ASSENT_EXCLUDES(mutex_) {
    Watch();
    std::call_once(submitters_once_, [this] {
      const MutexLock lock(mutex_);
      for (std::size_t i = 0; i < std::max<std::size_t>(1, options_.streams); ++i)
        submitters_.push_back(NewSubmitter(i));
    });
    // Not changed any more.
    return *submitters_[next_submitter_.fetch_add(1, std::memory_order_relaxed) %
                        submitters_.size()];
  }

  std::shared_ptr<Submitter> NewSubmitter(std::size_t index) ASSENT_REQUIRES(mutex_) {
    SubmitQueue::Options queue;
    queue.routes = routes_;
    queue.max_pending_count = options_.max_pending_count;
    queue.max_pending_bytes = options_.max_pending_bytes;
    queue.retry = options_.retry;
    queue.seed = RandomSeed();
    auto loop = index == 0 ? loop_ : MakeStreamLoop();
    auto submitter = std::make_shared<Submitter>(
        std::move(queue), DialerOf(kSubmitStreamMethod, std::move(loop), index == 0));
    submitter->Start();
    return submitter;
  }

  const ClientOptions options_;
  const std::vector<std::string> seeds_;
  const Result<Dialling> dialling_;
  const Status usable_;  // what every call answers if it is not OK
  const std::shared_ptr<StreamLoop> loop_;
  std::once_flag watcher_once_;
  std::shared_ptr<MapWatcher> watcher_;  // set once, by the first call
  std::once_flag submitters_once_;
  std::atomic<std::size_t> next_submitter_{0};

  Mutex mutex_;
  RoutesPtr routes_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t news_number_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::shared_ptr<GrpcLink>> links_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Submitter>> submitters_;  // filled once, under the mutex
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
