#include "coordinator/transport/session_hub.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <assent/limits.h>

#include "assent/v1/participant.grpc.pb.h"
#include "coordinator/base/clock.h"
#include "coordinator/transport/grpc_status.h"
#include "coordinator/transport/wire.h"

namespace assent::transport {
namespace {

constexpr std::size_t kMaxFrameBytes = 1024 * 1024;  // one large command may exceed it

// Questions of one session whose answers have not been written. Beyond it nothing more is read from it until half of them are.
constexpr std::size_t kMaxOpenQuestionsCount = 16 * limits::kMaxFrameMessagesCount;

}  // namespace

// One stream. It lives until OnDone; others reach it through the hub's table, from which it is removed before Finish.
class SessionHub::Stream final
    : public grpc::ServerBidiReactor<v1::ParticipantFrame, v1::CoordinatorFrame>,
      public std::enable_shared_from_this<Stream> {
 public:
  Stream(SessionHub& hub, std::string address) : hub_(hub), address_(std::move(address)) {}

  void Begin() {
    self_ = shared_from_this();
    StartRead(&in_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Leave(grpc::Status::OK);
    const Status status = id_ == 0 ? OnHello() : OnFrame();
    if (!status.ok()) return Leave(ToGrpc(status));
    in_.Clear();
    {
      const std::lock_guard lock(mutex_);
      reading_paused_ = open_questions_ >= kMaxOpenQuestionsCount;
      if (reading_paused_) return;
    }
    StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
    }
    if (ok) MaybeWrite();  // if not, the read ends too and cleans up
  }

  void OnCancel() override { Leave(grpc::Status::CANCELLED); }
  void OnDone() override { self_.reset(); }

  // Starts a write unless one is under way. Any thread.
  void MaybeWrite() {
    const std::lock_guard lock(mutex_);
    if (writing_ || finished_) return;
    out_.Clear();
    bool any = false;
    if (welcome_) {
      *out_.mutable_welcome() = std::move(*welcome_);
      welcome_.reset();
      any = true;
    }
    for (; !answers_.empty() &&
           static_cast<std::size_t>(out_.answers_size()) < limits::kMaxFrameMessagesCount;
         answers_.pop_front()) {
      ToWire(answers_.front(), *out_.add_answers());
      any = true;
    }
    open_questions_ -= static_cast<std::size_t>(out_.answers_size());
    if (reading_paused_ && open_questions_ <= kMaxOpenQuestionsCount / 2) {
      reading_paused_ = false;
      StartRead(&in_);
    }
    std::uint32_t coordinator_id = 0;
    std::vector<std::pair<std::uint64_t, Command>> commands;
    {
      const std::lock_guard hub_lock(hub_.mutex_);
      commands = hub_.router_.TakeOutbox(id_, limits::kMaxFrameMessagesCount, kMaxFrameBytes);
      coordinator_id = hub_.coordinator_id_;
    }
    for (auto& [command_id, command] : commands) {
      ToWire(std::move(command), command_id, coordinator_id, *out_.add_commands());
      any = true;
    }
    if (!any) return;
    writing_ = true;
    StartWrite(&out_);
  }

  void Answer(OutcomeAnswer answer) {
    {
      const std::lock_guard lock(mutex_);
      answers_.push_back(std::move(answer));
    }
    MaybeWrite();
  }

  // Ends the stream once, whoever asks first.
  void Leave(const grpc::Status& status) {
    std::vector<Reply> lost;
    {
      const std::lock_guard lock(mutex_);
      if (finished_) return;
      finished_ = true;
      if (id_ != 0) {
        const std::lock_guard hub_lock(hub_.mutex_);
        hub_.streams_.erase(id_);
        lost = hub_.router_.Detach(id_);
      }
    }
    if (!lost.empty()) hub_.receiver_.OnReplies(std::move(lost));
    Finish(status);
  }

 private:
  Status OnHello() {
    if (!in_.has_hello())
      return FailedPrecondition("the first frame of a session must carry hello");
    const SessionHello hello = FromWire(in_.hello());
    bool first = false;
    {
      // The stream's lock first, as everywhere: nobody may write before the Welcome is in place.
      const std::lock_guard lock(mutex_);
      // Cancelled meanwhile: who enters the table now is never taken out of it.
      if (finished_) return Unavailable("the stream has ended");
      const std::lock_guard hub_lock(hub_.mutex_);
      if (!hub_.open_) return Unavailable("the coordinator is starting or stopping: dial again");
      const SessionId id = hub_.next_session_++;
      Status status = hub_.router_.Attach(id, hello, address_, base::WallNow(), first);
      if (!status.ok()) return status;
      id_ = id;
      hub_.streams_[id] = shared_from_this();
      welcome_ = std::make_unique<v1::Welcome>();
      welcome_->set_session_id("session-" + std::to_string(id));
      welcome_->set_coordinator_id(hub_.coordinator_id_);
      welcome_->set_epoch(hub_.epoch_);
    }
    MaybeWrite();
    if (first) hub_.receiver_.OnServiceAppeared(hello.service);
    return in_.replies_size() + in_.queries_size() > 0 ? OnMessages() : OkStatus();
  }

  Status OnFrame() {
    if (in_.has_hello()) return FailedPrecondition("hello came twice on one session");
    return OnMessages();
  }

  Status OnMessages() {
    const auto messages =
        static_cast<std::size_t>(in_.replies_size()) + static_cast<std::size_t>(in_.queries_size());
    if (messages > limits::kMaxFrameMessagesCount) {
      return InvalidArgument("the frame has " + std::to_string(messages) +
                             " messages, the limit is " +
                             std::to_string(limits::kMaxFrameMessagesCount));
    }
    if (in_.replies_size() > 0) {
      std::vector<SessionReply> replies;
      replies.reserve(static_cast<std::size_t>(in_.replies_size()));
      for (v1::BranchReply& reply : *in_.mutable_replies())
        replies.push_back(FromWire(std::move(reply)));
      std::vector<SessionId> touched;
      std::vector<Reply> accepted;
      {
        const std::lock_guard hub_lock(hub_.mutex_);
        accepted = hub_.router_.OnReplies(id_, std::move(replies), base::MonoNow(), touched);
      }
      if (!accepted.empty()) hub_.receiver_.OnReplies(std::move(accepted));
      hub_.Kick(std::move(touched));
    }
    {
      const std::lock_guard lock(mutex_);
      open_questions_ += static_cast<std::size_t>(in_.queries_size());
    }
    for (const v1::OutcomeQuery& query : in_.queries()) {
      hub_.receiver_.OnQuestion(FromWire(query), [weak = weak_from_this()](OutcomeAnswer answer) {
        if (auto self = weak.lock()) self->Answer(std::move(answer));
      });
    }
    if (in_.goodbye()) {
      const std::lock_guard hub_lock(hub_.mutex_);
      hub_.router_.Drain(id_);
    }
    return OkStatus();
  }

  SessionHub& hub_;
  const std::string address_;
  std::shared_ptr<Stream> self_;  // until OnDone
  SessionId id_ = 0;              // set once, by the reading side, under mutex_; 0: no Hello yet
  v1::ParticipantFrame in_;       // the reading side's

  std::mutex mutex_;                      // taken before the hub's
  bool writing_ = false;                  // guarded by mutex_
  bool finished_ = false;                 // guarded by mutex_
  v1::CoordinatorFrame out_;              // guarded by mutex_, and gRPC's while writing_
  std::unique_ptr<v1::Welcome> welcome_;  // guarded by mutex_
  std::deque<OutcomeAnswer> answers_;     // guarded by mutex_
  std::size_t open_questions_ = 0;        // guarded by mutex_: asked, and the answer not written
  bool reading_paused_ = false;           // guarded by mutex_
};

class SessionHub::ServiceImpl final : public v1::ParticipantSession::CallbackService {
 public:
  explicit ServiceImpl(SessionHub& hub) : hub_(hub) {}

