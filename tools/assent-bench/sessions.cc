// Sessions that say hello and then nothing: for what a coordinator uses at rest, and for
// transactions that never get an answer.

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "assent/v1/participant.grpc.pb.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {
namespace {

class Welcomed {
 public:
  void One() {
    const MutexLock lock(mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  void WaitFor(int count) {
    const MutexLock lock(mutex_);
    while (count_ < count) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int count_ ASSENT_GUARDED_BY(mutex_) = 0;
};

class SilentSession final
    : public grpc::ClientBidiReactor<v1::ParticipantFrame, v1::CoordinatorFrame> {
 public:
  SilentSession(const std::string& endpoint, const std::string& service, Welcomed& welcomed)
      : welcomed_(welcomed) {
    // As the SDK dials: a connection of its own, probed every 20 s.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    stub_ = v1::ParticipantSession::NewStub(
        grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments));
    v1::Hello& hello = *hello_.mutable_hello();
    hello.set_version(1);
    hello.set_service(service);
    hello.set_agent("assent-bench");
    hello.set_max_in_flight(65'536);
    for (const v1::Protocol protocol : {v1::TCC, v1::TWO_PHASE, v1::SAGA}) {
      v1::ActionInfo& action = *hello.add_actions();
      action.set_name("act");
      action.set_protocol(protocol);
    }
    stub_->async()->Connect(&context_, this);
    StartWrite(&hello_);
    StartRead(&frame_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (frame_.has_welcome()) welcomed_.One();
    frame_.Clear();
    StartRead(&frame_);
  }
  void OnDone(const grpc::Status& status) override {
    std::fprintf(stderr, "silent session ended: %s\n", status.error_message().c_str());
  }

 private:
  Welcomed& welcomed_;
  std::unique_ptr<v1::ParticipantSession::Stub> stub_;
  grpc::ClientContext context_;
  v1::ParticipantFrame hello_;
  v1::CoordinatorFrame frame_;
};

}  // namespace

int RunSilentSessions(int sessions, int number, const std::string& endpoint) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  Welcomed welcomed;
  std::vector<std::unique_ptr<SilentSession>> all;
  for (int i = 0; i < sessions; ++i) {
    all.push_back(
        std::make_unique<SilentSession>(endpoint, "bench-" + std::to_string(number), welcomed));
  }
  welcomed.WaitFor(sessions);
  std::printf("ready\n");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  _exit(0);
}

}  // namespace assent::bench
