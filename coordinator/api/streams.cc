#include "coordinator/api/streams.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "coordinator/api/call.h"
#include "coordinator/api/convert.h"
#include "coordinator/transport/grpc_status.h"
#include "proto/parse/parse.h"

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
// What a stream holds in unread replies is counted in steps, the first of which is covered by the
// number of streams.
constexpr std::size_t kCountedStepBytes = 64 * 1024;

struct StreamedSubmit {
  v1::SubmitRequest request;
  Status fault;  // not OK: this one cannot be read, but for its number
};

// The requests of a frame. One of them that has a text that is not UTF-8 costs itself; what cannot
// be told apart fails whole.
Result<std::vector<StreamedSubmit>> ReadSubmits(const grpc::ByteBuffer& bytes) {
  v1::SubmitRequestFrame frame;
  Status fault = ParseRequest(bytes, frame);
  std::vector<StreamedSubmit> submits;
  if (!fault.ok()) {
    grpc::Slice slice;
    std::optional<std::vector<std::string_view>> parts;
    if (bytes.DumpToSingleSlice(&slice).ok()) {
      parts = wire::Elements({reinterpret_cast<const char*>(slice.begin()), slice.size()},
                             v1::SubmitRequestFrame::kRequestsFieldNumber);
    }
    for (std::size_t i = 0; parts && i < parts->size(); ++i) {
      StreamedSubmit& submit = submits.emplace_back();
      submit.fault = wire::Parse((*parts)[i], "the request", submit.request);
      if (submit.fault.ok()) continue;
      std::string mended((*parts)[i]);
      if (!wire::MendText(*v1::SubmitRequest::descriptor(), mended).whole ||
          !submit.request.ParseFromString(mended))
        return fault;
    }
    if (!parts) return fault;
  } else {
    for (v1::SubmitRequest& request : *frame.mutable_requests())
      submits.push_back({std::move(request), OkStatus()});
  }
  if (submits.size() <= limits::kMaxFrameMessagesCount) return submits;
  return InvalidArgument("the frame has " + std::to_string(submits.size()) +
                         " requests, the limit is " +
                         std::to_string(limits::kMaxFrameMessagesCount));
}

