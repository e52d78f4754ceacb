// Plain echo by gRPC, for `tools/measure.sh languages`: what its C++ library does with bytes that
// nobody looks into, and the caller that asks the same of every language's library.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "tools/assent-bench/child.h"
#include "tools/assent-bench/options.h"
#include "tools/assent-bench/tally.h"

namespace assent::bench {
namespace {

using Clock = Tally::Clock;

// An echoing server knows both by these names.
constexpr const char* kUnaryMethod = "/assent.bench.Echo/Unary";
constexpr const char* kStreamMethod = "/assent.bench.Echo/Stream";
// As large as a command of the transactions beside it.
constexpr std::size_t kMessageBytes = 96;

void BlockStop() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

grpc::ByteBuffer Message() {
  const grpc::Slice bytes(std::string(kMessageBytes, 'm'));
  return {&bytes, 1};
}

// Each message of the call goes back, be it one or many.
class Echoing final : public grpc::ServerGenericBidiReactor {
 public:
  Echoing() { StartRead(&message_); }

 private:
  void OnReadDone(bool ok) override { ok ? StartWrite(&message_) : Finish(grpc::Status::OK); }
  void OnWriteDone(bool ok) override { ok ? StartRead(&message_) : Finish(grpc::Status::OK); }
  void OnDone() override { delete this; }

  grpc::ByteBuffer message_;
};

class EchoService final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Echoing;
  }
};

Result<Report> Answered() {
  Report report;
  report.outcome = Outcome::kCommitted;
  return report;
}

// One unary call after the other.
class Caller {
 public:
  Caller(grpc::GenericStub& stub, Tally& tally, std::atomic<int>& running)
      : stub_(stub), tally_(tally), running_(running), request_(Message()) {}

  void Next() {
    began_ = Clock::now();
    if (began_ >= tally_.end()) {
      running_.fetch_sub(1);
      running_.notify_one();
      return;
    }
    context_ = std::make_unique<grpc::ClientContext>();
    stub_.UnaryCall(
        context_.get(), kUnaryMethod, {}, &request_, &answer_, [this](const grpc::Status& status) {
          tally_.Add(began_, status.ok() ? Answered() : Unavailable(status.error_message()));
          Next();
        });
  }

 private:
  grpc::GenericStub& stub_;
  Tally& tally_;
  std::atomic<int>& running_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
  std::unique_ptr<grpc::ClientContext> context_;
  Clock::time_point began_;
};

// One stream with a number of messages under way; answers come in the order of the messages.
class Conversation final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Conversation(grpc::GenericStub& stub, Tally& tally, int in_flight)
      : tally_(tally), due_(in_flight), request_(Message()) {
    stub.PrepareBidiStreamingCall(&context_, kStreamMethod, {}, this);
    AddHold();  // until the last message was written
    StartRead(&answer_);
    StartCall();
    Write();
  }
  void WaitEnd() {
    const MutexLock lock(mutex_);
    while (!ended_) done_.Wait(mutex_);
  }

 private:
  // The next message, if one is due and none is being written.
  void Write() {
    bool over = false;
    {
      const MutexLock lock(mutex_);
      if (writing_ || closed_) return;
      over = Clock::now() >= tally_.end();
      if (over) {
        closed_ = true;
      } else if (due_ == 0) {
        return;
      } else {
        --due_;
        writing_ = true;
        sent_.push_back(Clock::now());
      }
    }
    if (!over) return StartWrite(&request_);
    StartWritesDone();
    RemoveHold();
  }
  void OnWriteDone(bool) override {
    {
      const MutexLock lock(mutex_);
      writing_ = false;
    }
    Write();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    Clock::time_point began;
    {
      const MutexLock lock(mutex_);
      began = sent_.front();
      sent_.pop_front();
      ++due_;
    }
    tally_.Add(began, Answered());
    StartRead(&answer_);
    Write();
  }
  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) tally_.Add(Clock::now(), Unavailable(status.error_message()));
    const MutexLock lock(mutex_);
    ended_ = true;
    done_.NotifyAll();
  }

  Tally& tally_;
  grpc::ClientContext context_;
  Mutex mutex_;
  CondVar done_;
  int due_ ASSENT_GUARDED_BY(mutex_);  // messages that may be sent
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
  bool ended_ ASSENT_GUARDED_BY(mutex_) = false;
  std::deque<Clock::time_point> sent_ ASSENT_GUARDED_BY(mutex_);
  const grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
};

}  // namespace

int RunEchoServer(const std::string& listen) {
  BlockStop();
  EchoService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials());
  builder.RegisterCallbackGenericService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  SayAndStay({{"echo", listen}});
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

int RunEchoCaller(const Load& load, const std::string& endpoint) {
  BlockStop();
  const auto channel = grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  const auto from = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(load.warmup_seconds));
  Tally tally(from, from + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(load.seconds)));
  std::thread herald([&] {
    PassUntil(tally.begin());
    std::printf("measuring\n");
    std::fflush(stdout);
  });
  if (load.workload == "stream") {
    Conversation(stub, tally, load.in_flight).WaitEnd();
  } else {
    std::deque<Caller> callers;
    std::atomic<int> running = load.in_flight;
    for (int i = 0; i < load.in_flight; ++i) callers.emplace_back(stub, tally, running);
    for (Caller& caller : callers) caller.Next();
    for (int left = running; left > 0; left = running) running.wait(left);
  }
  herald.join();
  SayAndStay(tally.ToJson());
  return 0;
}

}  // namespace assent::bench
