#include "coordinator/api/streams.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include <assent/limits.h>

#include "coordinator/api/convert.h"
#include "coordinator/core/spec.h"
#include "coordinator/transport/grpc_status.h"

namespace assent::api {

void PostSubmit(engine::Engine& engine, v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                engine::ViewCallback done, engine::Abandoned abandoned) {
  const auto fail = [&](const Status& status) { done(status, nullptr, core::Now{}); };
  Result<engine::BeginRequest> begin =
      ToBegin(std::move(spec), wait_for, open, [&] { return engine.IssueGid(); });
  if (!begin.ok()) return fail(begin.status());
  engine::BeginRequest request = *std::move(begin);
  const std::string gid = request.spec.gid;
  request.done = done;
  request.abandoned = std::move(abandoned);
  const Status posted = engine.Post(gid, std::move(request));
  if (!posted.ok()) fail(posted);
}

namespace {

// One reply alone may be larger: results have a limit together (kMaxAllResultsBytes).
constexpr std::size_t kMaxReplyFrameBytes = 1024 * 1024;

// Many submits on one stream. Replies gather while a write is under way.
class SubmitStream final
    : public grpc::ServerBidiReactor<v1::SubmitRequestFrame, v1::SubmitReplyFrame> {
 public:
  SubmitStream(engine::Engine& engine, std::size_t max_outstanding)
      : engine_(engine), max_outstanding_(max_outstanding) {}

  void Begin(std::shared_ptr<SubmitStream> self) {
    self_ = std::move(self);
    StartRead(&in_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      const std::lock_guard lock(mutex_);
      read_ended_ = true;
      return FinishIfOver();
    }
    if (static_cast<std::size_t>(in_.requests_size()) > limits::kMaxFrameMessagesCount) {
      const std::lock_guard lock(mutex_);
      return End({grpc::StatusCode::INVALID_ARGUMENT,
                  "the frame has " + std::to_string(in_.requests_size()) +
                      " requests, the limit is " + std::to_string(limits::kMaxFrameMessagesCount)});
    }
    {
      const std::lock_guard lock(mutex_);
      outstanding_ += static_cast<std::size_t>(in_.requests_size());
    }
    for (v1::SubmitRequest& request : *in_.mutable_requests()) {
      PostSubmit(engine_, std::move(*request.mutable_transaction()), request.wait_for(),
                 /*open=*/false,
                 [self = self_, id = request.request_id()](
                     const Status& status, const core::Transaction* txn, const core::Now&) {
                   self->Reply(id, status, txn);
                 });
    }
    in_.Clear();
    const std::lock_guard lock(mutex_);
    paused_ = Held() >= max_outstanding_;
    if (!paused_ && !finished_) StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) Write();
    MaybeResume();
    FinishIfOver();
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    End(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<SubmitStream> last = std::move(self_); }

 private:
  void Reply(std::uint64_t id, const Status& status, const core::Transaction* txn) {
    const std::lock_guard lock(mutex_);
    --outstanding_;
    if (finished_) return;
    v1::SubmitReply& reply = *waiting_.add_replies();
    reply.set_request_id(id);
    if (status.ok()) {
      FillReply(*txn, reply);
    } else {
      reply.set_error_code(transport::ToGrpc(status).error_code());
      reply.set_error_message(status.message());
    }
    waiting_bytes_ += reply.ByteSizeLong();
    Write();
    MaybeResume();
  }

  // The rest is called with mutex_ held.

  // Requests without an answer, and answers that the caller has not taken off our hands: both are ours to keep.
  std::size_t Held() const {
    return outstanding_ + static_cast<std::size_t>(waiting_.replies_size());
  }
  void MaybeResume() {
    if (!paused_ || finished_ || Held() >= max_outstanding_ / 2) return;
    paused_ = false;
    StartRead(&in_);
  }
  void Write() {
    if (writing_ || finished_ || waiting_.replies_size() == 0) return;
    out_.Clear();
    if (static_cast<std::size_t>(waiting_.replies_size()) <= limits::kMaxFrameMessagesCount &&
        waiting_bytes_ <= kMaxReplyFrameBytes) {
      out_.Swap(&waiting_);
      waiting_bytes_ = 0;
    } else {
      TakeAFrameful();
    }
    writing_ = true;
    StartWrite(&out_);
  }
  void TakeAFrameful() {
    auto& from = *waiting_.mutable_replies();
    std::size_t bytes = 0;
    int taken = 0;
    while (taken < from.size() &&
           static_cast<std::size_t>(taken) < limits::kMaxFrameMessagesCount) {
      const std::size_t next = from[taken].ByteSizeLong();
      if (taken > 0 && bytes + next > kMaxReplyFrameBytes) break;
      bytes += next;
      out_.add_replies()->Swap(&from[taken++]);
    }
    from.DeleteSubrange(0, taken);
    waiting_bytes_ -= std::min(bytes, waiting_bytes_);
  }
  void FinishIfOver() {
    if (read_ended_ && outstanding_ == 0 && !writing_ && waiting_.replies_size() == 0)
      End(grpc::Status::OK);
  }
  void End(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    Finish(status);
  }

  engine::Engine& engine_;
  const std::size_t max_outstanding_;
  std::shared_ptr<SubmitStream> self_;  // until OnDone
  v1::SubmitRequestFrame in_;           // the reading side's
  std::mutex mutex_;
  v1::SubmitReplyFrame waiting_;   // guarded by mutex_
  v1::SubmitReplyFrame out_;       // guarded by mutex_, and gRPC's while writing_
  std::size_t waiting_bytes_ = 0;  // guarded by mutex_: of waiting_
  std::size_t outstanding_ = 0;    // guarded by mutex_
  bool writing_ = false;           // guarded by mutex_
  bool paused_ = false;            // guarded by mutex_
  bool read_ended_ = false;        // guarded by mutex_
  bool finished_ = false;          // guarded by mutex_
};

// The latest state of a transaction, as often as it changes and the caller keeps up.
class Watch final : public grpc::ServerWriteReactor<v1::Transaction> {
 public:
  void Begin(engine::Engine& engine, const std::string& gid, std::shared_ptr<Watch> self) {
    self_ = self;
    Status posted = core::CheckGid(gid);
    if (posted.ok()) {
      posted = engine.Post(
          gid, engine::WatchRequest{
                   gid, [self](const Status& status, const core::Transaction* txn,
                               const core::Now& now) { return self->Changed(status, txn, now); }});
    }
    if (posted.ok()) return;
    const std::lock_guard lock(mutex_);
    End(transport::ToGrpc(posted));
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return End(grpc::Status::CANCELLED);
    Write();
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    End(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<Watch> last = std::move(self_); }

 private:
  bool Changed(const Status& status, const core::Transaction* txn, const core::Now& now) {
    const std::lock_guard lock(mutex_);
    if (finished_) return false;
    if (!status.ok()) {
      End(transport::ToGrpc(status));
      return false;
    }
    waiting_ = std::make_unique<v1::Transaction>();
    ToProto(*txn, now, Detail::kFull, true, *waiting_);
    Write();
    return !txn->finished();
  }
  // With mutex_ held.
  void Write() {
    if (writing_ || finished_) return;
    if (!waiting_) {
      if (out_.state() == v1::FINISHED) End(grpc::Status::OK);
      return;
    }
    out_.Swap(waiting_.get());
    waiting_.reset();
    writing_ = true;
    StartWrite(&out_);
  }
  void End(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    Finish(status);
  }

  std::shared_ptr<Watch> self_;  // until OnDone
  std::mutex mutex_;
  std::unique_ptr<v1::Transaction> waiting_;  // guarded by mutex_: newer than what is being written
  v1::Transaction out_;                       // guarded by mutex_, and gRPC's while writing_
  bool writing_ = false;                      // guarded by mutex_
  bool finished_ = false;                     // guarded by mutex_
};

}  // namespace

grpc::ServerBidiReactor<v1::SubmitRequestFrame, v1::SubmitReplyFrame>* StartSubmitStream(
    engine::Engine& engine, std::size_t max_outstanding) {
  auto stream = std::make_shared<SubmitStream>(engine, max_outstanding);
  stream->Begin(stream);
  return stream.get();
}

grpc::ServerWriteReactor<v1::Transaction>* StartWatch(engine::Engine& engine,
                                                      const v1::WatchRequest& request) {
  auto watch = std::make_shared<Watch>();
  watch->Begin(engine, request.gid(), watch);
  return watch.get();
}

}  // namespace assent::api
