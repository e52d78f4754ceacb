#include "tools/assentctl/connection.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assentctl/duration.h"

namespace assent::ctl {
namespace {

using Clock =
    std::chrono::system_clock;  // what gRPC takes for deadlines; it converts to its monotonic one

// How long reaching the coordinator may take, also for calls that may last for ever.
constexpr std::chrono::milliseconds kConnectTimeout{5'000};

// The last part of "failed to connect to all addresses; last error: UNKNOWN: ...: Connection
// refused".
std::string Cause(const std::string& message) {
  const std::size_t at = message.rfind(": ");
  std::string cause = at == std::string::npos ? message : message.substr(at + 2);
  if (!cause.empty()) {
    cause[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(cause[0])));
  }
  return cause;
}

std::string RetryHint(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("assent-retry-after-ms");
  if (found == trailers.end()) return "";
  const Result<std::int64_t> ms =
      ParseDuration(std::string(found->second.data(), found->second.size()) + "ms");
  return ms.ok() ? "; try again in " + FormatDuration(ms.value()) : "";
}

Code CodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK: return Code::kOk;
    case grpc::StatusCode::CANCELLED: return Code::kCancelled;
    case grpc::StatusCode::UNKNOWN: return Code::kInternal;
    case grpc::StatusCode::INVALID_ARGUMENT: return Code::kInvalidArgument;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return Code::kDeadlineExceeded;
    case grpc::StatusCode::NOT_FOUND: return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return Code::kAlreadyExists;
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED: return Code::kPermissionDenied;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return Code::kResourceExhausted;
    case grpc::StatusCode::FAILED_PRECONDITION: return Code::kFailedPrecondition;
    case grpc::StatusCode::ABORTED: return Code::kAborted;
    case grpc::StatusCode::OUT_OF_RANGE: return Code::kOutOfRange;
    case grpc::StatusCode::UNIMPLEMENTED: return Code::kUnimplemented;
    case grpc::StatusCode::INTERNAL: return Code::kInternal;
    case grpc::StatusCode::UNAVAILABLE: return Code::kUnavailable;
    case grpc::StatusCode::DATA_LOSS: return Code::kDataLoss;
    case grpc::StatusCode::DO_NOT_USE: break;
  }
  return Code::kInternal;
}

class GrpcService final : public Service {
 public:
  explicit GrpcService(std::string endpoint) : endpoint_(std::move(endpoint)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    // A watch may be silent for hours; a coordinator that is gone without a word is noticed all the
    // same.
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    channel_ = grpc::CreateCustomChannel(endpoint_, grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::TransactionService::NewStub(channel_);
  }

  Result<v1::SubmitReply> Submit(const v1::SubmitRequest& request, Timeout timeout) override {
    return Call(&Stub::Submit, request, timeout, Kind::kMutation);
  }
  Result<v1::Transaction> Get(const v1::GetRequest& request, Timeout timeout) override {
    return Call(&Stub::Get, request, timeout, Kind::kQuestion);
  }
  Result<v1::ListReply> List(const v1::ListRequest& request, Timeout timeout) override {
    return Call(&Stub::List, request, timeout, Kind::kQuestion);
  }
  Result<v1::OperatorReply> Operate(const OperatorRequest& request, Timeout timeout) override {
    return std::visit([&](const auto& one) { return OperateOne(one, timeout); }, request);
  }
  Result<v1::ListParticipantsReply> ListParticipants(const v1::ListParticipantsRequest& request,
                                                     Timeout timeout) override {
    return Call(&Stub::ListParticipants, request, timeout, Kind::kQuestion);
  }
  Result<v1::ServerInfo> GetServerInfo(Timeout timeout) override {
    return Call(&Stub::GetServerInfo, v1::GetServerInfoRequest(), timeout, Kind::kQuestion);
  }

  Status Watch(const v1::WatchRequest& request, Timeout timeout,
               const OnTransaction& each) override {
    const Clock::time_point deadline = DeadlineOf(timeout);
    bool connected = false;
    if (Status reached = Reach(deadline, connected); !reached.ok()) return reached;
    grpc::ClientContext context;
    context.set_deadline(deadline);
    const auto stream = stub_->Watch(&context, request);
    v1::Transaction transaction;
    while (stream->Read(&transaction)) {
      if (each(transaction)) continue;
      context.TryCancel();
      (void)stream->Finish();
      return OkStatus();
    }
    return Translate(stream->Finish(), context, connected, timeout, Kind::kQuestion);
  }

 private:
  using Stub = v1::TransactionService::Stub;
  enum class Kind : std::uint8_t { kQuestion, kMutation };

  static Clock::time_point DeadlineOf(Timeout timeout) {
    return timeout.has_value() ? Clock::now() + *timeout : Clock::time_point::max();
  }

  // Waits until the channel has connected or failed to. A failure is left to the call, which knows
  // its cause; only silence is told here.
  Status Reach(Clock::time_point deadline, bool& connected) {
    const Clock::time_point limit = std::min(deadline, Clock::now() + kConnectTimeout);
    grpc_connectivity_state state = channel_->GetState(true);
    while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
      if (!channel_->WaitForStateChange(state, limit)) {
        return CannotConnect("no answer in time");
      }
      state = channel_->GetState(true);
    }
    connected = state == GRPC_CHANNEL_READY;
    return OkStatus();
  }

