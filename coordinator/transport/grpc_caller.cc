#include "coordinator/transport/grpc_caller.h"

#include <atomic>
#include <cctype>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <assent/limits.h>
#include <assent/text.h>
#include <assent/thread_safety.h>

#include "assent/v1/participant.grpc.pb.h"
#include "coordinator/base/thread_name.h"
#include "coordinator/transport/wire.h"
#include "proto/tls/uncompressed.h"

namespace assent::transport {
namespace {

const char kExecute[] = "/assent.v1.Participant/Execute";
const char kHealth[] = "/grpc.health.v1.Health/Check";
// HealthCheckResponse{status: NOT_SERVING}, which has no other field.
constexpr std::string_view kNotServing("\x08\x02", 2);

// How long the wait for a channel's next state goes on at a time: how it stands is told as often.
constexpr std::chrono::milliseconds kWatchSlice(300);
constexpr std::chrono::seconds kProbeTimeout(1);

// Calls that are handed on together at most.
constexpr std::size_t kMaxEndedTogetherCount = 256;

// gRPC's codes are ours, but for two; and a peer may say any number.
std::string CodeText(grpc::StatusCode code) {
  if (code == grpc::StatusCode::UNKNOWN) return "UNKNOWN";
  if (code == grpc::StatusCode::UNAUTHENTICATED) return "UNAUTHENTICATED";
  if (code < grpc::StatusCode::OK || code > grpc::StatusCode::UNAUTHENTICATED)
    return "code " + std::to_string(static_cast<int>(code));
  return std::string(CodeName(static_cast<Code>(code)));
}

// How a call ended, in words. Whoever wrote them: the participant, something between, or our own
// library.
std::string WordsOf(const grpc::Status& status) {
  return CodeText(status.error_code()) + ": " + CleanText(status.error_message()) +
         (status.error_code() == grpc::StatusCode::UNAVAILABLE ? " (of a call that was sent)" : "");
}

// Why there is no connection. gRPC says "failed to connect to all addresses; last error: UNKNOWN:
// ipv4:...: Failed to connect to remote host: Connection refused".
std::string WhyDown(const grpc::Status& status, const std::string& address) {
  const std::string message = CleanText(status.error_message());
  const std::size_t last_part = message.rfind(": ");
  std::string cause = last_part == std::string::npos ? message : message.substr(last_part + 2);
  if (!cause.empty())
    cause[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(cause[0])));
  return "cannot connect to " + address + (cause.empty() ? "" : ": " + cause);
}

}  // namespace

struct GrpcCaller::Impl {
  // What the queue gives back.
  struct Event {
    virtual ~Event() = default;
    virtual void Happen(Impl& impl) = 0;
  };
  // The end of a wait for the channel's next state. gRPC makes progress on a lost connection only
  // while somebody waits for it (otherwise every 5 s), so there is always one.
  struct Target final : Event, std::enable_shared_from_this<Target> {
    Target(std::size_t n, std::string a, const std::shared_ptr<grpc::Channel>& c)
        : number(n), address(std::move(a)), channel(c), stub(c) {}
    void Happen(Impl& impl) override { impl.Watch(*this); }
    const std::size_t number;
    const std::string address;
    const std::shared_ptr<grpc::Channel> channel;
    grpc::GenericStub stub;
    grpc::Alarm begin;              // brings it to the queue's thread
    std::atomic<bool> left{false};  // removed: nothing is told of it any more
    // The queue's thread's:
    std::shared_ptr<Target> watched;  // itself, while the queue will give it back
    bool probing = false;
    // What it says of itself, on this connection.
    enum class Health : std::uint8_t { kUnknown, kServing, kNotServing } health{};
    std::chrono::steady_clock::time_point asked_at{};
  };
  // A call of the health service.
  struct Question : Event {
    std::shared_ptr<Target> target;
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  };
  // A call that our own library ends at once, for its words: the channel has no connection to give
  // it.
  struct Probe final : Question {
    void Happen(Impl& impl) override {
      const std::unique_ptr<Probe> self(this);
      target->probing = false;
      if (target->left.load() || status.ok() ||
          target->channel->GetState(false) == GRPC_CHANNEL_READY)
        return;
      impl.sink->OnUnreachable(target->number, WhyDown(status, target->address));
    }
  };
  // Whether it serves, of what is said to that on a connection that stands.
  struct Checkup final : Question {
    void Happen(Impl& impl) override {
      const std::unique_ptr<Checkup> self(this);
      target->probing = false;
      if (target->left.load() || target->channel->GetState(false) != GRPC_CHANNEL_READY) return;
      std::vector<grpc::Slice> slices;
      std::string said;
      if (status.ok() && reply.Dump(&slices).ok()) {
        for (const grpc::Slice& slice : slices)
          said.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      }
      target->health = said == kNotServing ? Target::Health::kNotServing : Target::Health::kServing;
      impl.TellHealth(*target);
    }
  };
  struct UnderWay final : Event {
    void Happen(Impl& impl) override { impl.ended.push_back(this); }
    std::size_t target = 0;
    std::uint64_t call = 0;
    grpc::ClientContext context;
    grpc::ByteBuffer reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  };

