#include "coordinator/transport/unary_dialer.h"

#include <atomic>
#include <cctype>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/limits.h>

#include "assent/v1/participant.grpc.pb.h"
#include "coordinator/base/clock.h"
#include "coordinator/base/thread_name.h"
#include "coordinator/core/text.h"
#include "coordinator/transport/wire.h"

namespace assent::transport {
namespace {

// How long the wait for a channel's next state goes on at a time; bounds how long closing takes.
constexpr std::chrono::milliseconds kWatchSlice(300);

// Calls that are judged and handed on together at most.
constexpr std::size_t kMaxEndedTogetherCount = 256;

std::string CodeText(grpc::StatusCode code) {
  return std::string(CodeName(static_cast<Code>(code)));
}

// An error in words for people. gRPC's for a refused connection are "failed to connect to all addresses; last error:
// UNKNOWN: ipv4:...: Failed to connect to remote host: Connection refused".
std::string ErrorText(const grpc::Status& status, const std::string& address) {
  const std::string message = core::CleanReason(status.error_message());
  std::string text = CodeText(status.error_code()) + ": ";
  const std::size_t last_part = message.rfind(": ");
  if (message.rfind("failed to connect to all addresses", 0) != 0 ||
      last_part == std::string::npos) {
    return text + message;
  }
  std::string cause = message.substr(last_part + 2);
  if (!cause.empty())
    cause[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(cause[0])));
  return text + "cannot connect to " + address + ": " + cause;
}

// gRPC's channel says so when it had no connection to give the call to: no byte of it left. A call that was on a connection
// ends in other words ("Socket closed", "Connection reset by peer").
bool CertainlyNotSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().rfind("failed to connect to all addresses", 0) == 0;
}

Reply ReplyTo(const Command& command, core::AttemptResult result, std::string reason) {
  return {command.gid, command.branch,    command.operation, command.attempt, result,
          {},          std::move(reason), core::Millis(0)};
}

}  // namespace

// One completion queue and one thread that empties it: what has ended meanwhile is judged and handed on together, so that a
// busy coordinator is woken once for many answers.
struct UnaryDialer::Impl {
  // What the queue gives back.
  struct Event {
    virtual ~Event() = default;
  };
  struct Target final : Event {
    Target(const std::string* s, std::string a, std::shared_ptr<grpc::Channel> c)
        : service(s),
          address(std::move(a)),
          channel(std::move(c)),
          stub(v1::Participant::NewStub(channel)) {}
    const std::string* service;
    const std::string address;
    const std::shared_ptr<grpc::Channel> channel;
    const std::unique_ptr<v1::Participant::Stub> stub;
    std::size_t in_flight = 0;  // guarded by mutex
    // Guarded by mutex: when it was last connected; none if it cannot be reached.
    std::optional<core::WallTime> connected_at;
  };
  struct Service {
    std::vector<std::unique_ptr<Target>> targets;
    // With the moment its sender gives up on it.
    std::deque<std::pair<core::MonoTime, Command>> queue;
    std::size_t next = 0;
  };
  // One call under way.
  struct Call final : Event {
    Command command;
    Service* service = nullptr;
    Target* target = nullptr;
    grpc::ClientContext context;
    v1::BranchReply reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::BranchReply>> reader;
  };

  Impl(UnaryDialerOptions o, Receiver& r) : options(std::move(o)), receiver(r) {
    for (const auto& [name, addresses] : options.services) {
      const auto place = services.try_emplace(name).first;
      for (const std::string& address : addresses) {
        grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxFrameBytes));
        arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
        arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
        // Who asks again, and when, is the transaction's business.
        arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
        place->second.targets.push_back(std::make_unique<Target>(
            &place->first, address,
            grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
      }
    }
  }

