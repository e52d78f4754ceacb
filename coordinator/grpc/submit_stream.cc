#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "coordinator/grpc/call.h"
#include "coordinator/grpc/streams.h"
#include "proto/parse/parse.h"

namespace assent::door {

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

// What no library and no proxy makes up (docs/wire.md).
bool IsWordOfCoordinator(grpc::StatusCode code) {
  return code == grpc::INVALID_ARGUMENT || code == grpc::ALREADY_EXISTS ||
         code == grpc::FAILED_PRECONDITION || code == grpc::DATA_LOSS;
}

using Fill = absl::FunctionRef<void(v1::SubmitReply&)>;

// Many submits on one stream. Replies gather while a write is under way.
class SubmitStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  SubmitStream(service::Service& service, const Ways& ways, service::Caller caller, StayPtr stay,
               grpc::CallbackServerContext* context)
      : service_(service),
        ways_(ways),
        holdings_(service.holdings()),
        caller_(std::make_shared<const service::Caller>(std::move(caller))),
        stay_(std::move(stay)),
        canceller_(std::make_shared<Canceller>(context)) {}

  void Begin(std::shared_ptr<SubmitStream> self, grpc::CallbackServerContext& context) {
    self_ = std::move(self);
    auto place = holdings_.Enter(service::Held::kStream, *caller_);
    const MutexLock lock(mutex_);
    if (!place.ok()) return End(Told(place.status(), context));
    place_ = std::move(place).value();
    if (stay_ != nullptr) {
      stay_->Keep(UntilGone(std::weak_ptr<SubmitStream>(self_)));
    }
    StartRead(&in_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      const MutexLock lock(mutex_);
      read_ended_ = true;
      return FinishIfOver();
    }
    if (const Status still = AskAgain(); !still.ok()) return Leave(still);
    Result<std::vector<StreamedSubmit>> submits = ReadSubmits(in_);
    if (!submits.ok()) {
      const MutexLock lock(mutex_);
      return End(transport::ToGrpc(submits.status()));
    }
    {
      const MutexLock lock(mutex_);
      outstanding_ += submits->size();
    }
    for (StreamedSubmit& submit : *submits) {
      v1::SubmitRequest& request = submit.request;
      const Status room = holdings_.EnterSubmit(*caller_);
      if (submit.fault.ok()) submit.fault = room;
      if (!submit.fault.ok()) {
        if (room.ok()) holdings_.LeaveSubmit();
        Reply(request.request_id(), submit.fault, [](v1::SubmitReply&) {});
        continue;
      }
      Hand(std::move(request));
    }
    in_.Clear();
    const MutexLock lock(mutex_);
    paused_ = Held() >= kMaxStreamOutstandingCount ||
              waiting_bytes_ >= holdings_.limits().max_stream_waiting_bytes;
    if (!paused_ && !finished_) StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    const MutexLock lock(mutex_);
    writing_ = false;
    out_.Clear();
    if (counted_bytes_ > kCountedStepBytes) place_->AnswerTaken();
    counted_bytes_ = kCountedStepBytes;
    if (ok) Write();
    MaybeResume();
    FinishIfOver();
  }
  void OnCancel() override {
    const MutexLock lock(mutex_);
    End(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    const std::shared_ptr<SubmitStream> last = std::move(self_);
  }

  // UntilGone. What it has submitted goes on, and can be asked for.
  void Leave(const Status& why) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    End(transport::ToGrpc(why));
  }
  void Cancel() { canceller_->Cancel(); }

 private:
  // Each frame is asked for by whoever it is by now.
  Status AskAgain() {
    if (stay_ == nullptr) return OkStatus();
    auto now = stay_->Again();
    if (!now.ok()) return now.status();
    if (now->grants != caller_->grants)
      caller_ = std::make_shared<const service::Caller>(*std::move(now));
    return OkStatus();
  }

  // One of its submits.
  class Asker final : public service::Asker<v1::SubmitReply> {
   public:
    Asker(std::shared_ptr<SubmitStream> stream, std::uint64_t id)
        : stream_(std::move(stream)), id_(id) {}
    void Answer(const Status& status, Fill fill) override {
      if (!status.ok() && journey_ != nullptr && journey_->Again(status)) return;
      journey_.reset();  // it has this one
      stream_->holdings_.LeaveSubmit();
      stream_->Reply(id_, status, fill);
    }
    // It is counted until it is answered.
    bool Over() override { return false; }
    // Before the service has it; nullptr: it goes no further.
    void Travel(std::shared_ptr<Journey> journey) { journey_ = std::move(journey); }
    // What another coordinator has answered. Of its refusals only those count that nobody else can
    // have made up on the way: nothing may be said to be undone that was done.
    void Pass(const Handed& handed) {
      v1::SubmitReply reply;
      Status status =
          Status(static_cast<Code>(handed.status.error_code()), handed.status.error_message());
      if (status.ok()) status = ParseRequest(handed.reply, reply);
      if (!status.ok() && !IsWordOfCoordinator(handed.status.error_code()))
        status = UnknownOutcome(status.message());
      journey_.reset();
      Answer(status, [&](v1::SubmitReply& out) { out.Swap(&reply); });
    }