// Many submits on one stream. Replies gather while a write is under way.
class SubmitStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  SubmitStream(engine::Engine& engine, Holdings& holdings, grpc::CallbackServerContext* context,
               std::size_t max_outstanding)
      : engine_(engine),
        holdings_(holdings),
        max_outstanding_(max_outstanding),
        canceller_(std::make_shared<Canceller>(context)) {}

  void Begin(std::shared_ptr<SubmitStream> self, const std::string& peer) {
    self_ = std::move(self);
    auto place = holdings_.Enter(Held::kStream, peer);
    const std::lock_guard lock(mutex_);
    if (!place.ok()) return End(transport::ToGrpc(place.status()));
    place_ = std::move(place).value();
    StartRead(&in_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      const std::lock_guard lock(mutex_);
      read_ended_ = true;
      return FinishIfOver();
    }
    Result<std::vector<StreamedSubmit>> submits = ReadSubmits(in_);
    if (!submits.ok()) {
      const std::lock_guard lock(mutex_);
      return End(transport::ToGrpc(submits.status()));
    }
    {
      const std::lock_guard lock(mutex_);
      outstanding_ += submits->size();
    }
    for (StreamedSubmit& submit : *submits) {
      v1::SubmitRequest& request = submit.request;
      const Status room = holdings_.EnterSubmit();
      if (submit.fault.ok()) submit.fault = room;
      if (!submit.fault.ok()) {
        if (room.ok()) holdings_.LeaveSubmit();
        Reply(request.request_id(), submit.fault, nullptr);
        continue;
      }
      PostSubmit(engine_, std::move(*request.mutable_transaction()), request.wait_for(),
                 /*open=*/false,
                 [self = self_, id = request.request_id()](
                     const Status& status, const core::Transaction* txn, const core::Now&) {
                   self->holdings_.LeaveSubmit();
                   self->Reply(id, status, txn);
                 });
    }
    in_.Clear();
    const std::lock_guard lock(mutex_);
    paused_ =
        Held() >= max_outstanding_ || waiting_bytes_ >= holdings_.limits().max_stream_waiting_bytes;
    if (!paused_ && !finished_) StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    out_.Clear();
    if (counted_bytes_ > kCountedStepBytes) place_->AnswerTaken();
    counted_bytes_ = kCountedStepBytes;
    if (ok) Write();
    MaybeResume();
    FinishIfOver();
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    End(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    const std::shared_ptr<SubmitStream> last = std::move(self_);
  }

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
    Count();
    MaybeResume();
  }

  // The rest is called with mutex_ held.

  // Requests without an answer, and answers that the caller has not taken off our hands: both are
  // ours to keep.
  std::size_t Held() const {
    return outstanding_ + static_cast<std::size_t>(waiting_.replies_size());
  }
  void MaybeResume() {
    if (!paused_ || finished_ || Held() >= max_outstanding_ / 2) return;
    if (waiting_bytes_ >= holdings_.limits().max_stream_waiting_bytes / 2) return;
    paused_ = false;
    StartRead(&in_);
  }
  void Write() {
    if (writing_ || finished_ || waiting_.replies_size() == 0) return;
    if (static_cast<std::size_t>(waiting_.replies_size()) <= limits::kMaxFrameMessagesCount &&
        waiting_bytes_ <= kMaxReplyFrameBytes) {
      out_ = Serialised(waiting_);
      waiting_.Clear();
      waiting_bytes_ = 0;
    } else {
      TakeAFrameful();
    }
    writing_ = true;
    StartWrite(&out_);
  }
  void TakeAFrameful() {
    auto& from = *waiting_.mutable_replies();
    v1::SubmitReplyFrame frame;
    std::size_t bytes = 0;
    int taken = 0;
    while (taken < from.size() &&
           static_cast<std::size_t>(taken) < limits::kMaxFrameMessagesCount) {
      const std::size_t next = from[taken].ByteSizeLong();
      if (taken > 0 && bytes + next > kMaxReplyFrameBytes) break;
      bytes += next;
      frame.add_replies()->Swap(&from[taken++]);
    }
    from.DeleteSubrange(0, taken);
    out_ = Serialised(frame);
    waiting_bytes_ -= std::min(bytes, waiting_bytes_);
  }
  // Who leaves so much lying that there is no room for it is heard no more. Its submits go on, and
  // can be asked for.
  void Count() {
    const std::size_t bytes = waiting_bytes_ + out_.Length();
    if (finished_ || bytes <= counted_bytes_) return;
    counted_bytes_ = (bytes / kCountedStepBytes + 1) * kCountedStepBytes;
    const auto give_up = [end = canceller_] { end->Cancel(); };
    const Status room = place_->HoldAnswer(counted_bytes_, give_up);
    if (room.ok()) return;
    (void)place_->HoldAnswer(out_.Length(), give_up);
    waiting_.Clear();
    End(transport::ToGrpc(UnknownOutcome(room.message())));
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
  Holdings& holdings_;
  const std::size_t max_outstanding_;
  const std::shared_ptr<Canceller> canceller_;
  std::shared_ptr<SubmitStream> self_;      // until OnDone
  std::unique_ptr<Holdings::Place> place_;  // until OnDone
  grpc::ByteBuffer in_;                     // the reading side's
  std::mutex mutex_;
  v1::SubmitReplyFrame waiting_;                   // guarded by mutex_
  grpc::ByteBuffer out_;                           // guarded by mutex_, and gRPC's while writing_
  std::size_t waiting_bytes_ = 0;                  // guarded by mutex_: of waiting_
  std::size_t counted_bytes_ = kCountedStepBytes;  // guarded by mutex_: of waiting_ and out_
  std::size_t outstanding_ = 0;                    // guarded by mutex_
  bool writing_ = false;                           // guarded by mutex_
  bool paused_ = false;                            // guarded by mutex_
  bool read_ended_ = false;                        // guarded by mutex_
  bool finished_ = false;                          // guarded by mutex_
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartSubmitStream(
    engine::Engine& engine, Holdings& holdings, grpc::CallbackServerContext* context,
    std::size_t max_outstanding) {
  auto stream = std::make_shared<SubmitStream>(engine, holdings, context, max_outstanding);
  stream->Begin(stream, context->peer());
  return stream.get();
}

}  // namespace assent::api