  // Under the mutex: takes from the queue what there is room for. It is then for Run, without the mutex.
  void StartWaiting(Service& service, std::vector<Call*>& started) {
    while (!service.queue.empty() && !closing) {
      if (service.queue.front().first <= base::MonoNow()) {
        service.queue.pop_front();
        continue;
      }
      Target* free = nullptr;
      for (std::size_t tried = 0; tried < service.targets.size() && free == nullptr; ++tried) {
        Target& target = *service.targets[service.next++ % service.targets.size()];
        if (target.in_flight < options.max_in_flight_per_target_count) free = &target;
      }
      if (free == nullptr) return;
      auto call = std::make_unique<Call>();
      call->command = std::move(service.queue.front().second);
      call->service = &service;
      call->target = free;
      service.queue.pop_front();
      ++free->in_flight;
      started.push_back(call.get());
      calls.insert(call.release());
    }
  }

  void Run(const std::vector<Call*>& started) {
    v1::BranchCommand request;
    for (Call* call : started) {
      request.Clear();
      ToWire(call->command, 0, coordinator_id, request);
      call->context.set_deadline(std::chrono::system_clock::now() + call->command.timeout);
      call->reader = call->target->stub->AsyncExecute(&call->context, request, &queue);
      call->reader->Finish(&call->reply, &call->status, static_cast<Event*>(call));
    }
  }

  // What the end of a call means. Only a reply about this very command counts; and no error is a no, except that of a
  // server that says it has no such method, to the first forward attempt. Later it says nothing: an earlier attempt may have
  // reached a server that had the method, and a proxy's 404 is UNIMPLEMENTED too.
  static Reply Judge(Call& call) {
    const Command& command = call.command;
    if (!call.status.ok()) {
      const bool refused = call.status.error_code() == grpc::StatusCode::UNIMPLEMENTED &&
                           IsFirstForwardAttempt(command);
      return ReplyTo(command,
                     refused                         ? core::AttemptResult::kRefused
                     : CertainlyNotSent(call.status) ? core::AttemptResult::kNotSent
                                                     : core::AttemptResult::kUnknown,
                     ErrorText(call.status, call.target->address));
    }
    SessionReply said = FromWire(std::move(call.reply));
    if (said.gid != command.gid || said.branch_id != command.branch_id ||
        said.operation != command.operation) {
      return ReplyTo(command, core::AttemptResult::kUnknown,
                     "answered about another gid, branch or operation");
    }
    if (said.bytes.size() > limits::kMaxResultBytes) {
      return ReplyTo(command, core::AttemptResult::kUnknown,
                     "the result has " + std::to_string(said.bytes.size()) +
                         " bytes, the limit is " + std::to_string(limits::kMaxResultBytes));
    }
    Reply reply = ReplyTo(command, said.result, std::string(core::CutReason(said.reason)));
    reply.bytes = std::move(said.bytes);
    reply.retry_after = said.retry_after;
    reply.blocked_by = std::move(said.blocked_by);
    return reply;
  }

  // gRPC makes progress on a lost connection only while somebody waits for it (otherwise every 5 s). So there is always one
  // wait for each channel's next state, for as long as the dialer lives.
  void Watch(Target* target) {
    bool appeared = false;
    {
      const std::lock_guard lock(mutex);
      if (closing) return;
      const auto state = target->channel->GetState(/*try_to_connect=*/true);
      const bool ready = state == GRPC_CHANNEL_READY;
      appeared = ready && !target->connected_at;
      if (appeared) target->connected_at = base::WallNow();
      if (!ready) target->connected_at.reset();
      target->channel->NotifyOnStateChange(state, std::chrono::system_clock::now() + kWatchSlice,
                                           &queue, static_cast<Event*>(target));
    }
    if (appeared) receiver.OnServiceAppeared(*target->service);
  }