  Status CannotConnect(const std::string& cause) const {
    return Unavailable(
        "cannot connect to " + endpoint_ + ": " + cause +
        "; is assentd running? Use --endpoint or ASSENT_ENDPOINT for another address");
  }

  template <typename Request, typename Reply>
  Result<Reply> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                     const Request& request, Timeout timeout, Kind kind) {
    const Clock::time_point deadline = DeadlineOf(timeout);
    bool connected = false;
    if (Status reached = Reach(deadline, connected); !reached.ok()) return reached;
    // Without a connection nothing is sent that changes something: so it is certain that nothing
    // was done. A question finds out why there is none.
    if (kind == Kind::kMutation && !connected) {
      Status unreached = GetServerInfo(timeout).status();
      if (!unreached.ok()) return unreached;
    }
    grpc::ClientContext context;
    context.set_deadline(deadline);
    Reply reply;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &reply);
    if (status.ok()) return reply;
    return Translate(status, context, connected, timeout, kind);
  }

  Result<v1::OperatorReply> OperateOne(const v1::RetryNowRequest& request, Timeout timeout) {
    return Call(&Stub::RetryNow, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::AbortRequest& request, Timeout timeout) {
    return Call(&Stub::Abort, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::SuspendRequest& request, Timeout timeout) {
    return Call(&Stub::Suspend, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::ResumeRequest& request, Timeout timeout) {
    return Call(&Stub::Resume, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::ResolveBranchRequest& request, Timeout timeout) {
    return Call(&Stub::ResolveBranch, request, timeout, Kind::kMutation);
  }
  Result<v1::OperatorReply> OperateOne(const v1::ForgetRequest& request, Timeout timeout) {
    return Call(&Stub::Forget, request, timeout, Kind::kMutation);
  }

  // Only these are the coordinator's own answers; every other code may come from a library or a
  // proxy, at any moment, and says nothing of what was done (transaction.proto).
  static bool IsAnswer(Code code) {
    return code == Code::kInvalidArgument || code == Code::kNotFound ||
           code == Code::kAlreadyExists || code == Code::kFailedPrecondition ||
           code == Code::kAborted || code == Code::kOutOfRange || code == Code::kDataLoss;
  }

  Status Translate(const grpc::Status& status, const grpc::ClientContext& context, bool connected,
                   Timeout timeout, Kind kind) const {
    if (status.ok()) return OkStatus();
    const std::string& message = status.error_message();
    const Code code = CodeOf(status.error_code());
    std::string text =
        (message.empty() ? std::string(CodeName(code)) : message) + RetryHint(context);
    if (IsAnswer(code)) return Status(code, text);
    if (code == Code::kDeadlineExceeded) {
      text = endpoint_ + " gave no answer within --timeout";
      if (timeout.has_value()) text += " (" + FormatDuration(timeout->count()) + ")";
    } else if (code == Code::kUnavailable) {
      if (kind == Kind::kQuestion && !connected) return CannotConnect(Cause(message));
      text = endpoint_ + " went away: " + text;
    } else if (kind == Kind::kQuestion &&
               message.find("Received http2 header with status") != std::string::npos) {
      return CannotConnect("what answers there is not a gRPC server (" + message + ")");
    }
    if (kind == Kind::kQuestion || code == Code::kPermissionDenied) return Status(code, text);
    return UnknownOutcome(text + "; it may or may not have been done");
  }

  std::string endpoint_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace

std::unique_ptr<Service> Connect(const std::string& endpoint) {
  return std::make_unique<GrpcService>(endpoint);
}

}  // namespace assent::ctl
