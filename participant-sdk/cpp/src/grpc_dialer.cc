#include "participant-sdk/cpp/src/grpc_dialer.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>
#include <grpcpp/support/status.h>

#include <assent/thread_safety.h>

#include "participant-sdk/cpp/src/grpc_channel.h"
#include "participant-sdk/cpp/src/own_thread.h"
#include "proto/tls/channel_credentials.h"

namespace assent::internal {
namespace {

// Answered by every server of gRPC that has it, without a right to anything.
constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";

// What a completion queue hands back: one per kind of operation of a stream, since at most one of
// each is under way.
class Tag {
 public:
  virtual void Done(bool ok) = 0;

 protected:
  ~Tag() = default;
};

class GrpcStream;

// The queue, its thread's loop, and how many streams are open on it. Shared with the thread.
struct Loop {
  void Run();
  // No stream is open and none may be opened any more: the queue can be drained and closed.
  void CloseIfDone() ASSENT_REQUIRES(mutex);

  grpc::CompletionQueue queue;
  Mutex mutex;
  std::size_t open_count ASSENT_GUARDED_BY(mutex) = 0;
  bool stopping ASSENT_GUARDED_BY(mutex) = false;
  bool closed ASSENT_GUARDED_BY(mutex) = false;
};

// What a dialer shares with its streams. Locked before the loop.
struct Line {
  Line(std::shared_ptr<Loop> its_loop, std::shared_ptr<grpc::Channel> channel,
       std::string method_name)
      : loop(std::move(its_loop)), stub(std::move(channel)), method(std::move(method_name)) {}

  const std::shared_ptr<Loop> loop;
  grpc::GenericStub stub;
  const std::string method;
  Mutex mutex;
  CondVar closed;
  std::set<GrpcStream*> open ASSENT_GUARDED_BY(mutex);
  bool stopping ASSENT_GUARDED_BY(mutex) = false;
};

// One stream. Kept alive by the operations that are under way, each of which holds a reference
// until its tag is back.
class GrpcStream final : public Stream, public std::enable_shared_from_this<GrpcStream> {
 public:
  GrpcStream(std::shared_ptr<Line> line, std::shared_ptr<StreamListener> listener)
      : line_(std::move(line)), listener_(std::move(listener)) {}

  void Start() override;
  void Write(const google::protobuf::MessageLite& frame) override;
  void HalfClose() override;
  void Cancel() override { context_.TryCancel(); }

 private:
  class Operation final : public Tag {
   public:
    Operation(GrpcStream* stream, void (GrpcStream::*then)(bool)) : stream_(stream), then_(then) {}
    Tag* Begin() {
      keep_ = stream_->shared_from_this();
      return this;
    }
    void Done(bool ok) override {
      const std::shared_ptr<GrpcStream> keep = std::move(keep_);
      (stream_->*then_)(ok);
    }

   private:
    GrpcStream* const stream_;
    void (GrpcStream::*const then_)(bool);
    std::shared_ptr<GrpcStream> keep_;
  };

