#include "tools/assentctl/connection.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <deque>
#include <memory>
#include <sstream>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/maintenance.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "proto/tls/channel_credentials.h"
#include "tools/assentctl/channel.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/event_streams.h"

namespace assent::ctl {
namespace {

using Clock =
    std::chrono::system_clock;  // what gRPC takes for deadlines; it converts to its monotonic one

// How long reaching the coordinator may take, also for calls that may last for ever.
constexpr std::chrono::milliseconds kConnectTimeout{5'000};
// So long those that are named first go before others that have connected already.
constexpr std::chrono::milliseconds kHeadStart{1'000};
// Enough for the log to take them in groups, and few beside what a coordinator has to do.
constexpr std::size_t kMostInFlight = 64;

std::string RetryHint(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("assent-retry-after-ms");
  if (found == trailers.end()) return "";
  const Result<std::int64_t> ms =
      ParseDuration(std::string(found->second.data(), found->second.size()) + "ms");
  return ms.ok() ? "; try again in " + FormatDuration(ms.value()) : "";
}

// When, instead of "later".
std::string WithRetryHint(std::string text, const grpc::ClientContext& context) {
  constexpr std::string_view kLater = "try again later";
  const std::string hint = RetryHint(context);
  if (!hint.empty() && text.ends_with(kLater) && text.size() > kLater.size() + 2)
    text.resize(text.size() - kLater.size() - 2);  // and "; " or ": " before it
  return text + hint;
}

// The coordinator itself says it, of another that it could not ask.
bool IsOfAnother(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  return trailers.find("assent-cluster-version") != trailers.end();
}

using Transactions = v1::TransactionService::Stub;
using Cluster = v1::ClusterService::Stub;
using Maintenance = v1::MaintenanceService::Stub;

// One of the coordinators that were named.
struct Place {
  std::string endpoint;
  std::shared_ptr<grpc::Channel> channel;
  std::tuple<std::unique_ptr<Transactions>, std::unique_ptr<Cluster>, std::unique_ptr<Maintenance>>
      stubs;
};

Place MakePlace(const std::string& endpoint, const Dialling& dialling) {
  auto channel = MakeChannel(endpoint, dialling);
  auto transactions = v1::TransactionService::NewStub(channel);
  auto cluster = v1::ClusterService::NewStub(channel);
  auto maintenance = v1::MaintenanceService::NewStub(channel);
  return {endpoint,
          std::move(channel),
          {std::move(transactions), std::move(cluster), std::move(maintenance)}};
}

// One of many calls that are on their way at a time.
struct Flight {
  std::size_t number = 0;
  OperatorRequest request;
  grpc::ClientContext context;
  v1::OperatorReply reply;
  grpc::Status status;
};

// Those that have an answer, until the caller's thread takes them.
class Landed {
 public:
  void Put(std::unique_ptr<Flight> flight) {
    const MutexLock lock(mutex_);
    flights_.push_back(std::move(flight));
    came_.NotifyAll();
  }
  std::unique_ptr<Flight> Take() {
    const MutexLock lock(mutex_);
    while (flights_.empty()) came_.Wait(mutex_);
    std::unique_ptr<Flight> first = std::move(flights_.front());
    flights_.pop_front();
    return first;
  }

 private:
  Mutex mutex_;
  CondVar came_;
  std::deque<std::unique_ptr<Flight>> flights_ ASSENT_GUARDED_BY(mutex_);
};

class GrpcService final : public Service {
 public:
  GrpcService(const std::string& endpoints, Dialling dialling) : dialling_(std::move(dialling)) {
    std::istringstream words(endpoints);
    for (std::string one; std::getline(words, one, ',');)
      places_.push_back(MakePlace(one, dialling_));
  }

  Result<v1::SubmitReply> Submit(const v1::SubmitRequest& request, Timeout timeout) override {
    return Call(&Transactions::Submit, request, timeout, Kind::kMutation);
  }
  Result<v1::Transaction> Get(const v1::GetRequest& request, Timeout timeout) override {
    return Call(&Transactions::Get, request, timeout, Kind::kQuestion);
  }
  Result<v1::ListReply> List(const v1::ListRequest& request, Timeout timeout) override {
    return Call(&Transactions::List, request, timeout, Kind::kQuestion);
  }
  Result<v1::ListCausesReply> ListCauses(const v1::ListCausesRequest& request,
                                         Timeout timeout) override {
    return Call(&Transactions::ListCauses, request, timeout, Kind::kQuestion);
  }
  Result<v1::OperatorReply> Operate(const OperatorRequest& request, Timeout timeout) override {
    return std::visit([&](const auto& one) { return OperateOne(one, timeout); }, request);
  }
  void OperateMany(std::size_t count, const std::function<OperatorRequest(std::size_t)>& make,
                   Timeout timeout, const OnOperated& each) override {
    if (const Status reached = Reach(DeadlineOf(timeout)); !reached.ok()) {
      (void)each(0, reached);
      return;
    }
    const auto landed = std::make_shared<Landed>();
    std::size_t next = 0;
    std::size_t in_flight = 0;
    bool go_on = true;
    while (true) {
      for (; go_on && next < count && in_flight < kMostInFlight; ++next, ++in_flight)
        Launch(next, make(next), timeout, landed);
      if (in_flight == 0) return;
      const std::unique_ptr<Flight> flight = landed->Take();
      --in_flight;
      const grpc::Status& status = flight->status;
      if (status.ok()) {
        go_on = each(flight->number, flight->reply) && go_on;
      } else {
        const Status failed = Translate(status, flight->context, timeout, Kind::kMutation);
        go_on = each(flight->number, failed) && go_on;
        // It may have been done, or not: what comes after would only meet the same.
        if (status.error_code() == grpc::StatusCode::UNAVAILABLE) go_on = false;
      }
    }
  }
  Result<v1::ListAuditReply> ListAudit(const v1::ListAuditRequest& request,
                                       Timeout timeout) override {
    return Call(&Transactions::ListAudit, request, timeout, Kind::kQuestion);
  }
  Result<v1::ListParticipantsReply> ListParticipants(const v1::ListParticipantsRequest& request,
                                                     Timeout timeout) override {
    return Call(&Transactions::ListParticipants, request, timeout, Kind::kQuestion);
  }
  Result<v1::SetBreakerReply> SetBreaker(const v1::SetBreakerRequest& request,
                                         Timeout timeout) override {
    return Call(&Transactions::SetBreaker, request, timeout, Kind::kMutation);
  }
  Result<v1::ServerInfo> GetServerInfo(Timeout timeout) override {
    return Call(&Transactions::GetServerInfo, v1::GetServerInfoRequest(), timeout, Kind::kQuestion);
  }
  Result<v1::ClusterView> GetCluster(const v1::GetClusterRequest& request,
                                     Timeout timeout) override {
    return Call(&Cluster::Get, request, timeout, Kind::kQuestion);
  }
  Result<v1::ClusterReply> ChangeCluster(const ClusterRequest& request, Timeout timeout) override {
    return std::visit([&](const auto& one) { return ChangeOne(one, timeout); }, request);
  }
  Status Watch(const v1::WatchRequest& request, Timeout timeout,
               const OnTransaction& each) override {
    return Stream(&Transactions::Watch, request, timeout, each);
  }
  Status WatchCluster(Timeout timeout, const OnCluster& each) override {
    return Stream(&Cluster::Watch, v1::WatchClusterRequest(), timeout, each);
  }
  Status Backup(Timeout timeout, const OnBackup& each) override {
    return Stream(&Maintenance::Backup, v1::BackupRequest(), timeout, each);
  }
  Result<v1::Settings> GetSettings(Timeout timeout) override {
    return Call(&Maintenance::GetSettings, v1::GetSettingsRequest(), timeout, Kind::kQuestion);
  }
  Result<v1::MetricsPage> GetMetrics(Timeout timeout) override {
    return Call(&Maintenance::GetMetrics, v1::GetMetricsRequest(), timeout, Kind::kQuestion);
  }
  Result<v1::ReadAuditReply> ReadAudit(const v1::ReadAuditRequest& request,
                                       Timeout timeout) override {
    return Call(&Maintenance::ReadAudit, request, timeout, Kind::kQuestion);
  }
  std::unique_ptr<EventStreams> FollowEvents() override { return MakeEventStreams(dialling_); }
  std::string Endpoint() const override { return places_[current_].endpoint; }

 private:
  enum class Kind : std::uint8_t { kQuestion, kMutation };

  static Clock::time_point DeadlineOf(Timeout timeout) {
    return timeout.has_value() ? Clock::now() + *timeout : Clock::time_point::max();
  }

  // Makes one that is connected the current one: the one that was, or the next that can be reached.
  // Without any nothing is sent that changes something: so it is certain that nothing was done.
  Status Reach(Clock::time_point deadline) {
    const Clock::time_point start = Clock::now();
    for (const Place& place : places_) (void)place.channel->GetState(true);
    std::string causes;
    for (const std::chrono::milliseconds patience : {kHeadStart, kConnectTimeout}) {
      if (patience == kHeadStart && places_.size() == 1) continue;
      causes.clear();
      const Clock::time_point limit = std::min(deadline, start + patience);
      for (std::size_t i = 0; i < places_.size(); ++i) {
        const std::size_t at = (current_ + i) % places_.size();
        const std::string cause = WhyUnreached(places_[at], limit);
        if (cause.empty()) {
          current_ = at;
          return OkStatus();
        }
        causes += (i == 0 ? "" : ", nor to ") + places_[at].endpoint + ": " + cause;
      }
    }
    return CannotConnect(causes);
  }

  // Waits until the channel has connected (empty) or failed to. The cause of a failure is known to
  // a call alone.
  static std::string WhyUnreached(const Place& place, Clock::time_point limit) {
    grpc_connectivity_state state = place.channel->GetState(true);
    while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
      if (!place.channel->WaitForStateChange(state, limit))
        return "no answer in time; is assentd running?";
      state = place.channel->GetState(true);
    }
    if (state == GRPC_CHANNEL_READY) return "";
    grpc::ClientContext context;
    context.set_deadline(limit);
    v1::ServerInfo info;
    const grpc::Status asked =
        std::get<0>(place.stubs)->GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
    if (asked.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
      return "no answer in time; is assentd running?";
    if (asked.error_code() != grpc::StatusCode::UNAVAILABLE) return "";
    return tls::WhyUnconnected(asked.error_message());
  }

  static Status CannotConnect(const std::string& where_and_why) {
    return Unavailable("cannot connect to " + where_and_why +
                       " (--endpoint or ASSENT_ENDPOINT names another address)");
  }

  // A question that finds the coordinator gone is put to the next one.
  template <typename Use>
  Status WithOne(Timeout timeout, Kind kind, const Use& use) {
    const Clock::time_point deadline = DeadlineOf(timeout);
    for (std::size_t tries = 1;; ++tries) {
      if (Status reached = Reach(deadline); !reached.ok()) return reached;
      grpc::ClientContext context;
      context.set_deadline(deadline);
      const grpc::Status status = use(places_[current_], context);
      if (status.ok()) return OkStatus();
      Status failed = Translate(status, context, timeout, kind);
      if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
        current_ = (current_ + 1) % places_.size();
      }
      if (failed.code() != Code::kUnavailable || tries == places_.size()) return failed;
    }
  }

  template <typename Stub, typename Request, typename Reply>
  Result<Reply> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                     const Request& request, Timeout timeout, Kind kind) {
    Reply reply;
    const Status status =
        WithOne(timeout, kind, [&](const Place& place, grpc::ClientContext& context) {
          const auto& stub = std::get<std::unique_ptr<Stub>>(place.stubs);
          return (stub.get()->*method)(&context, request, &reply);
        });
    if (!status.ok()) return status;
    return reply;
  }

  template <typename Stub, typename Request, typename Message>
  Status Stream(std::unique_ptr<grpc::ClientReader<Message>> (Stub::*method)(grpc::ClientContext*,
                                                                             const Request&),
                const Request& request, Timeout timeout,
                const std::function<bool(const Message&)>& each) {
    return WithOne(timeout, Kind::kQuestion, [&](const Place& place, grpc::ClientContext& context) {
      const auto& stub = std::get<std::unique_ptr<Stub>>(place.stubs);
      const auto stream = (stub.get()->*method)(&context, request);
      Message message;
      while (stream->Read(&message)) {
        if (each(message)) continue;
        context.TryCancel();
        (void)stream->Finish();
        return grpc::Status::OK;
      }
      return stream->Finish();
    });
  }

  void Launch(std::size_t number, OperatorRequest request, Timeout timeout,
              const std::shared_ptr<Landed>& landed) {
    auto* const flight = new Flight;  // it is handed over with its answer
    flight->number = number;
    flight->request = std::move(request);
    flight->context.set_deadline(DeadlineOf(timeout));
    const auto land = [landed, flight](grpc::Status status) {
      flight->status = std::move(status);
      landed->Put(std::unique_ptr<Flight>(flight));
    };
    auto* const stub = std::get<0>(places_[current_].stubs)->async();
    std::visit([&](const auto& one) { Begin(*stub, one, *flight, land); }, flight->request);
  }
  using Async = v1::TransactionService::StubInterface::async_interface;
  using Land = std::function<void(grpc::Status)>;
  static void Begin(Async& stub, const v1::RetryNowRequest& one, Flight& flight, Land land) {
    stub.RetryNow(&flight.context, &one, &flight.reply, std::move(land));
  }
  static void Begin(Async& stub, const v1::AbortRequest& one, Flight& flight, Land land) {
    stub.Abort(&flight.context, &one, &flight.reply, std::move(land));
  }
  static void Begin(Async& stub, const v1::SuspendRequest& one, Flight& flight, Land land) {
    stub.Suspend(&flight.context, &one, &flight.reply, std::move(land));
  }
  static void Begin(Async& stub, const v1::ResumeRequest& one, Flight& flight, Land land) {
    stub.Resume(&flight.context, &one, &flight.reply, std::move(land));
  }
  static void Begin(Async& stub, const v1::ResolveBranchRequest& one, Flight& flight, Land land) {
    stub.ResolveBranch(&flight.context, &one, &flight.reply, std::move(land));
  }
  static void Begin(Async& stub, const v1::ForgetRequest& one, Flight& flight, Land land) {
    stub.Forget(&flight.context, &one, &flight.reply, std::move(land));
  }

  Result<v1::OperatorReply> OperateOne(const v1::RetryNowRequest& request, Timeout timeout) {
    return Call(&Transactions::RetryNow, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::AbortRequest& request, Timeout timeout) {
    return Call(&Transactions::Abort, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::SuspendRequest& request, Timeout timeout) {
    return Call(&Transactions::Suspend, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::ResumeRequest& request, Timeout timeout) {
    return Call(&Transactions::Resume, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::ResolveBranchRequest& request, Timeout timeout) {
    return Call(&Transactions::ResolveBranch, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::ForgetRequest& request, Timeout timeout) {
    return Call(&Transactions::Forget, request, timeout, Kind::kMutation);
  }

  Result<v1::ClusterReply> ChangeOne(const v1::DrainMemberRequest& request, Timeout timeout) {
    return Call(&Cluster::Drain, request, timeout, Kind::kMutation);
  }
  Result<v1::ClusterReply> ChangeOne(const v1::MoveSlotsRequest& request, Timeout timeout) {
    return Call(&Cluster::Move, request, timeout, Kind::kMutation);
  }
  Result<v1::ClusterReply> ChangeOne(const v1::FenceMemberRequest& request, Timeout timeout) {
    return Call(&Cluster::Fence, request, timeout, Kind::kMutation);
  }

  // Only these are the coordinator's own answers; every other code may come from a library or a
  // proxy, at any moment, and says nothing of what was done (transaction.proto).
  static bool IsAnswer(Code code) {
    return code == Code::kInvalidArgument || code == Code::kNotFound ||
           code == Code::kAlreadyExists || code == Code::kFailedPrecondition ||
           code == Code::kAborted || code == Code::kOutOfRange || code == Code::kDataLoss;
  }

  Status Translate(const grpc::Status& status, const grpc::ClientContext& context, Timeout timeout,
                   Kind kind) const {
    const std::string& message = status.error_message();
    const Code code = CodeOf(status.error_code());
    std::string text =
        WithRetryHint(message.empty() ? std::string(CodeName(code)) : message, context);
    if (IsAnswer(code)) return Status(code, text);
    if (code == Code::kDeadlineExceeded) {
      text = Endpoint() + " gave no answer within --timeout";
      if (timeout.has_value()) text += " (" + FormatDuration(timeout->count()) + ")";
    } else if (code == Code::kUnavailable) {
      text = Endpoint() + (IsOfAnother(context) ? " says: " : " went away: ") + text;
    } else if (kind == Kind::kQuestion &&
               message.find("Received http2 header with status") != std::string::npos) {
      return CannotConnect(Endpoint() + ": what answers there is not a gRPC server (" + message +
                           ")");
    }
    if (kind == Kind::kQuestion || code == Code::kPermissionDenied) return Status(code, text);
    return UnknownOutcome(text + "; it may or may not have been done");
  }

  const Dialling dialling_;
  std::vector<Place> places_;
  std::size_t current_ = 0;
};

std::unique_ptr<Service> ConnectWith(const std::string& endpoints, Dialling dialling) {
  // Between two calls nobody drives a connection that is being made, but for gRPC every so often:
  // by its default of five seconds the other side has long given it up.
  (void)setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", /*overwrite=*/0);
  return std::make_unique<GrpcService>(endpoints, std::move(dialling));
}

}  // namespace

std::unique_ptr<Service> Connect(const std::string& endpoints) {
  return ConnectWith(endpoints, {});
}

Result<std::unique_ptr<Service>> Connect(const std::string& endpoints, const TlsFlags& tls,
                                         const TokenSource& token) {
  Result<Dialling> dialling = MakeDialling(endpoints, tls, token);
  if (!dialling.ok()) return dialling.status();
  return ConnectWith(endpoints, std::move(dialling).value());
}

}  // namespace assent::ctl
