#include "participant-sdk/cpp/src/session.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/slot.h>

#include "participant-sdk/cpp/src/text.h"
#include "participant-sdk/cpp/src/wire.h"
#include "proto/words/words.h"

namespace assent::internal {
namespace {

using std::chrono::milliseconds;

// A connection that lasted so long was a good one: the next dial does not inherit the waits of the
// failures before it.
constexpr std::chrono::seconds kGoodConnection{5};
constexpr std::size_t kMaxShownIdBytes = 64;
constexpr std::size_t kMaxLogLineBytes = 4096;
// Enough for a frame to be worth its write; far below what the coordinator takes in one.
constexpr std::size_t kFrameBytes = 1024 * 1024;
static_assert(kFrameBytes + limits::kMaxResultBytes + 4096 < limits::kMaxFrameBytes);

// What a command is answered that is not taken: echoed as far as it can be read.
v1::BranchReply Rejection(const std::string& gid, const std::string& branch_id,
                          const v1::BranchCommand& command, const std::string& reason) {
  v1::BranchReply reply;
  reply.set_gid(gid);
  reply.set_branch_id(branch_id);
  reply.set_operation(command.operation());
  reply.set_command_id(command.command_id());
  reply.set_kind(v1::BranchReply::RETRY_LATER);
  reply.set_reason(CleanText(reason, limits::kMaxReasonBytes));
  return reply;
}
v1::BranchReply Rejection(const v1::BranchCommand& command, const std::string& reason) {
  return Rejection(command.gid(), command.branch_id(), command, reason);
}

}  // namespace

Session::Session(Options options, CallTable* calls)
    : options_(std::move(options)),
      calls_(calls),
      wanted_max_in_flight_(options_.max_in_flight),
      backoff_(options_.initial_backoff, options_.max_backoff, options_.seed) {}

// What a coordinator says about itself may be anything: it must not end a line and begin another.
void Session::LogLine(const std::string& text, Actions* out) const {
  out->push_back(act::Log{OneLine(text + " endpoint=" + options_.endpoint, kMaxLogLineBytes)});
}

void Session::Start(SteadyTime now, Actions* out) {
  ASSENT_CHECK(state_ == State::kWaiting && connection_ == 0);
  Dial(now, out);
}

void Session::Dial(SteadyTime now, Actions* out) {
  state_ = State::kDialing;
  due_ = now + options_.patience;
  if (std::exchange(options_.max_in_flight, wanted_max_in_flight_) != wanted_max_in_flight_)
    options_.hello.set_max_in_flight(wanted_max_in_flight_);
  ++connection_;
  out->push_back(act::Dial{connection_});
}

bool Session::Alive(const Waiter& waiter) const {
  return waiter.connection == connection_ &&
         (state_ == State::kOpen || state_ == State::kDraining) && !cancelled_ && !half_closed_;
}

// ------------------------------------------------------------------------------------------------
// what comes in

void Session::OnStarted(std::uint64_t connection, SteadyTime now, Actions* out) {
  if (connection != connection_ || cancelled_) return;
  stands_ = hello_due_ = true;
  Pump(now, out);
}

void Session::OnFrame(std::uint64_t connection, v1::CoordinatorFrame* frame, SteadyTime now,
                      Actions* out) {
  if (connection != connection_ || cancelled_) return;
  if (frame->has_welcome() != (state_ == State::kDialing)) {
    OnMalformed(connection,
                state_ == State::kDialing ? "its first frame has no Welcome" : "a second Welcome",
                out);
    return;
  }
  if (frame->has_welcome()) OnWelcome(frame->welcome(), now, out);
  for (v1::BranchCommand& command : *frame->mutable_commands()) OnCommand(&command, now, out);
  for (const v1::OutcomeAnswer& answer : frame->answers()) OnAnswer(answer, out);
  if (frame->goodbye()) {
    LogLine("coordinator says goodbye", out);
    BeginDraining();
  }
  Pump(now, out);
}

void Session::OnWelcome(const v1::Welcome& welcome, SteadyTime now, Actions* out) {
  coordinator_id_ = welcome.coordinator_id();
  epoch_ = welcome.epoch();
  clustered_ = welcome.cluster_version() != 0;
  opened_at_ = now;
  due_ = SteadyTime::max();
  state_ = State::kOpen;
  ++counters_.connections;
  LogLine("connected session=" + welcome.session_id().substr(0, kMaxShownIdBytes) +
              " coordinator=" + std::to_string(coordinator_id_) +
              " epoch=" + std::to_string(welcome.epoch()),
          out);
  out->push_back(act::Ask{});
}

// Dropped without an answer: whoever sent it has lost the slot and must not conclude anything.
bool Session::IsStale(const v1::BranchCommand& command, Actions* out) {
  if (command.slot() > std::numeric_limits<Slot>::max()) return false;  // ill-formed
  const auto slot = static_cast<Slot>(command.slot());
  if (calls_->HeardFromOwner(coordinator_id_, slot, command.slot_epoch())) return false;
  ++counters_.stale_commands;
  if (!std::exchange(told_stale_, true)) {
    LogLine("command dropped, another coordinator has slot " + std::to_string(slot) +
                " since; slot_epoch=" + std::to_string(command.slot_epoch()),
            out);
  }
  return true;
}

void Session::OnCommand(v1::BranchCommand* command, SteadyTime now, Actions* out) {
  ++counters_.commands;
  if (IsStale(*command, out)) return;
  const Waiter waiter{options_.index, connection_, command->command_id()};
  if (in_flight_ >= options_.max_in_flight) {
    QueueReply(Rejection(*command, "more than max_in_flight (" +
                                       std::to_string(options_.max_in_flight) +
                                       ") commands are unanswered here"));
    return;
  }
  Result<Call> call = TakeCall(command);
  if (!call.ok()) {
    QueueReply(Rejection(*command, "ill-formed command: " + call.status().message()));
    return;
  }
  const CallTable::Admission admission = calls_->Admit(std::move(*call), waiter, now);
  switch (admission.kind) {
    case CallTable::Admission::Kind::kRun: out->push_back(act::Run{admission.ticket}); break;
    case CallTable::Admission::Kind::kBehind: break;
    case CallTable::Admission::Kind::kJoined: ++counters_.joined; break;
    case CallTable::Admission::Kind::kFull:
      QueueReply(Rejection(call->gid, call->branch_id, *command,
                           "the participant's queue is full (max_queued_calls)"));
      return;
  }
  ++in_flight_;
}

// An answer to something we did not ask on this connection is dropped: acting on it would trust a
// stranger's verdict.
void Session::OnAnswer(const v1::OutcomeAnswer& answer, Actions* out) {
  const auto asked = asked_.find(QuestionKey(answer.gid(), answer.branch_id()));
  const bool still_here =
      std::any_of(queries_.begin(), queries_.end(), [&](const HeldBranch& query) {
        return query.gid == answer.gid() && query.branch_id == answer.branch_id();
      });
  if (asked == asked_.end() || still_here) return;
  // Said by a newer coordinator, or by nobody: as good as no answer.
  if (const auto verdict = wire::FromWire<Verdict>(answer.verdict())) {
    out->push_back(act::Deliver{std::move(asked->second), *verdict, answer.finished()});
  }
  asked_.erase(asked);
}

void Session::OnMalformed(std::uint64_t connection, const std::string& why, Actions* out) {
  if (connection != connection_ || cancelled_) return;
  last_failure_ = Internal("the coordinator at " + options_.endpoint +
                           " does not keep to the protocol: " + why);
  LogLine("malformed frame, connection given up: " + why, out);
  cancelled_ = true;
  out->push_back(act::Cancel{});
}

void Session::OnWritten(std::uint64_t connection, SteadyTime now, Actions* out) {
  if (connection != connection_) return;
  writing_ = false;
  Pump(now, out);
}

void Session::OnClosed(std::uint64_t connection, const Status& why, SteadyTime now, Actions* out) {
  if (connection != connection_ || state_ == State::kWaiting || state_ == State::kStopped) return;
  const bool was_open = state_ != State::kDialing;
  if (was_open && now - opened_at_ >= kGoodConnection) backoff_.Reset();
  if (cancelled_ && !stands_) {
    last_failure_ = Unavailable(last_failure_.message() + ": " + why.message());
  } else if (!cancelled_) {
    last_failure_ =
        why.ok() ? Unavailable("the coordinator at " + options_.endpoint + " ended the session")
                 : why;
  }
  counters_.dropped_replies += replies_.size();
  replies_.clear();
  queries_.clear();
  asked_.clear();
  in_flight_ = 0;
  stands_ = writing_ = hello_due_ = goodbye_due_ = half_closed_ = cancelled_ = false;
  told_stale_ = false;
  if (stopping_ || retired_) {
    state_ = State::kStopped;
    due_ = SteadyTime::max();
    LogLine(stopping_ ? "stopped" : "coordinator has left", out);
    return;
  }
  state_ = State::kWaiting;
  const milliseconds wait = backoff_.Next();
  due_ = now + wait;
  LogLine(std::string(was_open ? "disconnected" : "not connected") + " retry_ms=" +
              std::to_string(wait.count()) + " reason=\"" + last_failure_.ToString() + "\"",
          out);
}

void Session::OnTick(SteadyTime now, Actions* out) {
  if (now < due_) return;
  if (state_ == State::kWaiting) {
    Dial(now, out);
    return;
  }
  due_ = SteadyTime::max();
  if (cancelled_) return;
  const std::string within = " within " + std::to_string(options_.patience.count()) + " ms";
  last_failure_ =
      stands_
          ? Unavailable("the coordinator at " + options_.endpoint + " did not " +
                        (state_ == State::kDialing ? "say Welcome" : "end the session") + within)
          : Unavailable("no connection to " + options_.endpoint + within);
  cancelled_ = true;
  out->push_back(act::Cancel{});
}

// ------------------------------------------------------------------------------------------------
// what goes out

void Session::Answer(const Waiter& waiter, const std::string& gid, const std::string& branch_id,
                     Operation operation, const Reply& reply, SteadyTime now, Actions* out) {
  if (!Alive(waiter)) {
    ++counters_.dropped_replies;
    return;
  }
  ASSENT_CHECK(in_flight_ > 0);
  --in_flight_;
  v1::BranchReply message;
  message.set_gid(gid);
  message.set_branch_id(branch_id);
  message.set_operation(wire::ToWire(operation));
  message.set_command_id(waiter.command_id);
  PutReply(operation, reply, &message);
  QueueReply(std::move(message));
  Pump(now, out);
}

void Session::Question(const std::vector<HeldBranch>& branches, SteadyTime now, Actions* out) {
  if (state_ != State::kOpen) return;
  for (const HeldBranch& branch : branches) {
    if (asked_.size() >= options_.max_questions) break;
    if (asked_.emplace(QuestionKey(branch.gid, branch.branch_id), branch).second)
      queries_.push_back(branch);
  }
  Pump(now, out);
}

void Session::QueueReply(v1::BranchReply reply) {
  ++counters_.replies;
  replies_.push_back(std::move(reply));
}

void Session::BeginDraining() {
  if (state_ == State::kOpen) state_ = State::kDraining;
  for (const HeldBranch& query : queries_) asked_.erase(QuestionKey(query.gid, query.branch_id));
  queries_.clear();
}

void Session::Stop(SteadyTime now, Actions* out) {
  if (stopping_) return;
  stopping_ = true;
  switch (state_) {
    case State::kWaiting:
      state_ = State::kStopped;
      due_ = SteadyTime::max();
      return;
    case State::kOpen:
    case State::kDraining:
      goodbye_due_ = true;
      BeginDraining();
      Pump(now, out);
      return;
    case State::kDialing: Abandon(out); return;  // nothing was asked of us yet
    case State::kStopped: return;
  }
}

void Session::Retire(Actions* out) {
  if (std::exchange(retired_, true)) return;
  if (state_ == State::kWaiting) {
    state_ = State::kStopped;
    due_ = SteadyTime::max();
  } else if (state_ == State::kDialing) {
    Abandon(out);
  }
}

void Session::Abandon(Actions* out) {
  if (state_ == State::kStopped || state_ == State::kWaiting || cancelled_) return;
  cancelled_ = true;
  out->push_back(act::Cancel{});
}

v1::ParticipantFrame Session::NextFrame() {
  v1::ParticipantFrame frame;
  std::size_t messages = 0;
  std::size_t bytes = 0;
  while (!replies_.empty() && messages < limits::kMaxFrameMessagesCount && bytes < kFrameBytes) {
    bytes += replies_.front().ByteSizeLong();
    *frame.add_replies() = std::move(replies_.front());
    replies_.pop_front();
    ++messages;
  }
  while (!queries_.empty() && messages < limits::kMaxFrameMessagesCount && bytes < kFrameBytes) {
    PutQuery(queries_.front(), frame.add_queries());
    queries_.pop_front();
    ++messages;
  }
  frame.set_goodbye(std::exchange(goodbye_due_, false));
  return frame;
}

void Session::Pump(SteadyTime now, Actions* out) {
  if (writing_ || cancelled_ || half_closed_) return;
  if (hello_due_) {
    hello_due_ = false;
    writing_ = true;
    act::Send send;
    *send.frame.mutable_hello() = options_.hello;
    out->push_back(std::move(send));
    return;
  }
  if (state_ != State::kOpen && state_ != State::kDraining) return;
  if (!replies_.empty() || !queries_.empty() || goodbye_due_) {
    writing_ = true;
    out->push_back(act::Send{NextFrame()});
    return;
  }
  if (state_ == State::kDraining && in_flight_ == 0) {
    half_closed_ = true;
    due_ = now + options_.patience;
    out->push_back(act::HalfClose{});
  }
}

}  // namespace assent::internal
