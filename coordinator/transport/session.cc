#include "coordinator/transport/session.h"

#include <utility>
#include <vector>

#include <assent/limits.h>

#include "coordinator/transport/wire.h"
#include "proto/parse/parse.h"

namespace assent::transport {
namespace {

constexpr std::size_t kMaxWrittenBytes =
    1024 * 1024;  // of a frame; one large command may exceed it
const char kHungUp[] = "it hung up, or the connection broke";
const char kSaidGoodbye[] = "it said goodbye";

}  // namespace

void Session::Begin() {
  const MutexLock lock(mutex_);
  if (stream_ != nullptr) stream_->Read();
}

// ---- What comes ---------------------------------------------------------------------------------

void Session::OnFrame(v1::ParticipantFrame& frame, std::size_t bytes) {
  const Status status = id_ == 0            ? OnHello(frame, bytes)
                        : frame.has_hello() ? FailedPrecondition("hello came twice on one session")
                                            : OnMessages(frame);
  if (!status.ok()) return Leave(status);
  ReadOn();
}

// A text that is not UTF-8 costs only itself. Of bytes that are no frame nobody can say what they
// were to mean.
void Session::OnMalformed(std::string bytes) {
  v1::ParticipantFrame frame;
  if (id_ != 0 && ParseMended(bytes, frame)) return OnFrame(frame, bytes.size());
  const Status what = wire::Parse(bytes, "the frame", frame);
  Leave(what.ok() ? Internal("the frame could not be read") : what);
}

void Session::OnWritten() {
  {
    const MutexLock lock(mutex_);
    writing_ = false;
  }
  Kick();
}

void Session::OnClosed() { Leave(OkStatus()); }

Status Session::OnHello(v1::ParticipantFrame& frame, std::size_t bytes) {
  hub_.NoLongerSilent(number_);  // first: who speaks gives way to nobody
  if (!frame.has_hello())
    return FailedPrecondition("the first frame of a session must carry hello");
  if (bytes > hub_.options_.max_hello_bytes) {
    return InvalidArgument("the first frame has " + std::to_string(bytes) +
                           " bytes, the limit is " + std::to_string(hub_.options_.max_hello_bytes));
  }
  const SessionHub::Identity identity = hub_.identity();
  if (!identity.open) return Unavailable("the coordinator is starting or stopping: dial again");
  const SessionHello hello = FromWire(frame.hello());
  if (may_serve_) {
    if (const Status may = may_serve_(hello.service); !may.ok()) return may;
  }
  const Visitor visitor{hello.service, hello.instance, peer_, hello.agent, false};
  {
    const MutexLock lock(mutex_);
    if (stream_ == nullptr) return Unavailable("the stream has ended");
    visitor_ = visitor;
  }
  InstanceId id = 0;
  const Status status = hub_.board_.Attach(shared_from_this(), hello, peer_, id);
  if (!status.ok()) return status;
  bool finished = false;
  {
    const MutexLock lock(mutex_);
    finished = stream_ == nullptr;
    if (!finished) {
      id_ = id;
      coordinator_id_ = identity.coordinator_id;
      epoch_ = identity.epoch;
      cluster_version_ = identity.cluster_version;
      welcome_ = true;
    }
  }
  if (finished) {  // cancelled meanwhile: nobody else takes it off the board
    hub_.board_.Leave(id, visitor, "cancelled at its hello");
    return Unavailable("the stream has ended");
  }
  if (stays_) {
    stays_(hello.service, [weak = weak_from_this()](const Status& still) {
      const std::shared_ptr<Session> self = weak.lock();
      if (self != nullptr && !still.ok()) self->Leave(still);
      return self != nullptr && still.ok();
    });
  }
  Kick();
  return frame.replies_size() + frame.queries_size() > 0 ? OnMessages(frame) : OkStatus();
}

Status Session::OnMessages(v1::ParticipantFrame& frame) {
  const auto messages = static_cast<std::size_t>(frame.replies_size()) +
                        static_cast<std::size_t>(frame.queries_size());
  if (messages > limits::kMaxFrameMessagesCount) {
    return InvalidArgument("the frame has " + std::to_string(messages) +
                           " messages, the limit is " +
                           std::to_string(limits::kMaxFrameMessagesCount));
  }
  if (frame.replies_size() > 0) {
    std::vector<SessionReply> replies;
    replies.reserve(static_cast<std::size_t>(frame.replies_size()));
    for (v1::BranchReply& reply : *frame.mutable_replies())
      replies.push_back(FromWire(std::move(reply)));
    hub_.board_.OnReplies(id_, std::move(replies));
  }
  if (frame.queries_size() > 0) Ask(frame);
  if (frame.goodbye()) {
    hub_.board_.Drain(id_);
    const MutexLock lock(mutex_);
    said_goodbye_ = true;
  }
  return OkStatus();
}

void Session::Ask(const v1::ParticipantFrame& frame) {
  {
    const MutexLock lock(mutex_);
    if (stream_ == nullptr) return;
    open_questions_ += static_cast<std::size_t>(frame.queries_size());
    (void)hub_.CountQuestions(frame.queries_size());
  }
  for (const v1::OutcomeQuery& query : frame.queries()) {
    OutcomeQuestion question = FromWire(query);
    question.may_know = may_serve_;
    hub_.board_.receiver().OnQuestion(std::move(question),
                                      [weak = weak_from_this()](OutcomeAnswer answer) {
                                        if (auto self = weak.lock())
                                          self->Answer(std::move(answer));
                                      });
  }
}

void Session::Answer(OutcomeAnswer answer) {
  {
    const MutexLock lock(mutex_);
    if (stream_ == nullptr) return;
    answers_.push_back(std::move(answer));
  }
  Kick();
}

// Who asks faster than it reads the answers is asked to wait.
void Session::ReadOn() {
  const MutexLock lock(mutex_);
  if (stream_ == nullptr) return;
  reading_paused_ = open_questions_ >= hub_.options_.max_open_questions_count ||
                    (open_questions_ > 0 && hub_.CountQuestions(0));
  if (!reading_paused_) stream_->Read();
}

// ---- What goes ----------------------------------------------------------------------------------

void Session::Kick() {
  const MutexLock lock(mutex_);
  if (writing_ || stream_ == nullptr || id_ == 0) return;
  out_.Clear();
  bool any = std::exchange(welcome_, false);
  if (any) {
    out_.mutable_welcome()->set_session_id("session-" + std::to_string(id_));
    out_.mutable_welcome()->set_coordinator_id(coordinator_id_);
    out_.mutable_welcome()->set_epoch(epoch_);
    out_.mutable_welcome()->set_cluster_version(cluster_version_);
  }
  if (!answers_.empty()) {
    MoveAnswers();
    any = true;
  }
  for (Dispatcher::Outgoing& out :
       hub_.board_.Take(id_, limits::kMaxFrameMessagesCount, kMaxWrittenBytes)) {
    ToWire(std::move(out.command), out.command_id, coordinator_id_, *out_.add_commands());
    any = true;
  }
  if (!any) return;
  writing_ = true;
  stream_->Write(out_);
}

void Session::MoveAnswers() {
  for (; !answers_.empty() &&
         static_cast<std::size_t>(out_.answers_size()) < limits::kMaxFrameMessagesCount;
       answers_.pop_front()) {
    ToWire(answers_.front(), *out_.add_answers());
  }
  open_questions_ -= static_cast<std::size_t>(out_.answers_size());
  const bool too_many = hub_.CountQuestions(-static_cast<std::ptrdiff_t>(out_.answers_size()));
  if (reading_paused_ && open_questions_ <= hub_.options_.max_open_questions_count / 2 &&
      (open_questions_ == 0 || !too_many)) {
    reading_paused_ = false;
    stream_->Read();
  }
}

// ---- The end ------------------------------------------------------------------------------------

void Session::Leave(const Status& status) {
  FrameStream* stream = nullptr;
  std::string why = status.message();
  {
    const MutexLock lock(mutex_);
    if (status.ok()) why = said_goodbye_ ? kSaidGoodbye : kHungUp;
    stream = std::exchange(stream_, nullptr);
    if (stream == nullptr) return;
    (void)hub_.CountQuestions(-static_cast<std::ptrdiff_t>(std::exchange(open_questions_, 0)));
    answers_.clear();
  }
  hub_.Forget(number_);
  if (id_ != 0) {
    hub_.board_.Leave(id_, visitor_, why);
  } else if (!status.ok() && status.code() != Code::kUnavailable) {  // which says: dial again
    hub_.board_.Refuse(visitor_, why);
  }
  stream->Finish(status);
}

}  // namespace assent::transport
