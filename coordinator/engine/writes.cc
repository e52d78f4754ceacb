#include "coordinator/engine/writes.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "coordinator/core/codec.h"
#include "coordinator/engine/holding.h"

namespace assent::engine {
namespace {

std::uint8_t OutcomeForLog(const core::Transaction& txn) {
  const auto& branches = txn.branches();
  const bool by_hand = std::any_of(branches.begin(), branches.end(), [](const core::Branch& b) {
    return b.resolved != core::Decision::kNone;
  });
  return static_cast<std::uint8_t>(static_cast<unsigned>(txn.outcome()) |
                                   (by_hand ? kResolvedByHand : 0U));
}

log::Entry EntryOf(Live& live, std::uint64_t generation) {
  live.txn.NoteGeneration(generation);
  log::Entry entry;
  entry.slot = live.holding.slot;
  entry.serial = live.serial;
  entry.version = live.version;
  entry.gid = live.txn.gid();  // of a change as well: what is sealed is sealed for its gid
  entry.state = core::Codec::EncodeState(live.txn);
  if (live.write != WriteState::kEnding && live.version != 1) return entry;
  entry.kind = log::EntryKind::kBegin;
  entry.spec = core::Codec::EncodeSpec(live.txn);
  if (live.write == WriteState::kEnding) {
    entry.kind = log::EntryKind::kEnd;
    entry.outcome = OutcomeForLog(live.txn);
    entry.finished_unix_ms = live.txn.finished_at().time_since_epoch().count();
  }
  return entry;
}

}  // namespace

std::vector<std::uint8_t> PinnedOutcomes() {
  std::vector<std::uint8_t> pinned{static_cast<std::uint8_t>(core::Outcome::kMixed),
                                   static_cast<std::uint8_t>(core::Outcome::kHazard)};
  for (const auto outcome : {core::Outcome::kCommitted, core::Outcome::kAborted,
                             core::Outcome::kMixed, core::Outcome::kHazard})
    pinned.push_back(static_cast<std::uint8_t>(static_cast<unsigned>(outcome) | kResolvedByHand));
  return pinned;
}

void Writes::Take(Live& live, core::Step& step, core::MonoTime now) {
  ASSENT_CHECK(!step.gating || live.write != WriteState::kEnding);
  if (step.record != core::Record::kNone || step.gating) Note(live, step.gating, now);
  if (step.effects.empty()) return;
  if (!IsUrgent(live.write) && !IsWriting(live.write)) return;
  auto& waiting = IsUrgent(live.write) ? live.after_next_write : live.after_this_write;
  if (waiting.empty()) return waiting.swap(step.effects);
  waiting.insert(waiting.end(), step.effects.begin(), step.effects.end());
  step.effects.clear();
}

void Writes::Note(Live& live, bool urgent, core::MonoTime now) {
  const bool listed = IsListed(live.write);
  live.write = Changed(live.write, urgent);
  if (IsListed(live.write)) List(live, listed, now);
}

void Writes::List(Live& live, bool again, core::MonoTime now) {
  if (live.holding.closed()) return;
  if (!again) listed_.push_back(&live);
  due_at_ = std::min<core::MonoTime>(due_at_,
                                     IsUrgent(live.write) ? now : now + options_.lazy_write_delay);
}

void Writes::Forget(std::string gid, Holding& holding, ViewCallback done) {
  log::Entry entry;
  entry.kind = log::EntryKind::kForget;
  entry.slot = holding.slot;
  entry.gid = std::move(gid);
  ++holding.unanswered;
  batches_.push_back({.forgets = &holding, .forgotten = std::move(done)});
  std::vector<log::Entry> entries;
  entries.push_back(std::move(entry));
  ports_.Append(std::move(entries), next_batch_++);
}

void Writes::HandOver(core::MonoTime now) {
  if (Wakeup() > now) return;
  due_at_ = core::kNever;
  std::vector<Live*> lives = std::exchange(listed_, {});
  // The log keeps a reserve for what has begun: a batch that finds the disk full is refused as a
  // whole if anything in it begins, so until something could begin again the two do not share one.
  const auto begins =
      disk_full_ ? std::stable_partition(lives.begin(), lives.end(),
                                         [](const Live* live) { return live->version > 0; })
                 : lives.end();
  std::vector<Live*> beginnings(begins, lives.end());
  lives.erase(begins, lives.end());
  Append(std::move(lives), now);
  Append(std::move(beginnings), now);
}

void Writes::Append(std::vector<Live*> lives, core::MonoTime now) {
  if (lives.empty()) return;
  std::vector<log::Entry> entries;
  entries.reserve(lives.size());
  const std::uint64_t generation = ports_.Generation();
  Batch& batch = batches_.emplace_back();
  batch.handed_over = now;
  for (Live* live : lives) {
    batch.begins = batch.begins || live->version == 0;
    const bool last = ++live->version > 1 && live->txn.finished();
    live->write = last ? WriteState::kEnding : WriteState::kWriting;
    live->after_this_write.swap(live->after_next_write);
    ++live->holding.unanswered;
    entries.push_back(EntryOf(*live, generation));
  }
  batch.written = std::move(lives);
  ports_.Append(std::move(entries), next_batch_++);
}

Writes::Batch Writes::Pop(const AppendedRequest& answer) {
  ASSENT_CHECK(answer.batch + batches_.size() == next_batch_);
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  if (!answer.result.status.ok()) disk_full_ = true;
  if (answer.result.status.ok() && batch.begins) disk_full_ = false;
  return batch;
}

Writes::Fate Writes::Settle(Live& live, const Status& status, core::MonoTime now) {
  --live.holding.unanswered;
  if (status.ok()) {
    if (live.write == WriteState::kEnding) return Fate::kEnded;
    live.write = Durable(live.write);
    // Began and ended in one breath: the end is a write of its own.
    if (live.txn.finished()) live.write = Changed(live.write, false);
    if (IsListed(live.write)) List(live, false, now);
    return Fate::kDurable;
  }
  if (live.version == 1) return Fate::kNotBegun;
  if (status.code() != Code::kResourceExhausted) return Fate::kNotEnded;
  --live.version;
  auto& waiting = live.after_this_write;
  waiting.insert(waiting.end(), live.after_next_write.begin(), live.after_next_write.end());
  live.after_next_write = std::exchange(waiting, {});
  live.write = WriteState::kUrgent;
  List(live, false, now);
  not_before_ = now + options_.full_retry_delay;
  return Fate::kAgain;
}

void Writes::Drop(const Holding& holding) {
  std::erase_if(listed_, [&](const Live* live) { return &live->holding == &holding; });
}

}  // namespace assent::engine
