#include "coordinator/log/memory/memory_store.h"

#include <algorithm>
#include <utility>

namespace assent::log {

Result<Joined> MemoryStore::Join() {
  const MemoryImage& image = disk_->seen_;
  // No epoch of this log ever ends in order, and it always has a WAL.
  const Status whole = CheckStart({.path = "log",
                                   .coordinator_id = image.coordinator_id,
                                   .epoch = image.epoch,
                                   .commit_seq = image.commit_seq,
                                   .ended = false,
                                   .wal_bytes = disk_->wal_is_lost() ? 0U : 1U,
                                   .state = disk_->state_});
  if (!whole.ok()) return whole;
  std::vector<std::uint64_t> epochs = image.epochs;
  epoch_ = NextEpoch(image.epoch, ++*disk_->draws_);
  epochs.push_back(epoch_);
  if (epochs.size() > kMaxEpochsCount) epochs.erase(epochs.begin());
  epochs_ = std::make_shared<const std::vector<std::uint64_t>>(std::move(epochs));
  serials_from_ = image.next_serial;
  next_serial_ = serials_from_;
  Joined joined = {
      .log_id = image.coordinator_id == 0 ? disk_->first_coordinator_id_ : image.coordinator_id,
      .epoch = epoch_,
      .slots_count = options_.slots_count,
      .next_serial = serials_from_,
      .epochs = epochs_};
  for (Slot slot = 0; slot < options_.slots_count; ++slot) joined.slots.push_back({.slot = slot});
  return joined;
}

Status MemoryStore::Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
                         std::vector<DamagedSlot>&) {
  for (const Slot slot : slots)
    ASSENT_CHECK(slot < options_.slots_count && !loaded_.contains(slot));
  const std::set<Slot> wanted(slots.begin(), slots.end());
  for (const auto& [serial, row] : disk_->seen_.live) {
    if (!wanted.contains(row.slot)) continue;
    if (Status status = visit(row); !status.ok()) return status;
  }
  loaded_.insert(slots.begin(), slots.end());
  if (!begun_) BeginEpoch();
  return OkStatus();
}

void MemoryStore::BeginEpoch() {
  MemoryImage& image = disk_->seen_;
  if (image.coordinator_id == 0) image.coordinator_id = disk_->first_coordinator_id_;
  image.epoch = epoch_;
  image.epochs = *epochs_;
  disk_->durable_ = image;  // a synchronised commit: all that was seen is durable with it
  disk_->written_.clear();
  disk_->database_ = image;
  disk_->anchored_seq_ = ++image.commit_seq;
  disk_->durable_.commit_seq = disk_->database_.commit_seq = image.commit_seq;
  disk_->state_ = {.open = true,
                   .coordinator_id = image.coordinator_id,
                   .epoch = image.epoch,
                   .commit_seq = image.commit_seq,
                   .wal_bytes = 1};
  if (options_.retention_age.count() > 0)
    age_.emplace(image.marks, options_.retention_age, options_.mono_now_ms());
  begun_ = true;
}

Status MemoryStore::Release(const std::vector<Slot>& slots) {
  if (options_.slots_count == 1) return FailedPrecondition("a log of one slot has one owner");
  for (const Slot slot : slots) loaded_.erase(slot);
  return OkStatus();
}

Status MemoryStore::Write(const std::vector<const std::vector<Entry>*>& batches,
                          const Unwritten& unwritten, GroupOutcome& outcome) {
  ASSENT_CHECK(!uncommitted_);
  if (full_ == Full::kEverything) return ResourceExhausted("the log's disk is full");
  age_without_.reset();
  outcome.refused.resize(batches.size());
  delta_ = {};
  MemoryImage& image = disk_->seen_;
  MemoryGroup group({.image = image,
                     .delta = delta_,
                     .loaded = loaded_,
                     .serials_from = serials_from_,
                     .unwritten = unwritten,
                     .never_begun = outcome.never_begun});
  for (std::size_t b = 0; b < batches.size(); ++b) {
    for (std::size_t i = 0; i < batches[b]->size(); ++i) {
      Status refusal;
      const Status status = group.Apply((*batches[b])[i], refusal);
      if (!status.ok()) return Undo(status);
      if (!refusal.ok()) outcome.refused[b].push_back({.index = i, .status = refusal});
    }
  }
  Expire();
  if (age_) ExpireByAge();
  delta_.next_serial = image.next_serial;
  delta_.commit_seq = ++image.commit_seq;
  for (const auto& [serial, row] : delta_.finished) {
    if (row) image.finished_in[serial] = delta_.commit_seq;
  }
  delta_.marks = image.marks;
  disk_->written_.push_back(std::move(delta_));
  uncommitted_ = true;
  return OkStatus();
}

Status MemoryStore::Undo(Status why) {
  disk_->seen_ = disk_->durable_;
  disk_->written_.clear();
  if (age_without_) age_ = age_without_;
  return why;
}

