// Frames of a hostile coordinator: bytes as gRPC hands them over, into the SDK's session and its
// call table, and into the queue of submits. No frame crashes anything; at most one write is under
// way, and each is one that an honest coordinator would take; no log line can forge another; a
// question has one answer; whoever waits for a submit is told once.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/session.h"
#include "participant-sdk/cpp/src/submit_queue.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

using internal::SteadyTime;
namespace act = internal::act;

constexpr int kMaxActionsCount = 200;
constexpr std::size_t kMaxInFlight = 4;

template <typename Message>
bool Parse(Input& in, Message& message) {
  const std::string_view bytes = in.Chunk();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

class SessionScript {
 public:
  SessionScript() : calls_(6), session_(OptionsOf(), &calls_) {}

  void Run(Input in) {
    Do([&](auto* out) { session_.Start(now_, out); });
    for (int i = 0; i < kMaxActionsCount && !in.empty(); ++i) One(in);
    // Whatever was said, it can be stopped: answers what it has, hangs up, is gone.
    Do([&](auto* out) { session_.Stop(now_, out); });
    for (int i = 0; i < 1000 && session_.state() != internal::Session::State::kStopped; ++i) {
      if (!runs_.empty()) FinishRun(0, Reply::Done(), true);
      Written();
      if (half_closed_ || cancelled_) Closed();
      if (runs_.empty()) Tick(session_.Due());
    }
    if (session_.state() != internal::Session::State::kStopped) {
      std::fprintf(stderr, "state %d, in flight %zu, runs %zu, writing %d, half closed %d\n",
                   static_cast<int>(session_.state()), session_.in_flight(), runs_.size(), writing_,
                   half_closed_);
      ASSENT_CHECK(false);
    }
  }

 private:
  static internal::Session::Options OptionsOf() {
    internal::Session::Options options;
    options.endpoint = "here:1";
    options.hello.set_version(1);
    options.hello.set_service("s0");
    options.max_in_flight = kMaxInFlight;
    options.max_questions = 4;
    return options;
  }

  void One(Input& in) {
    switch (in.Below(12)) {
      case 0:
      case 1: return FrameFromWire(in);
      case 2: return Welcome(in);
      case 3:
      case 4: return Command(in);
      case 5: return Answer(in);
      case 6: return Written();
      case 7: return FinishOne(in);
      case 8: return Closed();
      case 9:
        return Tick(in.Flip() ? session_.Due() : now_ + std::chrono::milliseconds(in.Number(2)));
      case 10: return Ask(in);
      default:
        if (!connected_ || std::exchange(started_, true)) return;
        return Do([&](auto* out) { session_.OnStarted(connection_, now_, out); });
    }
  }

  void FrameFromWire(Input& in) {
    v1::CoordinatorFrame frame;
    if (Parse(in, frame)) return OnFrame(frame);
    if (!connected_) return;
    Do([&](auto* out) { session_.OnMalformed(connection_, "it does not parse", out); });
  }
  void Welcome(Input& in) {
    v1::CoordinatorFrame frame;
    frame.mutable_welcome()->set_session_id("session-1");
    frame.mutable_welcome()->set_coordinator_id(1 + static_cast<std::uint32_t>(in.Below(2)));
    frame.set_goodbye(in.Below(8) == 7);
    OnFrame(frame);
  }
  void Command(Input& in) {
    v1::CoordinatorFrame frame;
    for (std::size_t n = 1 + in.Below(3); n > 0; --n) {
      v1::BranchCommand& command = *frame.add_commands();
      command.set_command_id(in.Below(8));
      command.set_gid("gid-" + std::to_string(in.Below(3)));
      command.set_branch_id(std::to_string(in.Below(3)));
      command.set_operation(static_cast<v1::Operation>(in.Below(10)));
      command.set_protocol(command.operation() <= 3   ? v1::TWO_PHASE
                           : command.operation() <= 6 ? v1::TCC
                                                      : v1::SAGA);
      command.set_action("act");
      command.set_timeout_ms(static_cast<std::int64_t>(in.Number(2)));
    }
    OnFrame(frame);
  }
  void Answer(Input& in) {
    v1::CoordinatorFrame frame;
    v1::OutcomeAnswer& answer = *frame.add_answers();
    answer.set_gid("gid-" + std::to_string(in.Below(3)));
    answer.set_branch_id("1");
    answer.set_verdict(static_cast<v1::OutcomeAnswer::Verdict>(in.Below(6)));
    OnFrame(frame);
  }
  void Ask(Input& in) {
    HeldBranch held;
    held.gid = "gid-" + std::to_string(in.Below(3));
    held.branch_id = "1";
    Do([&](auto* out) { session_.Question({held}, now_, out); });
  }
  void OnFrame(v1::CoordinatorFrame& frame) {
    if (!connected_) return;
    // An answer that says nothing is one all the same: the question is open no more.
    std::set<std::pair<std::string, std::string>> seen;
    for (const v1::OutcomeAnswer& answer : frame.answers()) {
      const std::pair key(answer.gid(), answer.branch_id());
      const bool says = v1::OutcomeAnswer::UNDECIDED <= answer.verdict() &&
                        answer.verdict() <= v1::OutcomeAnswer::CANNOT_TELL;
      if (seen.insert(key).second && !says) asked_.erase(key);
    }
    Do([&](auto* out) { session_.OnFrame(connection_, &frame, now_, out); });
  }
  void Written() {
    if (!std::exchange(writing_, false)) return;
    Do([&](auto* out) { session_.OnWritten(connection_, now_, out); });
  }
  void Closed() {
    if (!std::exchange(connected_, false)) return;
    writing_ = half_closed_ = cancelled_ = false;
    asked_.clear();
    Do([&](auto* out) { session_.OnClosed(connection_, Unavailable("reset"), now_, out); });
  }
  void Tick(SteadyTime at) {
    if (at == SteadyTime::max()) return;
    now_ = std::max(now_, at);
    Do([&](auto* out) { session_.OnTick(now_, out); });
  }

  void FinishOne(Input& in) {
    if (runs_.empty()) return;
    const std::uint8_t how = in.Byte();
    const Reply reply = (how & 3) == 0   ? Reply::Done(std::string(in.Chunk()))
                        : (how & 3) == 1 ? Reply::Refused(std::string(in.Chunk()))
                        : (how & 3) == 2 ? Reply::DoneReadOnly()
                                         : Reply::RetryLater(std::string(in.Chunk()));
    FinishRun((how >> 2) % runs_.size(), reply, (how & 128) == 0);
  }
  void FinishRun(std::size_t at, const Reply& reply, bool take) {
    const internal::Ticket ticket = runs_[at];
    runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(at));
    if (take) {
      (void)calls_.Take(ticket, now_, [&](const internal::Waiter& w) { return session_.Alive(w); });
    }
    const internal::CallTable::Finished finished = calls_.Finish(ticket);
    if (finished.next) runs_.push_back(*finished.next);
    for (const internal::Waiter& waiter : finished.waiters) {
      Do([&](auto* out) {
        session_.Answer(waiter, finished.gid, finished.branch_id, finished.operation, reply, now_,
                        out);
      });
    }
  }

  template <typename Feed>
  void Do(const Feed& feed) {
    internal::Actions actions;
    feed(&actions);
    for (internal::Action& action : actions) {
      std::visit([this](auto& what) { this->On(what); }, action);
    }
    ASSENT_CHECK(session_.in_flight() <= kMaxInFlight);
  }
  void On(const act::Dial& dial) {
    ASSENT_CHECK(dial.connection == connection_ + 1);
    connection_ = dial.connection;
    connected_ = true;
    started_ = writing_ = half_closed_ = cancelled_ = false;
  }
  void On(const act::Send& send) {
    ASSENT_CHECK(!std::exchange(writing_, true) && !half_closed_ && !cancelled_);
    const v1::ParticipantFrame& frame = send.frame;
    ASSENT_CHECK(frame.ByteSizeLong() <= limits::kMaxFrameBytes);
    ASSENT_CHECK(static_cast<std::size_t>(frame.replies_size() + frame.queries_size()) <=
                 limits::kMaxFrameMessagesCount);
    ASSENT_CHECK(v1::ParticipantFrame().ParseFromString(frame.SerializeAsString()));
    for (const v1::OutcomeQuery& query : frame.queries())
      ASSENT_CHECK(asked_.emplace(query.gid(), query.branch_id()).second);
  }
  void On(const act::HalfClose&) { ASSENT_CHECK(!std::exchange(half_closed_, true)); }
  void On(const act::Cancel&) { ASSENT_CHECK(!std::exchange(cancelled_, true)); }
  void On(const act::Run& run) { runs_.push_back(run.ticket); }
  void On(const act::Deliver& deliver) {
    ASSENT_CHECK(asked_.erase({deliver.branch.gid, deliver.branch.branch_id}) == 1);
  }
  void On(const act::Ask&) {}
  void On(const act::Log& log) {
    for (const char c : log.line) ASSENT_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }

  internal::CallTable calls_;
  internal::Session session_;
  SteadyTime now_{std::chrono::hours(1)};
  // The stream: it reports nothing before it is dialled and after it has closed.
  std::uint64_t connection_ = 0;
  bool connected_ = false;
  bool started_ = false;
  bool writing_ = false;
  bool half_closed_ = false;
  bool cancelled_ = false;
  std::vector<internal::Ticket> runs_;
  std::set<std::pair<std::string, std::string>> asked_;
};

