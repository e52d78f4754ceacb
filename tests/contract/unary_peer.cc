#include "tests/contract/unary_peer.h"

#include <utility>

#include "proto/parse/parse.h"
#include "tests/contract/bytes.h"
#include "tests/contract/limits.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

constexpr char kMethod[] = "/assent.v1.Participant/Execute";
constexpr int kBackoffMs = 20;

const char* CodeNameOf(grpc::StatusCode code) {
  constexpr const char* kNames[] = {"OK",
                                    "CANCELLED",
                                    "UNKNOWN",
                                    "INVALID_ARGUMENT",
                                    "DEADLINE_EXCEEDED",
                                    "NOT_FOUND",
                                    "ALREADY_EXISTS",
                                    "PERMISSION_DENIED",
                                    "RESOURCE_EXHAUSTED",
                                    "FAILED_PRECONDITION",
                                    "ABORTED",
                                    "OUT_OF_RANGE",
                                    "UNIMPLEMENTED",
                                    "INTERNAL",
                                    "UNAVAILABLE",
                                    "DATA_LOSS",
                                    "UNAUTHENTICATED"};
  return code >= 0 && code <= grpc::StatusCode::UNAUTHENTICATED ? kNames[code]
                                                                : "a code of its own";
}

// A channel of gRPC 1.51 that goes while it dials ends the process at times ("assertion failed:
// prior > 0"): none goes before the process does.
void Keep(std::shared_ptr<grpc::Channel> channel) {
  static auto* const kept = new std::vector<std::shared_ptr<grpc::Channel>>();
  kept->push_back(std::move(channel));
}

}  // namespace

struct UnaryPeer::Call {
  v1::BranchCommand command;
  bool raw = false;
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  std::promise<Answer> answer;
};

bool UnaryPeer::WaitReachable(std::chrono::milliseconds timeout) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kBackoffMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kBackoffMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (channel_ == nullptr) {
    channel_ = grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments);
    stub_ = std::make_shared<grpc::GenericStub>(channel_);
    Keep(channel_);
  }
  return channel_->WaitForConnected(std::chrono::system_clock::now() + timeout);
}

void UnaryPeer::Forget() {
  LoseAnswers();
  const auto none = [this] {
    const MutexLock lock(shared_->mutex);
    return shared_->calls.empty();
  };
  test::WaitUntil(none, patience_);
  // What is connected still will have noticed soon: nobody is there.
  if (channel_ != nullptr && channel_->GetState(false) == GRPC_CHANNEL_READY)
    channel_->WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() + patience_);
}

std::future<Answer> UnaryPeer::Send(v1::BranchCommand command) {
  auto call = std::make_shared<Call>();
  if (!command.traceparent().empty()) {
    call->context.AddMetadata("traceparent", command.traceparent());
    if (!command.tracestate().empty())
      call->context.AddMetadata("tracestate", command.tracestate());
  }
  const std::string bytes = command.SerializeAsString();
  call->command = std::move(command);
  auto answer = call->answer.get_future();
  Begin(std::move(call), bytes);
  return answer;
}

void UnaryPeer::SendBytes(std::string bytes) {
  auto call = std::make_shared<Call>();
  call->raw = true;
  Begin(std::move(call), bytes);
}

void UnaryPeer::Begin(std::shared_ptr<Call> call, const std::string& bytes) {
  if (stub_ == nullptr) {
    call->answer.set_value({std::nullopt, "not connected"});
    return;
  }
  call->request = BufferOf(bytes);
  call->context.set_deadline(std::chrono::system_clock::now() + patience_);
  {
    const MutexLock lock(shared_->mutex);
    shared_->calls.insert(call);
  }
  Call* const plain = call.get();
  // The stub stays until its last call is done.
  stub_->UnaryCall(
      &plain->context, kMethod, {}, &plain->request, &plain->response,
      [call = std::move(call), shared = shared_, stub = stub_](const grpc::Status& status) {
        Answer answer;
        v1::BranchReply reply;
        std::vector<Fault> faults;
        if (!status.ok()) {
          answer.why = std::string(CodeNameOf(status.error_code())) + " " + status.error_message();
        } else {
          std::string answered = StringOf(call->response);
          for (const std::string& field :
               wire::MendText(*v1::BranchReply::descriptor(), answered).fields)
            faults.push_back({"text in a reply is UTF-8", field + " is not"});
          if (!reply.ParseFromString(answered)) {
            answer.why = "the reply is no BranchReply";
          } else {
            if (!call->raw) {
              for (Fault& fault : ReplyFaults(call->command, reply))
                faults.push_back(std::move(fault));
            }
            answer.reply = std::move(reply);
          }
        }
        {
          const MutexLock lock(shared->mutex);
          shared->calls.erase(call);
          for (Fault& fault : faults) {
            if (shared->faults.size() < kMaxFaultsPerRuleCount)
              shared->faults.push_back(std::move(fault));
          }
        }
        call->answer.set_value(std::move(answer));
      });
}

void UnaryPeer::LoseAnswers() {
  std::set<std::shared_ptr<Call>> calls;
  {
    const MutexLock lock(shared_->mutex);
    calls = shared_->calls;
  }
  for (const std::shared_ptr<Call>& call : calls) call->context.TryCancel();
}

std::size_t UnaryPeer::MaxAtOnce() { return kMaxUnaryAtOnceCount; }

std::vector<Fault> UnaryPeer::TakeFaults() {
  const MutexLock lock(shared_->mutex);
  return std::exchange(shared_->faults, {});
}

}  // namespace assent::contract
