// Commands: in, on to an instance, out, settled.

#include "coordinator/transport/dispatcher.h"

#include <chrono>
#include <iterator>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/transport/dispatcher_state.h"

namespace assent::transport {
namespace {

// About what a command takes on the wire.
std::size_t BytesOf(const Command& command) {
  std::size_t bytes = 256 + command.payload.size();
  for (const auto& [id, result] : command.results) bytes += id.size() + result.size() + 16;
  for (const auto& [key, value] : command.headers) bytes += key.size() + value.size() + 16;
  return bytes;
}

// Settled with each Send at least, so that what expires is gone soon, however little else happens.
constexpr std::size_t kExpiredWithEachSendCount = 64;

}  // namespace

Dispatcher::Dispatcher(DispatcherLimits limits) : limits_(limits) {}
Dispatcher::~Dispatcher() = default;

// ---- In -----------------------------------------------------------------------------------------

void Dispatcher::Send(std::vector<Command> commands, Effects& effects) {
  (void)Expire(commands.size() + kExpiredWithEachSendCount, effects);
  for (Command& command : commands) One(command, effects);
}

void Dispatcher::One(Command& command, Effects& effects) {
  ++counters_.steps;
  const auto found = services_.find(command.service);
  if (found == services_.end()) return effects.replies.push_back(Absent(nullptr, command));
  Service& service = found->second;
  if (service.waitable == 0) return effects.replies.push_back(Absent(&service, command));
  Lane* lane = LaneOf(service, command);
  if (lane == nullptr || !lane->waitable())
    return effects.replies.push_back(NoSuchAction(service, lane != nullptr, command));
  if (command.attempt > 1) ++service.figures->retries;
  if (service.rate) service.rate->Refill(now_);
  const Branch branch(command);
  if (Supersede(*lane, branch, command, effects)) return;
  if (command.attempt > 1 && !command.never_sent && !MayRetry(service))
    return effects.replies.push_back(NotSent(command, OverBudget(service)));

  const std::uint64_t key = KeyOf(service.policy, command);
  Instance* instance = Pick(*lane, key);
  const std::size_t bytes = BytesOf(command);
  const bool too_many = instance == nullptr && service.queued >= limits_.max_queued_count;
  const bool too_large =
      (service.held_bytes > 0 && service.held_bytes + bytes > limits_.max_held_bytes) ||
      (held_bytes_ > 0 && held_bytes_ + bytes > limits_.max_all_held_bytes);
  if (too_many || too_large) {
    return effects.replies.push_back(NotSent(
        command, "participant " + command.service + " is overloaded: " +
                     std::to_string(service.queued) + " commands wait for it, " +
                     std::to_string(service.held_bytes) + " bytes of its commands are held"));
  }
  const core::MonoTime expires_at = now_ + command.timeout;
  Entries fresh = Accept({.command = std::move(command),
                          .hash = branch.hash,
                          .expires_at = expires_at,
                          .bytes = bytes,
                          .service = &service,
                          .lane = lane,
                          .key = key});
  if (instance != nullptr) return Assign(*instance, fresh, fresh.begin(), effects);
  Place(fresh, fresh.begin(), /*front=*/false, effects);
}

Dispatcher::Entries Dispatcher::Accept(Entry known) {
  Entries fresh;
  Entry& entry = fresh.emplace_back(std::move(known));
  entry.id = next_command_id_++;
  SetDue(entry, entry.expires_at);
  entry.service->held_bytes += entry.bytes;
  held_bytes_ += entry.bytes;
  entries_.emplace(entry.id, fresh.begin());
  waiting_.insert(&entry);
  return fresh;
}

// A newer attempt at a branch takes the place of the one that waits, which certainly was not sent.
bool Dispatcher::Supersede(const Lane& lane, const Branch& branch, Command& command,
                           Effects& effects) {
  const auto found = waiting_.find(branch);
  if (found == waiting_.end()) return false;
  Entry& entry = **found;
  ++counters_.superseded;
  const bool once_sent = entry.twin != nullptr || entry.maybe_sent;
  Conclude(entry, NotSent(entry.command, "another attempt took its place"), effects);
  if (entry.lane != &lane || once_sent) {
    Erase(entries_.at(entry.id));
    return false;
  }
  NotDue(entry);
  SetDue(entry, now_ + command.timeout);
  const std::size_t bytes = BytesOf(command);
  Release(*entry.service, entry.bytes);
  entry.service->held_bytes += bytes;
  held_bytes_ += bytes;
  if (entry.state == Entry::State::kOutbox) entry.instance->outbox_bytes += bytes - entry.bytes;
  entry.bytes = bytes;
  waiting_.erase(found);  // its key is in the command
  entry.command = std::move(command);
  waiting_.insert(&entry);
  return true;
}

bool Dispatcher::Admits(const Service& service) {
  return service.breaker.Admits() && (!service.rate || service.rate->Has());
}

// Of all instances with room that offer it: one that is near before any other, and of those the one
// that the policy chooses.
Dispatcher::Instance* Dispatcher::Pick(const Lane& lane, std::uint64_t key) {
  if (lane.variants.empty() || !Admits(*lane.variants.front()->service)) return nullptr;
  for (std::size_t tier = 0; tier < Variant::kTiersCount; ++tier) {
    traffic::Chooser::Choice best;
    for (const Variant* variant : lane.variants) {
      ++counters_.steps;
      if (variant->choosers.at(tier) == nullptr) continue;
      const traffic::Chooser::Choice choice = variant->choosers.at(tier)->Choose(key);
      if (choice.who != nullptr && (best.who == nullptr || choice.rank < best.rank)) best = choice;
    }
    if (best.who != nullptr) return instances_.at(best.who->id).get();
  }
  return nullptr;
}

void Dispatcher::Place(Entries& from, Entries::iterator at, bool front, Effects& effects) {
  Lane& lane = *at->lane;
  if (Instance* instance = Pick(lane, at->key)) return Assign(*instance, from, at, effects);
  const std::uint64_t old_head = lane.queue.empty() ? 0 : lane.queue.front().id;
  at->state = Entry::State::kQueued;
  at->instance = nullptr;
  lane.queue.splice(front ? lane.queue.begin() : lane.queue.end(), from, at);
  ++at->service->queued;
  ++counters_.queued;
  SetHead(lane, old_head);
  if (at->service->rate) Plan(*at->service, at->service->rate->NextAt());
}

void Dispatcher::Assign(Instance& instance, Entries& from, Entries::iterator at, Effects& effects) {
  ++counters_.steps;
  if (instance.outbox.empty()) effects.touched.push_back(instance.id);
  at->state = Entry::State::kOutbox;
  at->instance = &instance;
  instance.outbox_bytes += at->bytes;
  instance.outbox.splice(instance.outbox.end(), from, at);
  Leave(*at);
  Refresh(instance);
}

void Dispatcher::Fill(Instance& instance, Effects& effects) {
  auto& ready = instance.variant->ready;
  while (instance.candidate.free && !ready.empty() && Admits(*instance.service))
    AssignHead(*ready.begin()->second, instance, effects);
}

void Dispatcher::AssignHead(Lane& lane, Instance& instance, Effects& effects) {
  const auto at = lane.queue.begin();
  --at->service->queued;
  const std::uint64_t old_head = at->id;
  Assign(instance, lane.queue, at, effects);
  SetHead(lane, old_head);
}

void Dispatcher::Settle(Instance& instance, Effects& effects) {
  if (!instance.retired || !instance.out.empty()) return Fill(instance, effects);
  effects.gone.push_back(instance.id);
  Detach(instance.id, effects);
}

// The lane's oldest command was `old_head` (0: none), and may be another now.
void Dispatcher::SetHead(Lane& lane, std::uint64_t old_head) {
  const std::uint64_t head = lane.queue.empty() ? 0 : lane.queue.front().id;
  if (head == old_head) return;
  for (Variant* variant : lane.variants) {
    if (old_head != 0) variant->ready.erase({old_head, &lane});
    if (head != 0) variant->ready.emplace(head, &lane);
  }
}

// ---- Out ----------------------------------------------------------------------------------------

std::vector<Dispatcher::Outgoing> Dispatcher::Take(InstanceId id, std::size_t max_count,
                                                   std::size_t max_bytes, Effects& effects) {
  std::vector<Outgoing> taken;
  const auto found = instances_.find(id);
  if (found == instances_.end()) return taken;
  Instance& instance = *found->second;
  Release(*instance.service, std::exchange(instance.writing_bytes, 0));
  taken.reserve(std::min(max_count, instance.outbox.size()));
  std::size_t bytes = 0;
  while (taken.size() < max_count) {
    if (instance.outbox.empty()) Fill(instance, effects);
    if (instance.outbox.empty()) break;
    const auto at = instance.outbox.begin();
    ++counters_.steps;
    if (at->expires_at <= now_) {
      GiveUp(at, effects);
      continue;
    }
    bytes += at->bytes;
    if (!taken.empty() && bytes > max_bytes) break;
    instance.outbox_bytes -= at->bytes;
    waiting_.erase(&*at);
    at->state = Entry::State::kOut;
    at->left_at = now_;
    KeepCopy(*at);
    if (instance.session && at->copy == nullptr) {
      instance.writing_bytes += at->bytes;
      at->held = false;
    }
    if (!instance.session) NotDue(*at);  // every call ends, and says so
    Outgoing& out = taken.emplace_back();
    out.command_id = at->id;
    out.command = std::move(at->command);
    at->command.gid = out.command.gid;
    at->command.branch_id = out.command.branch_id;
    // What is left of its time: the sender counts from when it sent.
    const core::Millis left =
        std::chrono::ceil<core::Millis>(std::max(at->expires_at - now_, core::Micros(0)));
    out.command.timeout = std::max(left, core::Millis(1));
    instance.out.splice(instance.out.end(), instance.outbox, at);
  }
  Refresh(instance);
  Fill(instance, effects);
  return taken;
}

void Dispatcher::Return(InstanceId id, Outgoing outgoing, Effects& effects) {
  const auto found = entries_.find(outgoing.command_id);
  if (found == entries_.end() || found->second->state != Entry::State::kOut ||
      found->second->instance->id != id)
    return;
  const Entries::iterator at = found->second;
  Service& service = *at->service;
  Instance& instance = *at->instance;
  const bool expired = at->expires_at <= now_;
  const bool newer = waiting_.contains(Branch(*at));
  if (expired || newer || at->silent || at->twin != nullptr || service.waitable == 0 ||
      !at->lane->waitable()) {
    Conclude(*at,
             expired ? NotSent(at->command, "there was no connection in its time")
             : newer ? NotSent(at->command, "another attempt took its place")
                     : Absent(&service, at->command),
             effects);
    Erase(at);
    return Settle(instance, effects);
  }
  Entries back = TakeBack(at, std::move(outgoing.command), traffic::CallEnd::kNeutral);
  Place(back, at, /*front=*/true, effects);
  if (instance.retired) Settle(instance, effects);
}

Dispatcher::Entries Dispatcher::TakeBack(Entries::iterator at, Command command,
                                         traffic::CallEnd end) {
  Instance& instance = *at->instance;
  Left(*at, end);
  at->copy = nullptr;
  at->command = std::move(command);
  waiting_.insert(&*at);
  if (!at->due) SetDue(*at, at->expires_at);
  if (!at->held) {
    at->service->held_bytes += at->bytes;
    held_bytes_ += at->bytes;
  }
  at->held = true;
  Entries back;
  back.splice(back.end(), instance.out, at);
  Refresh(instance);
  return back;
}

// ---- Settled ------------------------------------------------------------------------------------

void Dispatcher::OnReplies(InstanceId id, std::vector<SessionReply> replies, Effects& effects) {
  const auto from = instances_.find(id);
  if (from == instances_.end()) return;
  if (effects.replies.empty()) effects.replies.reserve(replies.size());
  for (SessionReply& reply : replies) {
    ++counters_.steps;
    const auto found = entries_.find(reply.command_id);
    if (found == entries_.end() || found->second->state != Entry::State::kOut ||
        found->second->instance->id != id) {
      ++counters_.stale_replies;
      continue;
    }
    Command& command = found->second->command;
    if (command.gid != reply.gid || command.branch_id != reply.branch_id ||
        command.operation != reply.operation) {
      ++counters_.mismatched_replies;
      continue;
    }
    Answer(found->second, reply, effects);
  }
  Settle(*from->second, effects);
  React(effects);
}

void Dispatcher::Answer(Entries::iterator at, SessionReply& reply, Effects& effects) {
  if (AskNext(at, reply, effects)) return;
  Command& command = at->command;
  Reply out = {.gid = std::move(command.gid),
               .branch = command.branch,
               .operation = command.operation,
               .attempt = command.attempt,
               .result = reply.result,
               .bytes = std::move(reply.bytes),
               .reason = std::move(reply.reason),
               .retry_after = reply.retry_after,
               .blocked_by = std::move(reply.blocked_by)};
  if (out.bytes.size() > limits::kMaxResultBytes) {
    ++counters_.oversized_results;
    out.result = core::AttemptResult::kUnknown;
    out.reason = "the result has " + std::to_string(out.bytes.size()) + " bytes, the limit is " +
                 std::to_string(limits::kMaxResultBytes);
    out.bytes.clear();
  }
  out.reason.resize(CutReason(out.reason).size());
  Count(*at, out.result);
  Conclude(*at, std::move(out), effects);
  Erase(at, traffic::CallEnd::kAnswered);
}

// Whatever was said of it, by whomever: only a reply about the command is evidence (OnReplies), and
// there was none.
void Dispatcher::End(InstanceId id, std::uint64_t command_id, const std::string& why,
                     Effects& effects, core::Millis retry_after) {
  const auto found = entries_.find(command_id);
  if (found == entries_.end() || found->second->state != Entry::State::kOut ||
      found->second->instance->id != id)
    return;
  Instance& instance = *found->second->instance;
  Count(*found->second, core::AttemptResult::kUnknown);
  Reply reply = ReplyAbout(found->second->command, core::AttemptResult::kUnknown,
                           std::string(CutReason(why)));
  reply.retry_after = retry_after;
  Conclude(*found->second, std::move(reply), effects);
  Erase(found->second, traffic::CallEnd::kFailed);
  Settle(instance, effects);
  React(effects);
}

bool Dispatcher::Expire(std::size_t max_count, Effects& effects) {
  const bool more = ExpireSome(max_count, effects);
  React(effects);
  return more;
}

bool Dispatcher::ExpireSome(std::size_t max_count, Effects& effects) {
  for (; !due_.empty() && due_.begin()->first <= now_; --max_count) {
    if (max_count == 0) return true;
    const Entries::iterator at = entries_.at(due_.begin()->second.first->id);
    Instance* instance = at->instance;
    if (at->state == Entry::State::kOut) {
      ++counters_.expired;
      Count(*at, core::AttemptResult::kUnknown);
      Erase(at, traffic::CallEnd::kFailed);
    } else {
      GiveUp(at, effects);
    }
    if (instance != nullptr) Fill(*instance, effects);
  }
  return false;
}

Reply Dispatcher::Lost(const Entry& entry) {
  return ReplyAbout(entry.command, core::AttemptResult::kUnknown,
                    "the session of " + entry.service->name + " was lost before it answered");
}

void Dispatcher::Count(const Entry& entry, core::AttemptResult result) {
  ++entry.service->figures->calls[static_cast<std::size_t>(entry.command.operation)]
                                 [static_cast<std::size_t>(result)];
}

void Dispatcher::GiveUp(Entries::iterator at, Effects& effects) {
  ++counters_.expired;
  Conclude(*at,
           NotSent(at->command, "participant " + at->service->name +
                                    " had no room or no connection for it in its time: it was not "
                                    "sent" +
                                    Held(*at->service)),
           effects);
  Erase(at);
}

void Dispatcher::GiveBack(Lane& lane, Effects& effects) {
  while (!lane.queue.empty()) {
    const auto at = lane.queue.begin();
    Conclude(*at,
             at->service->waitable == 0 ? Absent(at->service, at->command)
                                        : NoSuchAction(*at->service, true, at->command),
             effects);
    Erase(at);
  }
}

void Dispatcher::Release(Service& service, std::size_t bytes) {
  service.held_bytes -= bytes;
  held_bytes_ -= bytes;
}

// Whoever sends much sends much at one moment, for one length of time: next to nothing to look for.
void Dispatcher::SetDue(Entry& entry, core::MonoTime expires_at) {
  entry.expires_at = expires_at;
  entry.due = true;
  Due& due = due_.try_emplace(due_.end(), expires_at)->second;
  entry.due_before = std::exchange(due.last, &entry);
  (entry.due_before == nullptr ? due.first : entry.due_before->due_after) = &entry;
}

void Dispatcher::NotDue(Entry& entry) {
  if (!std::exchange(entry.due, false)) return;
  Entry* const before = std::exchange(entry.due_before, nullptr);
  Entry* const after = std::exchange(entry.due_after, nullptr);
  if (before != nullptr && after != nullptr) {
    before->due_after = after;
    after->due_before = before;
    return;
  }
  const auto due = due_.find(entry.expires_at);
  if (before == nullptr && after == nullptr) {
    due_.erase(due);
  } else if (before == nullptr) {
    due->second.first = after;
    after->due_before = nullptr;
  } else {
    due->second.last = before;
    before->due_after = nullptr;
  }
}

void Dispatcher::Erase(Entries::iterator at, traffic::CallEnd end) {
  ++counters_.steps;
  if (at->state != Entry::State::kOut) waiting_.erase(&*at);
  if (at->state != Entry::State::kQueued) Left(*at, end);
  if (at->twin != nullptr) {
    at->twin->twin = nullptr;
    at->twin->maybe_sent = at->twin->maybe_sent || at->state == Entry::State::kOut;
  }
  NotDue(*at);
  if (at->held) Release(*at->service, at->bytes);
  entries_.erase(at->id);
  switch (at->state) {
    case Entry::State::kQueued: {
      Lane& lane = *at->lane;
      const std::uint64_t old_head = lane.queue.front().id;
      --at->service->queued;
      lane.queue.erase(at);
      return SetHead(lane, old_head);
    }
    case Entry::State::kOutbox: {
      Instance& instance = *at->instance;
      instance.outbox_bytes -= at->bytes;
      instance.outbox.erase(at);
      return Refresh(instance);
    }
    case Entry::State::kOut: {
      Instance& instance = *at->instance;
      instance.out.erase(at);
      return Refresh(instance);
    }
  }
}

}  // namespace assent::transport