class SubmitScript {
 public:
  void Run(Input in) {
    for (int i = 0; i < kMaxActionsCount && !in.empty(); ++i) One(in);
    Do([&](auto* out) { queue_.Shutdown(out); });
    ASSENT_CHECK(told_ == submitted_ && queue_.pending() == 0 && queue_.pending_bytes() == 0);
  }

 private:
  using Queue = internal::SubmitQueue;

  void One(Input& in) {
    switch (in.Below(8)) {
      case 0: return Submit(in);
      case 1: {
        v1::SubmitReplyFrame frame;
        if (!connected_) return;
        if (!Parse(in, frame))
          return Do([&](auto* out) { queue_.OnMalformed(connection_, "it does not parse", out); });
        return OnFrame(frame);
      }
      case 2: {
        v1::SubmitReplyFrame frame;
        v1::SubmitReply& reply = *frame.add_replies();
        reply.set_request_id(in.Below(8));
        reply.set_state(static_cast<v1::TransactionState>(in.Below(6)));
        reply.set_outcome(static_cast<v1::Outcome>(in.Below(6)));
        reply.set_error_code(static_cast<std::int32_t>(in.Below(18)));
        return OnFrame(frame);
      }
      case 3:
        if (!connected_ || std::exchange(started_, true)) return;
        return Do([&](auto* out) { queue_.OnStarted(connection_, now_, out); });
      case 4:
        if (!std::exchange(writing_, false)) return;
        return Do([&](auto* out) { queue_.OnWritten(connection_, now_, out); });
      case 5:
        if (!std::exchange(connected_, false)) return;
        writing_ = false;
        return Do(
            [&](auto* out) { queue_.OnClosed(connection_, Unavailable("reset"), now_, out); });
      case 6: now_ += std::chrono::milliseconds(in.Number(2)); break;
      default:
        if (queue_.Due() != SteadyTime::max()) now_ = std::max(now_, queue_.Due());
    }
    Do([&](auto* out) { queue_.OnTick(now_, out); });
  }