void MemoryStore::SetFull(Full full) {
  full_ = full;
  no_space_ = full == Full::kBeginsOnly || full == Full::kEverything;
}

Status MemoryStore::Commit() {
  uncommitted_ = false;
  if (std::exchange(fail_next_commit_, false)) return UnknownOutcome("fsync: injected");
  if (full_ == Full::kAtCommit || full_ == Full::kAtEachCommit) {
    if (full_ == Full::kAtCommit) full_ = Full::kBeginsOnly;
    no_space_ = true;
    return Undo(ResourceExhausted("the log's disk is full"));
  }
  for (const MemoryDelta& delta : disk_->written_) disk_->durable_.Apply(delta);
  disk_->written_.clear();
  disk_->state_->commit_seq = disk_->durable_.commit_seq;
  ++commits_;
  return OkStatus();
}

void MemoryStore::Expire() {
  if (options_.max_finished_rows == 0) return;
  MemoryImage& image = disk_->seen_;
  while (image.finished.size() > options_.max_finished_rows) {
    const std::uint64_t oldest = image.finished.begin()->first;
    EraseFinished(oldest);
  }
}

void MemoryStore::ExpireByAge() {
  MemoryImage& image = disk_->seen_;
  const std::int64_t mono = options_.mono_now_ms();
  const std::int64_t wall = options_.unix_now_ms();
  if (const auto change = age_->Plan(mono, image.commit_seq, wall)) {
    age_without_ = age_;
    age_->Apply(*change);
    image.marks = age_->marks();
  }
  const std::uint64_t kept_up_to = age_->KeptUpTo(mono);
  std::vector<std::uint64_t> expired;
  for (const auto& [serial, row] : image.finished) {
    const auto in = image.finished_in.find(serial);
    if (in != image.finished_in.end() && in->second <= kept_up_to) expired.push_back(serial);
  }
  for (const std::uint64_t serial : expired) {
    EraseFinished(serial);
  }
}

void MemoryStore::EraseFinished(std::uint64_t serial) {
  delta_.finished[serial] = std::nullopt;
  disk_->seen_.EraseFinished(serial);
}

Result<Found> MemoryStore::Find(const std::string& gid) {
  const MemoryImage& image = disk_->seen();
  const auto found = image.serial_of_gid.find(gid);
  if (found != image.serial_of_gid.end()) {
    return Found{
        .what = Found::What::kFinished, .row = image.finished.at(found->second), .epochs = epochs_};
  }
  if (std::any_of(image.live.begin(), image.live.end(),
                  [&](const auto& one) { return one.second.gid == gid; }))
    return Found{.what = Found::What::kLive, .owner = epoch_, .epochs = epochs_};
  return Found{.epochs = epochs_};
}

Result<std::vector<FinishedRow>> MemoryStore::Scan(std::uint64_t before_serial,
                                                   std::size_t max_rows) {
  const auto& finished = disk_->seen().finished;
  auto at = before_serial == 0 ? finished.end() : finished.lower_bound(before_serial);
  std::vector<FinishedRow> rows;
  while (rows.size() < max_rows && at != finished.begin()) rows.push_back((--at)->second);
  return rows;
}

// A group of its own, durable when this returns.
Result<WalkPlace> MemoryStore::Walk(const WalkPlace& from, std::size_t max_rows,
                                    const RowEditor& edit) {
  using Among = WalkPlace::Among;
  ASSENT_CHECK(!uncommitted_);
  if (from.among == Among::kEnd) return from;
  MemoryImage& image = disk_->seen_;
  MemoryDelta delta;
  WalkPlace place = from;
  std::size_t seen = 0;
  if (from.among == Among::kLive) {
    auto at = image.live.upper_bound(from.serial);
    for (; at != image.live.end() && seen < max_rows; ++at, ++seen) {
      place.serial = at->first;
      LiveRow row = at->second;
      if (edit(row.gid, row.spec, row.state)) delta.live[at->first] = std::move(row);
    }
  } else {
    auto at = image.finished.upper_bound(from.serial);
    for (; at != image.finished.end() && seen < max_rows; ++at, ++seen) {
      place.serial = at->first;
      FinishedRow row = at->second;
      if (edit(row.gid, row.spec, row.state)) delta.rewritten[at->first] = std::move(row);
    }
  }
  if (seen == 0)
    return WalkPlace{.among = from.among == Among::kLive ? Among::kFinished : Among::kEnd};
  if (delta.live.empty() && delta.rewritten.empty()) return place;
  if (full_ == Full::kEverything) return ResourceExhausted("the log's disk is full");
  delta.next_serial = image.next_serial;
  delta.commit_seq = image.commit_seq + 1;
  delta.marks = image.marks;
  image.Apply(delta);
  disk_->written_.push_back(std::move(delta));
  if (Status status = Commit(); !status.ok()) return status;
  return place;
}

void MemoryStore::Describe(Stats& stats) const {
  stats.commits = commits_;
  stats.finished_rows = disk_->seen().finished.size();
  stats.full = full();
}

}  // namespace assent::log