   private:
    const std::shared_ptr<SubmitStream> stream_;
    const std::uint64_t id_;
    std::shared_ptr<Journey> journey_;
  };

  void Hand(v1::SubmitRequest request) {
    const auto asker = std::make_shared<Asker>(self_, request.request_id());
    if (service_.router().alone() || caller_->forwarded)
      return service_.Take(*caller_, std::move(request), asker);
    std::string& gid = *request.mutable_transaction()->mutable_gid();
    if (gid.empty()) gid = service_.engine().IssueGid();  // wherever it is asked
    const bool is_here = service_.router().Find(gid).where == service::Route::Where::kHere;
    const grpc::ByteBuffer bytes = Serialised(request);
    Trip trip = {.gid = gid,
                 .method = "/assent.v1.TransactionService/Submit",
                 .on_behalf_of = caller_->on_behalf_of(),
                 .request = is_here ? KeptOf(bytes) : bytes,
                 .new_work = true};
    trip.here = [this, asker, caller = caller_, kept = trip.request] {
      v1::SubmitRequest again;
      const Status parsed = ParseRequest(kept, again);
      parsed.ok() ? service_.Take(*caller, std::move(again), asker) : asker->Fail(parsed);
    };
    trip.arrived = [asker](Handed&& handed) { asker->Pass(handed); };
    trip.lost = [asker](const Status& why, bool maybe_done) {
      asker->Travel(nullptr);
      asker->Fail(maybe_done ? UnknownOutcome(why.message()) : Unavailable(why.message()));
    };
    const auto journey = std::make_shared<Journey>(ways_, std::move(trip));
    asker->Travel(journey);
    is_here ? service_.Take(*caller_, std::move(request), asker) : journey->Go();
  }

  void Reply(std::uint64_t id, const Status& status, Fill fill) ASSENT_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    --outstanding_;
    if (finished_) return;
    v1::SubmitReply& reply = *waiting_.add_replies();
    if (status.ok()) {
      fill(reply);
    } else {
      reply.set_error_code(transport::ToGrpc(status).error_code());
      reply.set_error_message(status.message());
    }
    reply.set_request_id(id);
    waiting_bytes_ += reply.ByteSizeLong();
    Write();
    Count();
    MaybeResume();
  }

  // Requests without an answer, and answers that the caller has not taken off our hands: both are
  // ours to keep.
  std::size_t Held() const ASSENT_REQUIRES(mutex_) {
    return outstanding_ + static_cast<std::size_t>(waiting_.replies_size());
  }
  void MaybeResume() ASSENT_REQUIRES(mutex_) {
    if (!paused_ || finished_ || Held() >= kMaxStreamOutstandingCount / 2) return;
    if (waiting_bytes_ >= holdings_.limits().max_stream_waiting_bytes / 2) return;
    paused_ = false;
    StartRead(&in_);
  }
  void Write() ASSENT_REQUIRES(mutex_) {
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
  void TakeAFrameful() ASSENT_REQUIRES(mutex_) {
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
  void Count() ASSENT_REQUIRES(mutex_) {
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
  void FinishIfOver() ASSENT_REQUIRES(mutex_) {
    if (read_ended_ && outstanding_ == 0 && !writing_ && waiting_.replies_size() == 0)
      End(grpc::Status::OK);
  }
  void End(const grpc::Status& status) ASSENT_REQUIRES(mutex_) {
    if (std::exchange(finished_, true)) return;
    Finish(status);
  }

  service::Service& service_;
  const Ways ways_;
  service::Holdings& holdings_;
  std::shared_ptr<const service::Caller> caller_;  // the reading side's
  const StayPtr stay_;
  const std::shared_ptr<Canceller> canceller_;
  std::shared_ptr<SubmitStream> self_;               // until OnDone
  std::unique_ptr<service::Holdings::Place> place_;  // until OnDone
  grpc::ByteBuffer in_;                              // the reading side's
  Mutex mutex_;
  v1::SubmitReplyFrame waiting_ ASSENT_GUARDED_BY(mutex_);
  grpc::ByteBuffer out_ ASSENT_GUARDED_BY(mutex_);           // and gRPC's while writing_
  std::size_t waiting_bytes_ ASSENT_GUARDED_BY(mutex_) = 0;  // of waiting_
  // Of waiting_ and out_.
  std::size_t counted_bytes_ ASSENT_GUARDED_BY(mutex_) = kCountedStepBytes;
  std::size_t outstanding_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool paused_ ASSENT_GUARDED_BY(mutex_) = false;
  bool read_ended_ ASSENT_GUARDED_BY(mutex_) = false;
  bool finished_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartSubmitStream(
    service::Service& service, const Ways& ways, service::Caller caller, StayPtr stay,
    grpc::CallbackServerContext* context) {
  const auto stream =
      std::make_shared<SubmitStream>(service, ways, std::move(caller), std::move(stay), context);
  stream->Begin(stream, *context);
  return stream.get();
}

}  // namespace assent::door