  std::shared_ptr<grpc::Channel> ChannelTo(const Endpoint& endpoint) const {
    grpc::ChannelArguments arguments;
    tls::TakeNothingCompressed(arguments);
    arguments.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxFrameBytes));
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    // Who asks again, and when, is the transaction's business.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    const bool secure = endpoint.address.rfind(kTlsScheme, 0) == 0;
    ASSENT_CHECK(!secure || credentials != nullptr);  // the settings' check
    if (!endpoint.name.empty() && secure)
      arguments.SetSslTargetNameOverride(endpoint.name);
    else if (!endpoint.name.empty())
      arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, endpoint.name);
    return grpc::CreateCustomChannel(
        secure ? endpoint.address.substr(kTlsScheme.size()) : endpoint.address,
        secure ? credentials : grpc::InsecureChannelCredentials(), arguments);
  }

  void Watch(Target& target) {
    grpc_connectivity_state state = GRPC_CHANNEL_SHUTDOWN;
    {
      const MutexLock lock(mutex);  // the queue is open for as long
      if (closing || target.left.load()) {
        const std::shared_ptr<Target> last = std::exchange(target.watched, nullptr);
        return;
      }
      state = target.channel->GetState(/*try_to_connect=*/true);
      target.channel->NotifyOnStateChange(state, std::chrono::system_clock::now() + kWatchSlice,
                                          &queue, static_cast<Event*>(&target));
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) AskWhyDown(target);
      if (state != GRPC_CHANNEL_READY) target.health = Target::Health::kUnknown;
      if (state == GRPC_CHANNEL_READY && options.health_interval.count() > 0) AskHealth(target);
    }
    switch (state) {
      case GRPC_CHANNEL_READY: return TellHealth(target);
      case GRPC_CHANNEL_TRANSIENT_FAILURE: return;  // when there are words for it
      case GRPC_CHANNEL_IDLE:
      case GRPC_CHANNEL_CONNECTING: return sink->OnConnecting(target.number);
      case GRPC_CHANNEL_SHUTDOWN: return;
    }
  }

  // One that is asked is connected once it has answered, which it has for a second.
  void TellHealth(const Target& target) {
    if (options.health_interval.count() == 0 || target.health == Target::Health::kServing)
      return sink->OnConnected(target.number);
    if (target.health == Target::Health::kNotServing)
      sink->OnUnreachable(target.number, target.address + " says that it does not serve");
  }

  void AskHealth(Target& target) ASSENT_REQUIRES(mutex) {
    const auto now = std::chrono::steady_clock::now();
    if (target.health != Target::Health::kUnknown &&
        now < target.asked_at + options.health_interval)
      return;
    if (Ask<Checkup>(target)) target.asked_at = now;
  }

  void AskWhyDown(Target& target) ASSENT_REQUIRES(mutex) { (void)Ask<Probe>(target); }

  // False: it is being asked.
  template <typename Asked>
  bool Ask(Target& target) ASSENT_REQUIRES(mutex) {
    if (std::exchange(target.probing, true)) return false;
    Question* const question = new Asked;
    question->target = target.shared_from_this();
    question->context.set_deadline(std::chrono::system_clock::now() + kProbeTimeout);
    const grpc::Slice nothing;
    question->request = grpc::ByteBuffer(&nothing, 1);
    question->reader =
        target.stub.PrepareUnaryCall(&question->context, kHealth, question->request, &queue);
    question->reader->StartCall();
    question->reader->Finish(&question->reply, &question->status, static_cast<Event*>(question));
    return true;
  }

  void Add(std::size_t number, const Endpoint& endpoint) ASSENT_EXCLUDES(mutex) {
    auto target = std::make_shared<Target>(number, endpoint.address, ChannelTo(endpoint));
    target->watched = target;
    const MutexLock lock(mutex);
    ASSENT_CHECK(targets.emplace(number, target).second);
    target->begin.Set(&queue, std::chrono::system_clock::now(), static_cast<Event*>(target.get()));
  }

  void Remove(std::size_t number) ASSENT_EXCLUDES(mutex) {
    std::shared_ptr<Target> target;  // goes without the lock
    const MutexLock lock(mutex);
    const auto found = targets.find(number);
    target = std::move(found->second);
    targets.erase(found);
    target->left.store(true);
  }

  bool Call(std::size_t number, std::uint64_t id, Command& command) ASSENT_EXCLUDES(mutex) {
    auto call = std::make_unique<UnderWay>();
    call->target = number;
    call->call = id;
    call->context.set_deadline(std::chrono::system_clock::now() + command.timeout);
    std::shared_ptr<Target> target;
    {
      const MutexLock lock(mutex);
      const auto found = targets.find(number);
      if (closing || found == targets.end()) return false;
      target = found->second;
      if (target->channel->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY) return false;
      calls.insert(call.get());
    }
    v1::BranchCommand message;
    ToWire(std::move(command), 0, coordinator_id, message);
    // Where a participant's own tracing looks for it.
    if (!message.traceparent().empty())
      call->context.AddMetadata("traceparent", message.traceparent());
    if (!message.tracestate().empty())
      call->context.AddMetadata("tracestate", message.tracestate());
    grpc::ByteBuffer request;
    bool own = false;
    (void)grpc::SerializationTraits<v1::BranchCommand>::Serialize(message, &request, &own);
    call->reader = target->stub.PrepareUnaryCall(&call->context, kExecute, request, &queue);
    call->reader->StartCall();
    UnderWay* started = call.release();
    started->reader->Finish(&started->reply, &started->status, static_cast<Event*>(started));
    return true;
  }

  static CallEnd EndOf(UnderWay& call) {
    CallEnd end;
    end.target = call.target;
    end.call = call.call;
    if (!call.status.ok()) {
      end.words = WordsOf(call.status);
      return end;
    }
    grpc::ProtoBufferReader reader(&call.reply);
    end.replied = end.reply.ParseFromZeroCopyStream(&reader);
    std::vector<grpc::Slice> slices;
    if (end.replied || !call.reply.Dump(&slices).ok()) return end;
    for (const grpc::Slice& slice : slices)
      end.malformed.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    return end;
  }

  void EmptyQueue() {
    base::NameThisThread("assent-unary");
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
      do {
        static_cast<Event*>(tag)->Happen(*this);
      } while (ended.size() < kMaxEndedTogetherCount &&
               queue.AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC)) ==
                   grpc::CompletionQueue::GOT_EVENT);
      if (!ended.empty()) HandOn(std::exchange(ended, {}));
    }
  }

  void HandOn(const std::vector<UnderWay*>& together) {
    std::vector<CallEnd> ends;
    ends.reserve(together.size());
    for (UnderWay* call : together) ends.push_back(EndOf(*call));
    sink->OnEnded(std::move(ends));
    const MutexLock lock(mutex);
    for (UnderWay* call : together) {
      calls.erase(call);
      delete call;
    }
    if (calls.empty()) idle.NotifyAll();
  }

  std::shared_ptr<grpc::ChannelCredentials> credentials;
  GrpcCallerOptions options;
  std::uint32_t coordinator_id = 0;
  CallSink* sink = nullptr;
  std::vector<UnderWay*> ended;  // the queue's thread's

  Mutex mutex;
  CondVar idle;
  absl::flat_hash_map<std::size_t, std::shared_ptr<Target>> targets ASSENT_GUARDED_BY(mutex);
  std::unordered_set<UnderWay*> calls ASSENT_GUARDED_BY(mutex);
  bool closing ASSENT_GUARDED_BY(mutex) = false;
  grpc::CompletionQueue queue;
  std::thread thread;
};

