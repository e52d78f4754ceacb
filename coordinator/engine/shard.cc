// The turn: state machines, writes, effects. What is asked of a shard is in shard_requests.cc.

#include "coordinator/engine/shard.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "coordinator/core/codec.h"

namespace assent::engine {
Shard::Shard(ShardOptions options, ShardPorts& ports)
    : options_(options), ports_(ports), random_(options.seed) {}

Shard::~Shard() {
  for (auto& [gid, live] : live_) timers_.Cancel(live->timer);
}

core::Now Shard::Moment() { return core::Now{mono_, wall_, random_.Next()}; }

void Shard::Handle(Request request, core::MonoTime mono, core::WallTime wall) {
  if (dead_) return;
  mono_ = std::max(mono_, mono);
  wall_ = wall;
  std::visit([this](auto&& r) { On(std::forward<decltype(r)>(r)); }, std::move(request));
}

void Shard::EndTurn(core::MonoTime mono, core::WallTime wall) {
  if (dead_) return;
  mono_ = std::max(mono_, mono);
  wall_ = wall;
  RecoverSome();
  if (dead_) return;
  WakeSome();
  FireTimers();
  WriteDirty();
  NotifyWatchers();
  for (const auto& [service, more] : std::exchange(waiting_changes_, {})) {
    if (more != 0) ports_.Waiting(service, more);
  }
  if (!outgoing_.empty()) ports_.Send(std::exchange(outgoing_, {}));
}

core::MonoTime Shard::Wakeup() const {
  if (dead_) return core::kNever;
  if (MayRecoverSome()) return mono_;
  return std::min({timers_.Next(), NextWave(),
                   dirty_.empty() ? core::kNever : std::max(lazy_write_at_, not_before_)});
}

// A slice at a time: the deadlines of a hundred thousand may be the same moment. While the log is
// behind only a few, so that what others write does not queue up behind all of them; but some,
// always, or a busy log would stop time.
void Shard::FireTimers() {
  const bool behind = batches_.size() >= kMaxBatchesCount;
  for (std::size_t left = 1 + options_.slice_count / (behind ? 16 : 1); left > 0; --left) {
    schedule::Timer* timer = timers_.PopDue(mono_);
    if (timer == nullptr) return;
    (void)Apply(*static_cast<Live*>(timer->owner), core::Tick{});
  }
}

// ---- Steps --------------------------------------------------------------------------------------

Status Shard::Apply(Live& live, const core::Event& event) {
  const core::Phase phase = live.txn.phase();
  core::Step step = live.txn.Apply(event, Moment());
  MarkChanged(live);
  for (const core::Effect& effect : step.effects) {
    const auto* announce = std::get_if<core::Announce>(&effect);
    if (announce != nullptr && announce->milestone == core::Milestone::kIntervened)
      ++live.undisclosed;
  }
  if (step.gating) {
    MarkDirty(live, true);
    live.after_next_write.insert(live.after_next_write.end(), step.effects.begin(),
                                 step.effects.end());
  } else {
    if (step.record != core::Record::kNone) MarkDirty(live, false);
    if (live.urgent) {
      live.after_next_write.insert(live.after_next_write.end(), step.effects.begin(),
                                   step.effects.end());
    } else if (live.writing) {
      live.after_this_write.insert(live.after_this_write.end(), step.effects.begin(),
                                   step.effects.end());
    } else if (!step.effects.empty()) {
      Release(live, std::move(step.effects));
    }
  }
  timers_.Set(live.timer, live.txn.Wakeup());
  // Of an answer only its own branch's service is concerned, and looked after by whoever handed it
  // in.
  if (!std::holds_alternative<core::Answered>(event) || live.txn.phase() != phase) SettleAll(live);
  Count(live);
  return step.status;
}

void Shard::Release(Live& live, std::vector<core::Effect> effects) {
  for (const core::Effect& effect : effects) {
    std::visit([&](const auto& e) { Perform(live, e); }, effect);
  }
  Count(live);
  ServeWaiters(live);
  ServeViews(live);
}

void Shard::Perform(Live& live, const core::Send& send) {
  const core::Branch& branch = live.txn.branches()[send.branch];
  // Overtaken while it waited for the platter (an answer to an earlier attempt, an abort): nobody
  // needs it any more.
  if (live.txn.Due(send.branch) != send.operation || !branch.in_flight ||
      branch.attempts != send.attempt)
    return;
  live.txn.NoteSent(send, core::Now{mono_, wall_, 0});
  const core::BranchSpec& spec = live.txn.spec().branches[send.branch];
  transport::Command command{live.txn.gid(),
                             send.branch,
                             spec.id,
                             send.operation,
                             spec.protocol,
                             spec.service,
                             spec.action,
                             spec.payload,
                             {},
                             spec.headers,
                             send.attempt,
                             send.one_phase,
                             spec.attempt_timeout,
                             live.txn.began_epoch(),
                             !branch.maybe_sent,
                             live.txn.began_at()};
  if (spec.receive_results) {
    for (const core::BranchIndex after : spec.after) {
      command.results.emplace_back(live.txn.spec().branches[after].id,
                                   live.txn.branches()[after].result);
    }
  }
  outgoing_.push_back(std::move(command));
}

void Shard::Perform(Live& live, const core::Announce& announce) {
  switch (announce.milestone) {
    case core::Milestone::kAccepted: live.accepted = true; return;
    case core::Milestone::kDecided:
      live.decided = true;
      ++(live.txn.decision() == core::Decision::kCommit ? stats_.committed : stats_.aborted);
      return;
    case core::Milestone::kCompleted: live.completed = true; return;
    case core::Milestone::kBranchAnswered: live.branch_answered.set(announce.branch); return;
    case core::Milestone::kIntervened:  // its waiter knows the write
      --live.undisclosed;
      return;
  }
}

// ---- Those who wait -----------------------------------------------------------------------------

core::Milestone Shard::MilestoneOf(WaitFor wait_for) {
  switch (wait_for) {
    case WaitFor::kAccepted: return core::Milestone::kAccepted;
    case WaitFor::kDecided: return core::Milestone::kDecided;
    case WaitFor::kCompleted: return core::Milestone::kCompleted;
  }
  return core::Milestone::kCompleted;
}

bool Shard::Reached(const Live& live, const Waiter& waiter) const {
  switch (waiter.milestone) {
    case core::Milestone::kAccepted: return live.accepted;
    case core::Milestone::kDecided: return live.decided;
    case core::Milestone::kCompleted: return live.completed;
    case core::Milestone::kBranchAnswered:
      return live.branch_answered.test(waiter.branch) || live.decided;
    case core::Milestone::kIntervened: return live.durable_version >= waiter.version;
  }
  return false;
}

void Shard::AddWaiter(Live& live, Waiter waiter) {
  if (Reached(live, waiter) && Visible(live)) {
    waiter.done(OkStatus(), &live.txn, core::Now{mono_, wall_, 0});
    return;
  }
  live.waiters.push_back(std::move(waiter));
  // A caller that asks again and again, each time giving up, must not pile up for as long as the
  // transaction lives.
  if (live.waiters.size() < 16 || live.waiters.size() < live.AddRare().prune_waiters_at) return;
  auto& waiters = live.waiters;
  waiters.erase(std::remove_if(waiters.begin(), waiters.end(),
                               [](const Waiter& w) { return w.abandoned && w.abandoned(); }),
                waiters.end());
  live.AddRare().prune_waiters_at = std::max<std::size_t>(16, 2 * waiters.size());
}

void Shard::ServeWaiters(Live& live) {
  if (live.waiters.empty() || !Visible(live)) return;
  std::vector<Waiter> waiting = std::exchange(live.waiters, {});
  for (Waiter& waiter : waiting) {
    if (Reached(live, waiter)) {
      waiter.done(OkStatus(), &live.txn, core::Now{mono_, wall_, 0});
    } else {
      live.waiters.push_back(std::move(waiter));
    }
  }
}

// Nobody may see a transaction that is not durable, or a decision that is not; nor what a person
// has declared of a branch and the log has not: a power cut would take it back, and whoever was
// told would have acted on it.
bool Shard::Visible(const Live& live) const {
  return live.accepted && live.undisclosed == 0 &&
         (live.decided || live.txn.decision() == core::Decision::kNone);
}

void Shard::ServeViews(Live& live) {
  if (!live.rare || live.rare->views.empty() || !Visible(live)) return;
  for (ViewCallback& view : std::exchange(live.rare->views, {}))
    view(OkStatus(), &live.txn, core::Now{mono_, wall_, 0});
}

void Shard::NotifyWatchers() {
  for (Live* live : std::exchange(changed_, {})) {
    live->changed = false;
    if (!Visible(*live)) continue;  // the release will mark it again
    auto& watchers = live->rare->watchers;
    watchers.erase(std::remove_if(watchers.begin(), watchers.end(),
                                  [&](WatchCallback& watcher) {
                                    return !watcher(OkStatus(), &live->txn,
                                                    core::Now{mono_, wall_, 0}) ||
                                           live->completed;
                                  }),
                   watchers.end());
  }
}

void Shard::MarkChanged(Live& live) {
  if (!live.rare || live.rare->watchers.empty() || live.changed) return;
  live.changed = true;
  changed_.push_back(&live);
}

// ---- Writing ------------------------------------------------------------------------------------

void Shard::MarkDirty(Live& live, bool urgent) {
  live.dirty = true;
  live.urgent = live.urgent || urgent;
  urgent_ = urgent_ || urgent;
  if (lazy_write_at_ == core::kNever) lazy_write_at_ = mono_ + options_.lazy_write_delay;
  if (urgent) lazy_write_at_ = std::min(lazy_write_at_, mono_);
  if (live.listed) return;
  live.listed = true;
  dirty_.push_back(&live);
}

std::vector<std::uint8_t> PinnedOutcomes() {
  std::vector<std::uint8_t> pinned{static_cast<std::uint8_t>(core::Outcome::kMixed),
                                   static_cast<std::uint8_t>(core::Outcome::kHazard)};
  for (const auto outcome : {core::Outcome::kCommitted, core::Outcome::kAborted,
                             core::Outcome::kMixed, core::Outcome::kHazard})
    pinned.push_back(static_cast<std::uint8_t>(static_cast<unsigned>(outcome) | kResolvedByHand));
  return pinned;
}

std::uint8_t Shard::OutcomeForLog(const core::Transaction& txn) {
  const auto& branches = txn.branches();
  const bool by_hand = std::any_of(branches.begin(), branches.end(), [](const core::Branch& b) {
    return b.resolved != core::Decision::kNone;
  });
  return static_cast<std::uint8_t>(static_cast<unsigned>(txn.outcome()) |
                                   (by_hand ? kResolvedByHand : 0U));
}

log::Entry Shard::MakeEntry(Live& live) {
  log::Entry entry;
  entry.serial = live.serial;
  entry.version = ++live.version;
  entry.state = core::Codec::EncodeState(live.txn);
  if (entry.version == 1) {
    entry.kind = log::EntryKind::kBegin;
  } else if (live.txn.finished()) {
    entry.kind = log::EntryKind::kEnd;
    entry.outcome = OutcomeForLog(live.txn);
    entry.finished_unix_ms = live.txn.finished_at().time_since_epoch().count();
    live.ending = true;
  } else {
    entry.kind = log::EntryKind::kUpdate;
    return entry;
  }
  entry.gid = live.txn.gid();
  entry.spec = core::Codec::EncodeSpec(live.txn);
  return entry;
}

void Shard::WriteDirty() {
  if (dirty_.empty() || mono_ < not_before_ || (!urgent_ && mono_ < lazy_write_at_)) return;
  urgent_ = false;
  lazy_write_at_ = core::kNever;
  std::vector<Live*> rest;
  std::vector<Live*> now;
  std::vector<Live*> beginnings;
  for (Live* live : dirty_) {
    if (live->writing) {  // one write at a time: the completion brings it back
      rest.push_back(live);
    } else {
      (disk_full_ && live->version == 0 ? beginnings : now).push_back(live);
    }
  }
  dirty_ = std::move(rest);
  Write(now);
  Write(beginnings);
}

void Shard::Write(const std::vector<Live*>& lives) {
  if (lives.empty()) return;
  std::vector<log::Entry> entries;
  entries.reserve(lives.size());
  Batch batch;
  batch.written.reserve(lives.size());
  for (Live* live : lives) {
    live->listed = live->dirty = live->urgent = false;
    live->writing = true;
    live->after_this_write = std::exchange(live->after_next_write, {});
    batch.begins = batch.begins || live->version == 0;
    entries.push_back(MakeEntry(*live));
    batch.written.push_back(live);
  }
  batches_.emplace(next_batch_, std::move(batch));
  ports_.Append(std::move(entries), next_batch_++);
}

void Shard::Die(const Status& status) {
  dead_ = true;
  ports_.Fatal(status);
}

void Shard::TakeDeferred(Live& live, std::vector<Request>& into) {
  if (!live.rare) return;
  std::move(live.rare->deferred.begin(), live.rare->deferred.end(), std::back_inserter(into));
  live.rare->deferred.clear();
}

void Shard::On(AppendedRequest request) {
  const auto found = batches_.find(request.batch);
  ASSENT_CHECK(found != batches_.end());
  const Batch batch = std::move(found->second);
  batches_.erase(found);
  const Status& status = request.result.status;
  if (!status.ok() && status.code() != Code::kResourceExhausted) {
    return Die(status);
  }
  // The log keeps a reserve for what has begun: a batch that finds the disk full is refused as a
  // whole if anything in it begins, so until something could begin again the two do not share one.
  if (!status.ok()) disk_full_ = true;
  if (status.ok() && batch.begins) disk_full_ = false;
  const core::WallTime durable_at{core::Millis(request.result.durable_unix_ms)};
  std::vector<Request> deferred;
  std::size_t next_refused = 0;
  for (std::size_t i = 0; i < batch.written.size(); ++i) {
    Live& live = *batch.written[i];
    live.writing = false;
    std::vector<core::Effect> effects = std::exchange(live.after_this_write, {});
    Status refused;
    if (!status.ok()) {
      refused = status;
    } else if (next_refused < request.result.refused.size() &&
               request.result.refused[next_refused].index == i) {
      refused = request.result.refused[next_refused++].status;
    }
    if (!refused.ok()) {
      if (live.version == 1) {
        TakeDeferred(live, deferred);
        BeginRefused(live, refused);
        continue;
      }
      if (refused.code() == Code::kAlreadyExists) {
        // It has ended, and what it did is durable; only it cannot be found by its gid, which is
        // another's.
        SetAside(live.serial, live.txn.gid(), refused.message());
        TakeDeferred(live, deferred);
        Release(live, std::move(effects));
        Remove(live);
        continue;
      }
      // Disk full: the state is still ours, and will be written when there is room.
      --live.version;
      live.ending = false;
      effects.insert(effects.end(), live.after_next_write.begin(), live.after_next_write.end());
      live.after_next_write = std::move(effects);
      MarkDirty(live, true);
      not_before_ = mono_ + options_.full_retry_delay;
      continue;
    }
    live.durable_version = live.version;
    if (!live.decided && live.txn.decision() != core::Decision::kNone)
      live.txn.NoteDecisionDurable(durable_at);
    MarkChanged(live);
    Release(live, std::move(effects));
    TakeDeferred(live, deferred);
    if (live.ending) {
      Remove(live);
    } else if (live.dirty || live.txn.finished()) {
      MarkDirty(live, live.urgent);
    }
  }
  for (std::size_t i = 0; i < batch.forgotten.size(); ++i) {
    Status answer = status;
    if (!request.result.refused.empty()) answer = request.result.refused.front().status;
    batch.forgotten[i](answer, nullptr, core::Now{mono_, wall_, 0});
  }
  for (Request& asked : deferred) Handle(std::move(asked), mono_, wall_);
}

// Nothing was begun. Either the gid belongs to a finished transaction, whose answer is theirs, or
// there was no room.
void Shard::BeginRefused(Live& live, const Status& status) {
  --stats_.begun;
  Rare& rare = live.AddRare();
  std::vector<ViewCallback> asking = std::move(rare.views);
  for (Waiter& waiter : live.waiters) asking.push_back(std::move(waiter.done));
  Lookup lookup;
  lookup.gid = live.txn.gid();
  lookup.spec = core::Codec::EncodeSpec(live.txn);
  lookup.views = std::move(asking);
  lookup.watchers = std::move(rare.watchers);
  live.waiters.clear();
  rare.views.clear();
  rare.watchers.clear();
  Remove(live);
  if (status.code() == Code::kAlreadyExists) return Look(std::move(lookup));
  for (ViewCallback& view : lookup.views) view(status, nullptr, core::Now{mono_, wall_, 0});
  for (WatchCallback& watcher : lookup.watchers)
    (void)watcher(status, nullptr, core::Now{mono_, wall_, 0});
}

void Shard::Remove(Live& live) {
  live.completed = live.completed || live.ending;
  ServeWaiters(live);
  ServeViews(live);
  timers_.Cancel(live.timer);
  if (live.rare) {
    for (WatchCallback& watcher : live.rare->watchers)
      (void)watcher(OkStatus(), &live.txn, core::Now{mono_, wall_, 0});
    while (!live.rare->parkings.empty()) Leave(live, live.rare->parkings.size() - 1);
    if (!live.rare->stuck_changes.empty()) stuck_.erase(live.serial);
  }
  if (Figure* count = stats_.Of(live.counted)) --*count;
  if (live.counted_stuck) --stats_.needs_operator;
  by_serial_.erase(live.serial);
  if (live.listed) dirty_.erase(std::remove(dirty_.begin(), dirty_.end(), &live), dirty_.end());
  if (live.changed)
    changed_.erase(std::remove(changed_.begin(), changed_.end(), &live), changed_.end());
  live_bytes_ -= live.attached_bytes;
  live_.erase(live_.find(live.txn.gid()));
}

}  // namespace assent::engine
