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
      routes_(options_.routes),
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
  Line& line = Choose(pending, now, out);
  pending.line = &line;
  line.unsent.push_back(id);
  Pump(line, out);
}

// ------------------------------------------------------------------------------------------------
// lines

SubmitQueue::Line* SubmitQueue::Of(std::uint64_t connection) {
  for (Line& line : lines_) {
    if (line.connected && line.connection == connection) return &line;
  }
  return nullptr;
}

bool SubmitQueue::Uses(std::uint64_t connection) const {
  return std::any_of(lines_.begin(), lines_.end(), [&](const Line& line) {
    return line.connected && line.connection == connection;
  });
}

SubmitQueue::Line& SubmitQueue::LineTo(const std::string& endpoint) {
  for (Line& line : lines_) {
    if (line.endpoint == endpoint) return line;
  }
  return lines_.emplace_back(endpoint,
                             Backoff(options_.retry.initial_backoff, options_.retry.max_backoff,
                                     options_.seed + connections_));
}

bool SubmitQueue::AnyStands() const {
  return std::any_of(lines_.begin(), lines_.end(), [](const Line& line) { return line.Stands(); });
}

// The owner's if it stands; else another one that does, which hands it on, while the owner's is
// dialled. Where none stands, the first that has not failed just now.
SubmitQueue::Line& SubmitQueue::Choose(const Pending& pending, SteadyTime now, Actions* out) {
  const bool bound = pending.line != nullptr && pending.maybe_done && !routes_->shared();
  const std::string& gid = pending.request.transaction().gid();
  Line* chosen = bound ? pending.line : &LineTo(routes_->endpoint(routes_->Choice(gid, 0)));
  if (!chosen->connected && !chosen->dial_at) Connect(*chosen, now, out);
  if (bound || chosen->Stands()) return *chosen;
  Line* hopeful = chosen->dial_at || chosen->cancelled ? nullptr : chosen;
  for (std::size_t rank = 1; rank < routes_->size(); ++rank) {
    Line& other = LineTo(routes_->endpoint(routes_->Choice(gid, rank)));
    if (other.Stands()) return other;
    if (hopeful == nullptr && !other.dial_at && !other.cancelled) hopeful = &other;
  }
  if (hopeful == nullptr) return *chosen;
  if (!hopeful->connected) Connect(*hopeful, now, out);
  return *hopeful;
}

void SubmitQueue::Assign(PendingMap::iterator pending, SteadyTime now, Actions* out) {
  Line& line = Choose(pending->second, now, out);
  pending->second.line = &line;
  line.unsent.push_back(pending->first);
}

void SubmitQueue::AssignAll(const std::vector<std::uint64_t>& ids, SteadyTime now, Actions* out) {
  for (const std::uint64_t id : ids) {
    const auto at = pending_.find(id);
    if (at != pending_.end()) Assign(at, now, out);
  }
  PumpAll(out);
}

void SubmitQueue::SetRoutes(RoutesPtr routes, const std::vector<std::string>& gone, SteadyTime now,
                            Actions* out) {
  routes_ = std::move(routes);
  std::vector<std::uint64_t> ids;
  for (Line& line : lines_) {
    const bool left = std::find(gone.begin(), gone.end(), line.endpoint) != gone.end();
    if (left) GiveUpOn(line, out);
    if (line.Stands()) continue;
    // What has not been sent may go straight to its owner.
    for (const std::uint64_t id : line.unsent) {
      const auto at = pending_.find(id);
      if (at != pending_.end() && at->second.line == &line && !at->second.sent) ids.push_back(id);
    }
    line.unsent.clear();
  }
  AssignAll(ids, now, out);
  Forget();
}

void SubmitQueue::GiveUpOn(Line& line, Actions* out) {
  if (!line.connected || std::exchange(line.cancelled, true)) return;
  out->push_back(Cancel{line.connection});
}

void SubmitQueue::Forget() {
  lines_.remove_if([this](const Line& line) {
    return !line.connected && !routes_->Has(line.endpoint) &&
           std::none_of(pending_.begin(), pending_.end(),
                        [&](const auto& pending) { return pending.second.line == &line; });
  });
}

// Until one stands it counts as failing: nobody may be there.
void SubmitQueue::Connect(Line& line, SteadyTime now, Actions* out) {
  line.dial_at.reset();
  if (!down_since_ && !AnyStands()) down_since_ = now;
  line.connected = true;
  ++connected_count_;
  line.connection = ++connections_;
  if (routes_->size() > 1) line.patient_until = now + options_.patience;
  out->push_back(Dial{line.connection, line.endpoint});
}

void SubmitQueue::Pump(Line& line, Actions* out) {
  if (!line.Stands() || line.writing || line.unsent.empty()) return;
  Send send;
  send.connection = line.connection;
  std::size_t bytes = 0;
  std::size_t count = 0;
  while (!line.unsent.empty() && count < limits::kMaxFrameMessagesCount) {
    const auto at = pending_.find(line.unsent.front());
    if (at == pending_.end() || at->second.line != &line) {  // given up while it waited, or moved
      line.unsent.pop_front();
      continue;
    }
    if (count > 0 && bytes + at->second.bytes > kFrameBytes) break;
    *send.frame.add_requests() = at->second.request;
    at->second.sent = true;
    bytes += at->second.bytes;
    ++count;
    line.unsent.pop_front();
  }
  if (count == 0) return;
  line.writing = true;
  out->push_back(std::move(send));
}