  void EmptyQueue() {
    base::NameThisThread("assent-unary");
    for (auto& [name, service] : services) {
      for (auto& target : service.targets) Watch(target.get());
    }
    void* tag = nullptr;
    bool ok = false;
    std::vector<Call*> ended;
    while (queue.Next(&tag, &ok)) {
      do {
        auto* event = static_cast<Event*>(tag);
        if (auto* call = dynamic_cast<Call*>(event)) {
          ended.push_back(call);
        } else {
          Watch(static_cast<Target*>(event));
        }
      } while (ended.size() < kMaxEndedTogetherCount &&
               queue.AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC)) ==
                   grpc::CompletionQueue::GOT_EVENT);
      if (!ended.empty()) Ended(std::exchange(ended, {}));
    }
  }

  void Ended(const std::vector<Call*>& ended) {
    std::vector<Reply> replies;
    replies.reserve(ended.size());
    for (Call* call : ended) replies.push_back(Judge(*call));
    std::vector<Call*> started;
    {
      const std::lock_guard lock(mutex);
      for (Call* call : ended) {
        --call->target->in_flight;
        calls.erase(call);
        StartWaiting(*call->service, started);
      }
      if (calls.empty()) idle.notify_all();
    }
    for (Call* call : ended) delete call;
    if (!closing) receiver.OnReplies(std::move(replies));
    Run(started);
  }

  const UnaryDialerOptions options;
  Receiver& receiver;
  std::uint32_t coordinator_id = 0;  // set before the first Send
  // The map is fixed after construction; queues and counts are guarded by mutex.
  std::map<std::string, Service> services;
  mutable std::mutex mutex;
  std::condition_variable idle;
  std::unordered_set<Call*> calls;  // guarded by mutex
  std::atomic<bool> closing = false;
  grpc::CompletionQueue queue;
  std::thread thread;
};

UnaryDialer::UnaryDialer(UnaryDialerOptions options, Receiver& receiver)
    : impl_(std::make_unique<Impl>(std::move(options), receiver)) {
  if (!impl_->services.empty())
    impl_->thread = std::thread([impl = impl_.get()] { impl->EmptyQueue(); });
}

UnaryDialer::~UnaryDialer() {
  {
    std::unique_lock lock(impl_->mutex);
    impl_->closing = true;
    for (Impl::Call* call : impl_->calls) call->context.TryCancel();
    impl_->idle.wait(lock, [&] { return impl_->calls.empty(); });
  }
  impl_->queue.Shutdown();
  if (impl_->thread.joinable()) impl_->thread.join();
}

void UnaryDialer::Open(std::uint32_t coordinator_id) { impl_->coordinator_id = coordinator_id; }

bool UnaryDialer::empty() const { return impl_->services.empty(); }

bool UnaryDialer::Serves(const std::string& service) const {
  return impl_->services.count(service) != 0;
}

void UnaryDialer::Send(std::vector<Command> commands) {
  std::vector<Reply> refused;
  std::vector<Impl::Call*> started;
  {
    const std::lock_guard lock(impl_->mutex);
    for (Command& command : commands) {
      Impl::Service& service = impl_->services.at(command.service);
      if (service.queue.size() >= impl_->options.max_queued_count) {
        refused.push_back(ReplyTo(command, core::AttemptResult::kNotSent,
                                  "participant " + command.service +
                                      " is overloaded: " + std::to_string(service.queue.size()) +
                                      " commands wait for it"));
        continue;
      }
      const core::MonoTime expires_at = base::MonoNow() + command.timeout;
      service.queue.emplace_back(expires_at, std::move(command));
      impl_->StartWaiting(service, started);
    }
  }
  if (!refused.empty()) impl_->receiver.OnReplies(std::move(refused));
  impl_->Run(started);
}

std::vector<ServiceInfo> UnaryDialer::List(const std::string& prefix) const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<ServiceInfo> list;
  for (const auto& [name, service] : impl_->services) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    ServiceInfo info{name, {}, {}, service.queue.size()};
    for (const auto& target : service.targets) {
      info.instances.push_back({target->address,
                                target->address,
                                {},
                                target->connected_at.value_or(core::WallTime{}),
                                target->in_flight,
                                true});
    }
    list.push_back(std::move(info));
  }
  return list;
}

}  // namespace assent::transport