  grpc::ServerBidiReactor<v1::ParticipantFrame, v1::CoordinatorFrame>* Connect(
      grpc::CallbackServerContext* context) override {
    auto stream = std::make_shared<Stream>(hub_, context->peer());
    stream->Begin();
    return stream.get();
  }

 private:
  SessionHub& hub_;
};

SessionHub::SessionHub(SessionHubOptions options, Receiver& receiver)
    : receiver_(receiver),
      service_(std::make_unique<ServiceImpl>(*this)),
      router_(options.limits) {}
SessionHub::~SessionHub() = default;

grpc::Service& SessionHub::service() { return *service_; }

void SessionHub::Open(std::uint32_t coordinator_id, std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  coordinator_id_ = coordinator_id;
  epoch_ = epoch;
  open_ = true;
}

void SessionHub::Close() {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    for (auto& [id, stream] : streams_) streams.push_back(stream);
  }
  for (auto& stream : streams)
    stream->Leave(ToGrpc(Unavailable("the coordinator is stopping: dial again")));
}

void SessionHub::Tick(core::MonoTime now) {
  std::vector<SessionId> touched;
  {
    const std::lock_guard lock(mutex_);
    router_.ExpireSlots(now, touched);
  }
  Kick(std::move(touched));
}

void SessionHub::Send(std::vector<Command> commands) {
  std::vector<SessionId> touched;
  std::vector<Reply> refused;
  {
    const std::lock_guard lock(mutex_);
    refused = router_.Send(std::move(commands), base::MonoNow(), touched);
  }
  if (!refused.empty()) receiver_.OnReplies(std::move(refused));
  Kick(std::move(touched));
}

void SessionHub::Kick(std::vector<SessionId> touched) {
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const SessionId id : touched) {
    std::shared_ptr<Stream> stream;
    {
      const std::lock_guard lock(mutex_);
      const auto found = streams_.find(id);
      if (found != streams_.end()) stream = found->second;
    }
    if (stream) stream->MaybeWrite();
  }
}

std::vector<ServiceInfo> SessionHub::List(const std::string& prefix) const {
  const std::lock_guard lock(mutex_);
  return router_.List(prefix);
}

RouterCounters SessionHub::counters() const {
  const std::lock_guard lock(mutex_);
  return router_.counters();
}

std::size_t SessionHub::session_count() const {
  const std::lock_guard lock(mutex_);
  return router_.session_count();
}

}  // namespace assent::transport