GrpcCaller::GrpcCaller(std::shared_ptr<grpc::ChannelCredentials> credentials,
                       GrpcCallerOptions options)
    : impl_(std::make_unique<Impl>()) {
  impl_->credentials = std::move(credentials);
  impl_->options = options;
}
GrpcCaller::~GrpcCaller() { Stop(); }

void GrpcCaller::Start(std::uint32_t coordinator_id, CallSink& sink) {
  impl_->coordinator_id = coordinator_id;
  impl_->sink = &sink;
  impl_->thread = std::thread([impl = impl_.get()] { impl->EmptyQueue(); });
}

void GrpcCaller::Add(std::size_t target, const Endpoint& endpoint) { impl_->Add(target, endpoint); }
void GrpcCaller::Remove(std::size_t target) { impl_->Remove(target); }

bool GrpcCaller::Call(std::size_t target, std::uint64_t call, Command& command) {
  return impl_->Call(target, call, command);
}

void GrpcCaller::Stop() {
  if (!impl_->thread.joinable()) return;
  {
    const MutexLock lock(impl_->mutex);
    impl_->closing = true;
    for (Impl::UnderWay* call : impl_->calls) call->context.TryCancel();
    while (!impl_->calls.empty()) impl_->idle.Wait(impl_->mutex);
  }
  impl_->queue.Shutdown();
  impl_->thread.join();
}

}  // namespace assent::transport