void SubmitQueue::PumpAll(Actions* out) {
  for (Line& line : lines_) Pump(line, out);
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
  Line* line = Of(connection);
  if (line == nullptr || line->cancelled) return;
  line->started = true;
  line->patient_until.reset();
  down_since_.reset();  // what is sent from here on is not failing, only unanswered
  Pump(*line, out);
}

void SubmitQueue::OnFrame(std::uint64_t connection, v1::SubmitReplyFrame* frame, SteadyTime now,
                          Actions* out) {
  Line* line = Of(connection);
  if (line == nullptr || line->cancelled) return;
  line->backoff.Reset();
  for (v1::SubmitReply& reply : *frame->mutable_replies()) OnReply(*line, &reply, now, out);
  Pump(*line, out);
}

// A reply to something we do not wait for (given up meanwhile) is dropped.
void SubmitQueue::OnReply(const Line& line, v1::SubmitReply* reply, SteadyTime now, Actions* out) {
  const auto at = pending_.find(reply->request_id());
  if (at == pending_.end() || !at->second.sent || at->second.line != &line) return;
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
  Line* line = Of(connection);
  if (line == nullptr || line->cancelled) return;
  last_failure_ =
      Internal("the coordinator at " + line->endpoint + " does not keep to the protocol: " + why);
  GiveUpOn(*line, out);
}

void SubmitQueue::OnWritten(std::uint64_t connection, SteadyTime, Actions* out) {
  Line* line = Of(connection);
  if (line == nullptr) return;
  line->writing = false;
  Pump(*line, out);
}

void SubmitQueue::OnClosed(std::uint64_t connection, const Status& why, SteadyTime now,
                           Actions* out) {
  Line* line = Of(connection);
  if (line == nullptr) return;
  line->connected = line->started = line->writing = false;
  line->patient_until.reset();
  --connected_count_;
  if (!std::exchange(line->cancelled, false)) {
    last_failure_ =
        why.ok() ? Unavailable("the coordinator at " + line->endpoint + " ended the stream") : why;
  }
  line->unsent.clear();
  std::vector<std::uint64_t> ids;
  for (auto& [id, pending] : pending_) {
    if (pending.line != line) continue;
    // It may have arrived, whatever became of the write.
    pending.maybe_done = pending.maybe_done || pending.sent;
    pending.sent = false;
    if (!pending.retry_at) ids.push_back(id);
  }
  if (pending_.empty() || shut_down_) {
    down_since_.reset();  // the next Submit dials, and counts anew
    return Forget();
  }
  if (!down_since_ && !AnyStands()) down_since_ = now;
  line->dial_at = now + line->backoff.Next();
  AssignAll(ids, now, out);
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
    const auto at = pending_.find(retries_.begin()->second);
    retries_.erase(retries_.begin());
    at->second.retry_at.reset();
    Assign(at, now, out);
  }
  for (Line& line : lines_) TickLine(line, now, out);
  PumpAll(out);
  Forget();
}

void SubmitQueue::TickLine(Line& line, SteadyTime now, Actions* out) {
  if (line.patient_until && *line.patient_until <= now) {
    line.patient_until.reset();
    last_failure_ = Unavailable("no connection to " + line.endpoint + " within " +
                                std::to_string(options_.patience.count()) + " ms");
    GiveUpOn(line, out);
  }
  if (!line.dial_at || *line.dial_at > now) return;
  line.dial_at.reset();
  const bool wanted = std::any_of(pending_.begin(), pending_.end(), [&](const auto& pending) {
    return pending.second.line == &line;
  });
  if (wanted) Connect(line, now, out);
}

SteadyTime SubmitQueue::Due() const {
  SteadyTime due = SteadyTime::max();
  for (const Line& line : lines_) {
    due = std::min(due, line.dial_at.value_or(SteadyTime::max()));
    due = std::min(due, line.patient_until.value_or(SteadyTime::max()));
  }
  if (!deadlines_.empty()) due = std::min(due, deadlines_.begin()->first);
  if (!retries_.empty()) due = std::min(due, retries_.begin()->first);
  if (!pending_.empty()) due = std::min(due, HopeUntil(pending_.begin()->second));
  return due;
}

void SubmitQueue::Shutdown(Actions* out) {
  shut_down_ = true;
  while (!pending_.empty()) {
    Finish(pending_.begin(),
           GiveUpOn(pending_.begin()->second, {Code::kCancelled, "the client is going away"}), out);
  }
  for (Line& line : lines_) {
    line.dial_at.reset();
    line.unsent.clear();
    GiveUpOn(line, out);
  }
}

}  // namespace assent::internal