  // On the loop's thread.
  void OnStarted(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnHalfClosed(bool) {}
  void OnFinished(bool ok);
  void AskWhy();
  void OnWhy(bool);
  void Closed(const Status& why);
  void Finish() ASSENT_REQUIRES(mutex_);

  const std::shared_ptr<Line> line_;
  // The loop's thread's; null once it has reported OnClosed.
  std::shared_ptr<StreamListener> listener_;
  grpc::ClientContext context_;

  Mutex mutex_;  // held over each call that starts an operation
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_ ASSENT_GUARDED_BY(mutex_);
  bool started_ ASSENT_GUARDED_BY(mutex_) = false;    // operations may be begun
  bool finishing_ ASSENT_GUARDED_BY(mutex_) = false;  // and no more
  grpc::ByteBuffer outgoing_ ASSENT_GUARDED_BY(mutex_);
  // gRPC's, while a read or the end is under way; then the loop's thread's.
  grpc::ByteBuffer incoming_;
  grpc::Status status_;

  Operation start_{this, &GrpcStream::OnStarted};
  Operation read_{this, &GrpcStream::OnRead};
  Operation write_{this, &GrpcStream::OnWritten};
  Operation half_close_{this, &GrpcStream::OnHalfClosed};
  Operation finish_{this, &GrpcStream::OnFinished};

  // Of a stream that found no connection: a call that does not wait for one is told why.
  grpc::ClientContext why_context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> why_call_;
  Operation why_{this, &GrpcStream::OnWhy};
};

void GrpcStream::Start() {
  const MutexLock line_lock(line_->mutex);
  // A stream asked for while its dialer goes: its owner has gone or is about to, and no longer
  // waits for a report.
  if (line_->stopping) return;
  line_->open.insert(this);
  {
    const MutexLock loop_lock(line_->loop->mutex);
    ++line_->loop->open_count;
  }
  const MutexLock lock(mutex_);
  // gRPC gets on with connecting only while a call waits for it (its own next look is five seconds
  // away), so ours does.
  context_.set_wait_for_ready(true);
  call_ = line_->stub.PrepareCall(&context_, line_->method, &line_->loop->queue);
  call_->StartCall(start_.Begin());
}

void GrpcStream::OnStarted(bool ok) {
  {
    const MutexLock lock(mutex_);
    if (!ok) return Finish();
    started_ = true;
    call_->Read(&incoming_, read_.Begin());
  }
  listener_->OnStarted();
}

void GrpcStream::Write(const google::protobuf::MessageLite& frame) {
  grpc::ByteBuffer bytes;
  {
    const auto size = static_cast<int>(frame.ByteSizeLong());
    grpc::ProtoBufferWriter writer(&bytes, std::max(size, 1), size);
    ASSENT_CHECK(frame.SerializeToZeroCopyStream(&writer));
  }
  const MutexLock lock(mutex_);
  ASSENT_CHECK(started_);
  if (finishing_) return;
  outgoing_.Swap(&bytes);
  call_->Write(outgoing_, write_.Begin());
}

void GrpcStream::HalfClose() {
  const MutexLock lock(mutex_);
  if (!started_ || finishing_) return;
  call_->WritesDone(half_close_.Begin());
}

void GrpcStream::OnRead(bool ok) {
  if (ok) {
    grpc::ProtoBufferReader reader(&incoming_);
    listener_->OnMessage(&reader);
  }
  const MutexLock lock(mutex_);
  if (!ok) return Finish();
  incoming_.Clear();
  call_->Read(&incoming_, read_.Begin());
}

// A write that failed is the end of the stream; the read that is under way reports it.
void GrpcStream::OnWritten(bool ok) {
  if (ok && listener_) listener_->OnWritten();
}

void GrpcStream::Finish() {
  finishing_ = true;
  call_->Finish(&status_, finish_.Begin());
}

void GrpcStream::OnFinished(bool) {
  bool was_started = false;
  {
    const MutexLock lock(mutex_);
    was_started = started_;
  }
  bool stopping = false;
  {
    const MutexLock lock(line_->mutex);
    stopping = line_->stopping;
  }
  if (!was_started && !stopping && status_.error_code() == grpc::StatusCode::CANCELLED)
    return AskWhy();
  Closed(StatusOf(status_));
}

void GrpcStream::AskWhy() {
  why_context_.set_deadline(std::chrono::system_clock::now() + kWhyPatience);
  why_call_ = line_->stub.PrepareUnaryCall(&why_context_, kHealthCheck, grpc::ByteBuffer(),
                                           &line_->loop->queue);
  why_call_->StartCall();
  why_call_->Finish(&incoming_, &status_, why_.Begin());
}

void GrpcStream::OnWhy(bool) {
  Closed(status_.error_code() == grpc::StatusCode::UNAVAILABLE
             ? Unavailable(tls::WhyUnconnected(status_.error_message()))
             : Status(Code::kCancelled, "no answer in time; is assentd running?"));
}

void GrpcStream::Closed(const Status& why) {
  const std::shared_ptr<StreamListener> listener = std::move(listener_);
  listener->OnClosed(why);
  {
    const MutexLock lock(line_->mutex);
    line_->open.erase(this);
  }
  line_->closed.NotifyAll();
  const MutexLock lock(line_->loop->mutex);
  --line_->loop->open_count;
  line_->loop->CloseIfDone();
}

void Loop::CloseIfDone() {
  if (!stopping || closed || open_count > 0) return;
  closed = true;
  queue.Shutdown();
}

void Loop::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<Tag*>(tag)->Done(ok);
}

}  // namespace

class StreamLoop {
 public:
  StreamLoop() : loop_(std::make_shared<Loop>()), thread_([loop = loop_] { loop->Run(); }) {}
  ~StreamLoop() {
    const MutexLock lock(loop_->mutex);
    loop_->stopping = true;
    loop_->CloseIfDone();
  }

  const std::shared_ptr<Loop>& loop() const { return loop_; }
  bool OnThread() const { return thread_.Current(); }

 private:
  const std::shared_ptr<Loop> loop_;
  const OwnThread thread_;  // joined after the destructor's body, which tells it to end
};

namespace {

class GrpcDialer final : public Dialer {
 public:
  GrpcDialer(std::shared_ptr<StreamLoop> loop, std::shared_ptr<grpc::Channel> channel,
             std::string method)
      : loop_(std::move(loop)),
        line_(std::make_shared<Line>(loop_->loop(), std::move(channel), std::move(method))) {}

  ~GrpcDialer() override {
    const MutexLock lock(line_->mutex);
    line_->stopping = true;
    for (GrpcStream* stream : line_->open) stream->Cancel();
    while (!line_->open.empty() && !loop_->OnThread()) line_->closed.Wait(line_->mutex);
  }

  std::shared_ptr<Stream> Open(std::shared_ptr<StreamListener> listener) override {
    return std::make_shared<GrpcStream>(line_, std::move(listener));
  }

 private:
  const std::shared_ptr<StreamLoop> loop_;
  const std::shared_ptr<Line> line_;
};

}  // namespace

std::shared_ptr<StreamLoop> MakeStreamLoop() { return std::make_shared<StreamLoop>(); }

std::unique_ptr<Dialer> MakeGrpcDialer(std::shared_ptr<StreamLoop> loop,
                                       std::shared_ptr<grpc::Channel> channel, std::string method) {
  return std::make_unique<GrpcDialer>(std::move(loop), std::move(channel), std::move(method));
}

}  // namespace assent::internal
