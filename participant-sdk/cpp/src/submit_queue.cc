#include "participant-sdk/cpp/src/submit_queue.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>

#include "participant-sdk/cpp/src/wire.h"

namespace assent::internal {
namespace {

constexpr std::size_t kFrameBytes = 1024 * 1024;
// One transaction may be larger than that; it then travels alone, and still fits.
static_assert(limits::kMaxTransactionBytes + limits::kMaxBranchesCount * 1024 <
              limits::kMaxFrameBytes);

std::string What(const v1::SubmitRequest& request) {
  return "Submit of transaction " + request.transaction().gid();
}

}  // namespace

SubmitQueue::SubmitQueue(Options options)
    : options_(std::move(options)),
      backoff_(options_.retry.initial_backoff, options_.retry.max_backoff, options_.seed),
      refusal_backoff_(options_.retry.max_backoff / 4, options_.retry.max_backoff, ~options_.seed) {
}

void SubmitQueue::Submit(v1::SubmitRequest request, Connection::ReportCallback done,
                         SteadyTime deadline, SteadyTime now, Actions* out) {
  const std::size_t bytes = request.ByteSizeLong();
  if (shut_down_) {
    out->push_back(Complete{
        std::move(done), Unavailable(What(request) + " was not sent: the client is going away")});
    return;
  }
  if (pending_.size() >= options_.max_pending_count ||
      bytes_ + bytes > options_.max_pending_bytes) {
    out->push_back(Complete{
        std::move(done),
        ResourceExhausted(What(request) + " was not sent: this client has " +
                          std::to_string(pending_.size()) + " transactions of " +
                          std::to_string(bytes_) + " bytes unanswered; max_pending_count is " +
                          std::to_string(options_.max_pending_count) + ", max_pending_bytes " +
                          std::to_string(options_.max_pending_bytes))});
    return;
  }
  const std::uint64_t id = ++last_id_;
  request.set_request_id(id);
  Pending& pending = pending_[id];
  pending.request = std::move(request);
  pending.done = std::move(done);
  pending.submitted = now;
  pending.deadline = deadline;
  pending.bytes = bytes;
  bytes_ += bytes;
  deadlines_.emplace(deadline, id);
  unsent_.push_back(id);
  if (!connected_ && !dial_at_) Connect(now, out);
  Pump(out);
}

// Until it stands it counts as failing: nobody may be there.
void SubmitQueue::Connect(SteadyTime now, Actions* out) {
  dial_at_.reset();
  if (!down_since_) down_since_ = now;
  connected_ = true;
  ++connection_;
  out->push_back(Dial{connection_});
}

void SubmitQueue::Pump(Actions* out) {
  if (!started_ || writing_ || cancelled_ || unsent_.empty()) return;
  Send send;
  std::size_t bytes = 0;
  std::size_t count = 0;
  while (!unsent_.empty() && count < limits::kMaxFrameMessagesCount) {
    const auto at = pending_.find(unsent_.front());
    if (at == pending_.end()) {  // given up while it waited
      unsent_.pop_front();
      continue;
    }
    if (count > 0 && bytes + at->second.bytes > kFrameBytes) break;
    *send.frame.add_requests() = at->second.request;
    at->second.sent = true;
    bytes += at->second.bytes;
    ++count;
    unsent_.pop_front();
  }
  if (count == 0) return;
  writing_ = true;
  out->push_back(std::move(send));
}

void SubmitQueue::Finish(PendingMap::iterator pending, Result<Report> result, Actions* out) {
  deadlines_.erase({pending->second.deadline, pending->first});
  if (pending->second.retry_at) retries_.erase({*pending->second.retry_at, pending->first});
  bytes_ -= pending->second.bytes;
  out->push_back(Complete{std::move(pending->second.done), std::move(result)});
  pending_.erase(pending);
}

Status SubmitQueue::GiveUpOn(const Pending& pending, const Status& last) const {
  return GiveUp(What(pending.request), pending.maybe_done || pending.sent, last);
}

// ------------------------------------------------------------------------------------------------
// what comes in

void SubmitQueue::OnStarted(std::uint64_t connection, SteadyTime, Actions* out) {
  if (connection != connection_ || !connected_ || cancelled_) return;
  started_ = true;
  down_since_.reset();  // what is sent from here on is not failing, only unanswered
  Pump(out);
}

void SubmitQueue::OnFrame(std::uint64_t connection, v1::SubmitReplyFrame* frame, SteadyTime now,
                          Actions* out) {
  if (connection != connection_ || !connected_ || cancelled_) return;
  backoff_.Reset();
  for (v1::SubmitReply& reply : *frame->mutable_replies()) OnReply(&reply, now, out);
  Pump(out);
}

// A reply to something we do not wait for (given up meanwhile) is dropped.
void SubmitQueue::OnReply(v1::SubmitReply* reply, SteadyTime now, Actions* out) {
  const auto at = pending_.find(reply->request_id());
  if (at == pending_.end() || !at->second.sent) return;
  Pending& pending = at->second;
  if (reply->error_code() == 0) return Finish(at, TakeReport(reply), out);

  const Status failure(CodeOf(reply->error_code()), std::move(*reply->mutable_error_message()));
  // Written into a reply of the contract it is the daemon's own word, which no library and no proxy
  // makes up: full or stopping, it has begun nothing for this message. Of an earlier one, whose
  // stream broke, it says nothing.
  const bool refused =
      failure.code() == Code::kResourceExhausted || failure.code() == Code::kUnavailable;
  pending.sent = false;
  pending.maybe_done = pending.maybe_done || !refused;
  switch (MeaningOf({.status = failure, .contacted = !refused})) {
    case Meaning::kAnswer: return Finish(at, failure, out);
    case Meaning::kNotServed: return Finish(at, GiveUpOn(pending, failure), out);
    case Meaning::kOutOfTime:
    case Meaning::kMaybeDone:
    case Meaning::kNotDone: break;
  }
  if (!pending.failing_since) pending.failing_since = now;
  const SteadyTime retry_at = now + refusal_backoff_.Next();
  if (retry_at >=
      std::min(pending.deadline, *pending.failing_since + options_.retry.give_up_after)) {
    return Finish(at, GiveUpOn(pending, failure), out);
  }
  pending.retry_at = retry_at;
  retries_.emplace(retry_at, at->first);
}

void SubmitQueue::OnMalformed(std::uint64_t connection, const std::string& why, Actions* out) {
  if (connection != connection_ || !connected_ || cancelled_) return;
  cancelled_ = true;
  last_failure_ = Internal("the coordinator at " + options_.endpoint +
                           " does not keep to the protocol: " + why);
  out->push_back(Cancel{});
}

void SubmitQueue::OnWritten(std::uint64_t connection, SteadyTime, Actions* out) {
  if (connection != connection_ || !connected_) return;
  writing_ = false;
  Pump(out);
}

void SubmitQueue::OnClosed(std::uint64_t connection, const Status& why, SteadyTime now,
                           Actions* out) {
  if (connection != connection_ || !connected_) return;
  connected_ = started_ = writing_ = false;
  if (!std::exchange(cancelled_, false)) {
    last_failure_ =
        why.ok() ? Unavailable("the coordinator at " + options_.endpoint + " ended the stream")
                 : why;
  }
  unsent_.clear();
  for (auto& [id, pending] : pending_) {
    // It may have arrived, whatever became of the write.
    pending.maybe_done = pending.maybe_done || pending.sent;
    pending.sent = false;
    if (!pending.retry_at) unsent_.push_back(id);
  }
  if (pending_.empty() || shut_down_) {
    down_since_.reset();  // the next Submit dials, and counts anew
    return;
  }
  if (!down_since_) down_since_ = now;
  dial_at_ = now + backoff_.Next();
  OnTick(now, out);
}

SteadyTime SubmitQueue::HopeUntil(const Pending& pending) const {
  if (!down_since_) return SteadyTime::max();
  return std::max(*down_since_, pending.submitted) + options_.retry.give_up_after;
}

void SubmitQueue::OnTick(SteadyTime now, Actions* out) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto at = pending_.find(deadlines_.begin()->second);
    Finish(at,
           GiveUpOn(at->second, {Code::kDeadlineExceeded,
                                 "the call's timeout ended; " + last_failure_.ToString()}),
           out);
  }
  while (!pending_.empty() && HopeUntil(pending_.begin()->second) <= now) {
    Finish(pending_.begin(), GiveUpOn(pending_.begin()->second, last_failure_), out);
  }
  while (!retries_.empty() && retries_.begin()->first <= now) {
    const std::uint64_t id = retries_.begin()->second;
    retries_.erase(retries_.begin());
    pending_.at(id).retry_at.reset();
    unsent_.push_back(id);
  }
  if (dial_at_ && *dial_at_ <= now) {
    if (pending_.empty()) {
      dial_at_.reset();
    } else {
      Connect(now, out);
    }
  }
  Pump(out);
}

SteadyTime SubmitQueue::Due() const {
  SteadyTime due = dial_at_.value_or(SteadyTime::max());
  if (!deadlines_.empty()) due = std::min(due, deadlines_.begin()->first);
  if (!retries_.empty()) due = std::min(due, retries_.begin()->first);
  if (!pending_.empty()) due = std::min(due, HopeUntil(pending_.begin()->second));
  return due;
}

void SubmitQueue::Shutdown(Actions* out) {
  shut_down_ = true;
  dial_at_.reset();
  while (!pending_.empty()) {
    Finish(pending_.begin(),
           GiveUpOn(pending_.begin()->second, {Code::kCancelled, "the client is going away"}), out);
  }
  unsent_.clear();
  if (connected_ && !cancelled_) {
    cancelled_ = true;
    out->push_back(Cancel{});
  }
}

}  // namespace assent::internal
