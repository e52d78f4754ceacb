#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>

#include <assent/limits.h>
#include <assent/participant.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/src/action_table.h"
#include "participant-sdk/cpp/src/endpoint.h"
#include "participant-sdk/cpp/src/grpc_channel.h"
#include "participant-sdk/cpp/src/grpc_dialer.h"
#include "participant-sdk/cpp/src/participant_shell.h"
#include "participant-sdk/cpp/src/seed.h"
#include "participant-sdk/cpp/src/termination.h"
#include "participant-sdk/cpp/src/text.h"

namespace assent {
namespace {

constexpr const char* kConnectMethod = "/assent.v1.ParticipantSession/Connect";
constexpr const char* kWatchMethod = "/assent.v1.ClusterService/Watch";

// One to each coordinator, for as long as somebody uses it.
class Channels {
 public:
  explicit Channels(internal::Dialling dialling) : dialling_(std::move(dialling)) {}

  std::shared_ptr<grpc::Channel> To(const std::string& endpoint) {
    const MutexLock lock(mutex_);
    std::erase_if(channels_, [](const auto& channel) { return channel.second.expired(); });
    std::shared_ptr<grpc::Channel> channel = channels_[endpoint].lock();
    if (!channel) {
      channel = internal::MakeChannel(endpoint, dialling_);
      channels_[endpoint] = channel;
    }
    return channel;
  }

 private:
  const internal::Dialling dialling_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<grpc::Channel>> channels_ ASSENT_GUARDED_BY(mutex_);
};

std::string DefaultInstance() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return CleanText(host.data(), 96) + ":" + std::to_string(getpid());
}

// Fills in what was left to us, and says what cannot work.
Status Complete(ParticipantOptions& options) {
  if (Status s = internal::CheckName("service", options.service, kServiceRule); !s.ok()) return s;
  if (options.endpoints.empty()) options.endpoints = internal::DefaultEndpoints();
  for (const std::string& endpoint : options.endpoints) {
    if (Status s = internal::CheckEndpoint("endpoint", endpoint); !s.ok()) return s;
  }
  if (options.instance.empty()) options.instance = DefaultInstance();
  if (options.instance.size() > limits::kMaxInstanceNameBytes) {
    return InvalidArgument("instance has " + std::to_string(options.instance.size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxInstanceNameBytes));
  }
  if (CleanText(options.instance, options.instance.size()) != options.instance)
    return InvalidArgument("instance is not UTF-8");
  if (options.worker_threads == 0)
    options.worker_threads = std::max(1U, std::thread::hardware_concurrency());
  if (options.max_in_flight == 0)
    return InvalidArgument("max_in_flight is 0; it must be at least 1");
  if (options.max_queued_calls == 0)
    return InvalidArgument("max_queued_calls is 0; it must be at least 1");
  if (options.question_interval.count() <= 0)
    return InvalidArgument("question_interval must be more than 0");
  return OkStatus();
}

}  // namespace

class Participant::Impl {
 public:
  explicit Impl(ParticipantOptions given) : options(std::move(given)) {}

  Status Start() {
    const MutexLock lock(mutex);
    if (started) return FailedPrecondition("the participant was started before; make a new one");
    if (!actions.status().ok()) return actions.status();
    if (actions.Actions().empty())
      return InvalidArgument("no action is registered, so nothing could ever be asked");
    if (Status s = Complete(options); !s.ok()) return s;
    auto dialling =
        internal::MakeDialling(options.tls, options.token, options.endpoints, options.keepalive);
    if (!dialling.ok()) return dialling.status();
    started = true;
    const auto channels = std::make_shared<Channels>(std::move(dialling).value());
    const auto dialer_of = [channels, loop = internal::MakeStreamLoop()](const char* method) {
      return [=](const std::string& endpoint) {
        return internal::MakeGrpcDialer(loop, channels->To(endpoint), method);
      };
    };
    internal::ParticipantShell::Dialers dialers;
    dialers.session = dialer_of(kConnectMethod);
    dialers.watch = dialer_of(kWatchMethod);
    shell = std::make_shared<internal::ParticipantShell>(options, std::move(dialers), &actions,
                                                         internal::RandomSeed());
    shell->Start();
    return OkStatus();
  }

  // The shell, if there is one.
  std::shared_ptr<internal::ParticipantShell> Shell() const {
    const MutexLock lock(mutex);
    return shell;
  }

  void Stop() {
    stopped.Notify();
    if (const auto running = Shell()) {
      std::call_once(stop_once, [&] { running->Stop(); });
    }
  }

  ParticipantOptions options;
  internal::ActionTable actions;
  internal::Termination stopped;

  mutable Mutex mutex;
  bool started ASSENT_GUARDED_BY(mutex) = false;
  std::shared_ptr<internal::ParticipantShell> shell ASSENT_GUARDED_BY(mutex);
  std::once_flag stop_once;
};

Participant::Participant(ParticipantOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

Participant::~Participant() {
  Stop();
  if (const auto shell = impl_->Shell()) shell->Join();
}

Participant& Participant::TwoPhase(std::string action, TwoPhaseHandlers handlers) {
  impl_->actions.Add(Protocol::kTwoPhase, std::move(action), std::move(handlers.prepare),
                     std::move(handlers.commit), std::move(handlers.rollback));
  return *this;
}

Participant& Participant::Tcc(std::string action, TccHandlers handlers) {
  impl_->actions.Add(Protocol::kTcc, std::move(action), std::move(handlers.try_),
                     std::move(handlers.confirm), std::move(handlers.cancel));
  return *this;
}

Participant& Participant::Saga(std::string action, SagaHandlers handlers) {
  impl_->actions.Add(Protocol::kSaga, std::move(action), std::move(handlers.action), {},
                     std::move(handlers.compensate));
  return *this;
}

Participant& Participant::Attach(Resource& resource) {
  impl_->actions.Attach(resource);
  return *this;
}

Status Participant::Start() { return impl_->Start(); }

Status Participant::WaitConnected(std::chrono::milliseconds timeout) {
  const auto shell = impl_->Shell();
  if (!shell) return FailedPrecondition("the participant has not been started");
  return shell->WaitConnected(timeout);
}

void Participant::Stop() { impl_->Stop(); }

Status Participant::Run() {
  Result<internal::SignalGuard> signals = internal::SignalGuard::Take(impl_->stopped);
  if (!signals.ok()) return signals.status();
  if (Status s = Start(); !s.ok()) return s;
  impl_->stopped.Wait();
  Stop();
  return OkStatus();
}

Resource& Participant::AsResource() { return impl_->actions; }

const std::string& Participant::service() const { return impl_->options.service; }

ParticipantStats Participant::Stats() const {
  const auto shell = impl_->Shell();
  return shell ? shell->Stats() : ParticipantStats{};
}

}  // namespace assent