  void OnFrame(v1::SubmitReplyFrame& frame) {
    if (!connected_) return;
    Do([&](auto* out) { queue_.OnFrame(connection_, &frame, now_, out); });
  }

  void Submit(Input& in) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid("gid-" + std::to_string(submitted_));
    const SteadyTime deadline = now_ + std::chrono::milliseconds(1 + in.Number(2));
    ++submitted_;
    Do([&](auto* out) {
      queue_.Submit(
          std::move(request), [](const Result<Report>&) {}, deadline, now_, out);
    });
  }

  template <typename Feed>
  void Do(const Feed& feed) {
    Queue::Actions actions;
    feed(&actions);
    for (Queue::Action& action : actions) {
      if (const auto* dial = std::get_if<Queue::Dial>(&action)) {
        connection_ = dial->connection;
        connected_ = true;
        started_ = writing_ = false;
      }
      if (const auto* send = std::get_if<Queue::Send>(&action)) {
        ASSENT_CHECK(!std::exchange(writing_, true));
        ASSENT_CHECK(static_cast<std::size_t>(send->frame.requests_size()) <=
                     limits::kMaxFrameMessagesCount);
      }
      if (std::holds_alternative<Queue::Complete>(action)) ++told_;
    }
  }

  static Queue::Options OptionsOf() {
    Queue::Options options;
    options.routes = std::make_shared<const internal::Routes>(std::vector<std::string>{"here:1"});
    options.max_pending_count = 8;
    return options;
  }

  Queue queue_{OptionsOf()};
  SteadyTime now_{std::chrono::hours(1)};
  std::uint64_t connection_ = 0;
  bool connected_ = false;
  bool started_ = false;
  bool writing_ = false;
  std::uint64_t submitted_ = 0;
  std::uint64_t told_ = 0;
};

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Input in(data, size);
  if (in.Below(4) == 3) {
    assent::fuzz::SubmitScript().Run(in);
  } else {
    assent::fuzz::SessionScript().Run(in);
  }
  return 0;
}
