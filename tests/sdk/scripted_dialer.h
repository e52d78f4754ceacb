#pragma once

// Streams without gRPC, for tests of the shells (and for ThreadSanitizer, which does not get on
// with gRPC): the test plays the coordinator, on threads of its choice.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message_lite.h>

#include <assent/status.h>

#include "participant-sdk/cpp/src/stream.h"

namespace assent::testing {

// One stream. Reports are given on a thread of its own, as a completion queue's would be, in order.
class ScriptedStream final : public internal::Stream,
                             public std::enable_shared_from_this<ScriptedStream> {
 public:
  explicit ScriptedStream(std::shared_ptr<internal::StreamListener> listener)
      : listener_(std::move(listener)) {}
  ~ScriptedStream() override { Join(); }
  // Ends its thread, when all that was to be reported has been.
  void Join() {
    if (!thread_.joinable()) return;
    Push({});
    thread_.join();
  }

  // The SDK's side.
  void Start() override {
    Report([](internal::StreamListener& l) { l.OnStarted(); });
  }
  void Write(const google::protobuf::MessageLite& frame) override {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      written_.push_back(frame.SerializeAsString());
    }
    changed_.notify_all();
    Report([](internal::StreamListener& l) { l.OnWritten(); });
  }
  void HalfClose() override { Close(OkStatus()); }
  void Cancel() override { Close({Code::kCancelled, "cancelled"}); }

  // The test's side.
  void Send(const google::protobuf::MessageLite& frame) { SendBytes(frame.SerializeAsString()); }
  void SendBytes(std::string bytes) {
    Report([bytes = std::move(bytes)](internal::StreamListener& l) {
      google::protobuf::io::ArrayInputStream in(bytes.data(), static_cast<int>(bytes.size()));
      l.OnMessage(&in);
    });
  }
  void Close(Status why) {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(closed_, true)) return;
    }
    changed_.notify_all();
    Push([this, why = std::move(why)] {
      const std::shared_ptr<internal::StreamListener> listener = std::move(listener_);
      listener->OnClosed(why);
    });
  }
  // The next frame that the SDK has written; false when it is closed or nothing comes.
  template <typename Frame>
  bool Receive(Frame* frame) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10),
                      [this] { return closed_ || !written_.empty(); });
    if (written_.empty()) return false;
    const std::string bytes = std::move(written_.front());
    written_.pop_front();
    return frame->ParseFromString(bytes);
  }

 private:
  void Report(std::function<void(internal::StreamListener&)> report) {
    Push([this, report = std::move(report)] {
      if (listener_) report(*listener_);
    });
  }
  void Push(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_all();
  }
  void Run() {
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !tasks_.empty(); });
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      if (!task) return;
      task();
    }
  }

  std::shared_ptr<internal::StreamListener> listener_;  // the thread's; null once closed
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  std::deque<std::string> written_;
  std::deque<std::function<void()>> tasks_;
  std::thread thread_{[this] { Run(); }};
};

// Hands each stream it opens to the test. Streams live as long as it does.
class ScriptedDialer final : public internal::Dialer {
 public:
  struct Shared {
    std::mutex mutex;
    std::condition_variable opened;
    std::deque<std::shared_ptr<ScriptedStream>> streams;
    std::size_t taken = 0;

    // Before the streams go: their threads hold what they report to, and it them.
    void Join() {
      for (const auto& stream : streams) stream->Join();
    }
    // The next dial; null when none comes.
    std::shared_ptr<ScriptedStream> Next() {
      std::unique_lock lock(mutex);
      if (!opened.wait_for(lock, std::chrono::seconds(10),
                           [this] { return taken < streams.size(); }))
        return nullptr;
      return streams[taken++];
    }
  };
  explicit ScriptedDialer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<internal::Stream> Open(
      std::shared_ptr<internal::StreamListener> listener) override {
    auto stream = std::make_shared<ScriptedStream>(std::move(listener));
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->streams.push_back(stream);
    }
    shared_->opened.notify_all();
    return stream;
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace assent::testing
