#pragma once

// A stream of the floor: writes whatever has gathered, many messages to a frame, one frame at a
// time; as assentd does.

#include <cstddef>
#include <deque>

#include <grpcpp/grpcpp.h>

#include <assent/limits.h>
#include <assent/thread_safety.h>

namespace assent::bench {

template <typename In, typename Out>
class FloorStream : public grpc::ServerBidiReactor<In, Out> {
 public:
  // Before the first read, and once.
  void Start() { this->StartRead(&in_); }

  // Adds one message of about `bytes` to the frame that waits. Any thread.
  template <typename AddMessage>
  void Push(std::size_t bytes, const AddMessage& add) {
    const MutexLock lock(mutex_);
    if (waiting_.empty() || count_ == limits::kMaxFrameMessagesCount || bytes_ > kMaxBytes) {
      waiting_.emplace_back();
      count_ = 0;
      bytes_ = 0;
    }
    add(waiting_.back());
    ++count_;
    bytes_ += bytes;
  }
  // Starts a write unless one is under way. Any thread.
  void Kick() {
    const MutexLock lock(mutex_);
    if (writing_ || waiting_.empty()) return;
    out_.Clear();
    out_.Swap(&waiting_.front());
    waiting_.pop_front();
    writing_ = true;
    this->StartWrite(&out_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      this->Finish(grpc::Status::OK);
      return;
    }
    OnFrame(in_);
    in_.Clear();
    this->StartRead(&in_);
  }
  void OnWriteDone(bool ok) override {
    {
      const MutexLock lock(mutex_);
      writing_ = false;
    }
    if (ok) Kick();
  }
  void OnDone() override {}  // as many as there are processes: they may stay

  virtual void OnFrame(In& frame) = 0;

 private:
  static constexpr std::size_t kMaxBytes = 1024 * 1024;

  In in_;
  Mutex mutex_;
  std::deque<Out> waiting_ ASSENT_GUARDED_BY(mutex_);
  Out out_ ASSENT_GUARDED_BY(mutex_);                // and gRPC's while writing_
  std::size_t count_ ASSENT_GUARDED_BY(mutex_) = 0;  // of waiting_.back()
  std::size_t bytes_ ASSENT_GUARDED_BY(mutex_) = 0;  // likewise
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace assent::bench
