#include "coordinator/log/memory_log.h"

#include <algorithm>
#include <utility>

namespace assent::log {
namespace {

Status TwoWriters(const Entry& entry, const std::string& what) {
  return FailedPrecondition("transaction " + entry.gid + ", serial " +
                            std::to_string(entry.serial) + ", version " +
                            std::to_string(entry.version) + ": " + what);
}

bool HasBegin(const std::vector<Entry>& batch) {
  return std::any_of(batch.begin(), batch.end(),
                     [](const Entry& entry) { return entry.kind == EntryKind::kBegin; });
}

}  // namespace

void MemoryImage::Apply(const MemoryDelta& delta) {
  next_serial = delta.next_serial;
  commit_seq = delta.commit_seq;
  marks = delta.marks;
  for (const auto& [serial, row] : delta.live) {
    if (row) {
      live[serial] = *row;
    } else {
      live.erase(serial);
    }
  }
  for (const auto& [serial, row] : delta.finished) {
    if (row) {
      PutFinished(*row);
      finished_in[serial] = delta.commit_seq;
    } else {
      EraseFinished(serial);
    }
  }
}

void MemoryImage::PutFinished(FinishedRow row) {
  serial_of_gid[row.gid] = row.serial;
  finished[row.serial] = std::move(row);
}

void MemoryImage::EraseFinished(std::uint64_t serial) {
  const auto found = finished.find(serial);
  if (found == finished.end()) return;
  const auto gid = serial_of_gid.find(found->second.gid);
  if (gid != serial_of_gid.end() && gid->second == serial) serial_of_gid.erase(gid);
  finished.erase(found);
  finished_in.erase(serial);
}

void MemoryDisk::PowerLoss(std::size_t kept) {
  for (std::size_t i = 0; i < std::min(kept, written_.size()); ++i) platter_.Apply(written_[i]);
  written_.clear();
  seen_ = platter_;
  if (state_) state_->commit_seq = anchored_seq_;
}

void MemoryDisk::LoseWal() {
  before_loss_ = std::make_shared<MemoryDisk>(*this);
  platter_ = seen_ = database_;
  written_.clear();
}

void MemoryDisk::PutWalBack() {
  const auto draws = draws_;
  *this = MemoryDisk(*std::exchange(before_loss_, nullptr));
  draws_ = draws;
}

void MemoryDisk::PlantFinished(FinishedRow row) {
  row.serial = std::max(seen_.next_serial, platter_.next_serial);
  for (MemoryImage* image : {&seen_, &platter_}) {
    image->next_serial = row.serial + 1;
    image->finished_in[row.serial] = image->commit_seq;
    image->PutFinished(row);
  }
}

MemoryLog::MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryLogOptions options)
    : disk_(std::move(disk)), options_(std::move(options)) {}

MemoryLog::~MemoryLog() {
  if (killed_ || !recovered_) return;
  while (Step()) {
  }
}

Result<Joined> MemoryLog::Join(SlotEvents& events) {
  ASSENT_CHECK(events_ == nullptr);
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
  events_ = &events;
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

void MemoryLog::Load(Slot slot, LiveVisitor visit, std::function<void(Status)> done) {
  ASSENT_CHECK(events_ != nullptr && slot < options_.slots_count && !loaded_.contains(slot));
  Status status;
  for (const auto& [serial, row] : disk_->seen_.live) {
    if (row.slot == slot && status.ok()) status = visit(row);
  }
  if (status.ok()) {
    loaded_.insert(slot);
    if (!recovered_) BeginEpoch();
  }
  done(std::move(status));
}

void MemoryLog::BeginEpoch() {
  MemoryImage& image = disk_->seen_;
  if (image.coordinator_id == 0) image.coordinator_id = disk_->first_coordinator_id_;
  image.epoch = epoch_;
  image.epochs = *epochs_;
  disk_->platter_ = image;  // a synchronised commit: all that was seen is durable with it
  disk_->written_.clear();
  disk_->database_ = image;
  disk_->anchored_seq_ = ++image.commit_seq;
  disk_->platter_.commit_seq = disk_->database_.commit_seq = image.commit_seq;
  disk_->state_ = {.open = true,
                   .coordinator_id = image.coordinator_id,
                   .epoch = image.epoch,
                   .commit_seq = image.commit_seq,
                   .wal_bytes = 1};
  if (options_.retention_age.count() > 0)
    age_.emplace(image.marks, options_.retention_age, options_.mono_now_ms());
  recovered_ = true;
}

void MemoryLog::Release(Slot slot, std::function<void(Status)> done) {
  if (options_.slots_count == 1) return done(FailedPrecondition("a log of one slot has one owner"));
  Append({}, [this, slot, done = std::move(done)](const AppendResult& result) {
    if (result.status.ok()) loaded_.erase(slot);
    done(result.status);
  });
}

void MemoryLog::Drain(std::function<void(Status)> done) {
  Append({}, [done = std::move(done)](const AppendResult& result) { done(result.status); });
}

void MemoryLog::Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) {
  ASSENT_CHECK(recovered_ && !killed_);
  Pending pending;
  pending.entries = std::move(batch);
  pending.done = std::move(done);
  pending.result.position = ++last_position_;
  const std::size_t entries = pending.entries.size();
  pending.no_room =
      stats_.queued_entries > 0 && stats_.queued_entries + entries > options_.max_queued_entries;
  if (!pending.no_room) stats_.queued_entries += entries;
  queue_.push_back(std::move(pending));
  if (options_.inline_completion && !stepping_) {
    while (Step()) {
    }
  }
}

void MemoryLog::Find(std::string gid, std::function<void(Result<Found>)> done) {
  ASSENT_CHECK(recovered_ && !killed_);
  reads_.push_back([this, gid = std::move(gid), done = std::move(done)] {
    const MemoryImage& image = disk_->seen();
    const auto found = image.serial_of_gid.find(gid);
    if (!poison_.ok()) return done(Unavailable("the log has stopped"));
    if (found != image.serial_of_gid.end()) {
      return done(Found{.what = Found::What::kFinished,
                        .row = image.finished.at(found->second),
                        .epochs = epochs_});
    }
    if (std::any_of(image.live.begin(), image.live.end(),
                    [&](const auto& one) { return one.second.gid == gid; }))
      return done(Found{.what = Found::What::kLive, .owner = epoch_, .epochs = epochs_});
    done(Found{.epochs = epochs_});
  });
  if (options_.inline_completion && !stepping_) Step();
}

void MemoryLog::Scan(std::uint64_t before_serial, std::size_t max_rows,
                     std::function<void(Result<std::vector<FinishedRow>>)> done) {
  ASSENT_CHECK(recovered_ && !killed_);
  reads_.push_back([this, before_serial, max_rows, done = std::move(done)] {
    if (!poison_.ok()) return done(Unavailable("the log has stopped"));
    const auto& finished = disk_->seen().finished;
    auto at = before_serial == 0 ? finished.end() : finished.lower_bound(before_serial);
    std::vector<FinishedRow> rows;
    while (rows.size() < max_rows && at != finished.begin()) rows.push_back((--at)->second);
    done(std::move(rows));
  });
  if (options_.inline_completion && !stepping_) Step();
}

Stats MemoryLog::GetStats() const {
  Stats stats = stats_;
  stats.finished_rows = disk_->seen().finished.size();
  stats.full = full_ != Full::kNone;
  stats.poisoned = !poison_.ok();
  return stats;
}

bool MemoryLog::Write() {
  if (queue_.empty() || !poison_.ok()) return false;
  MemoryDelta delta;
  std::deque<Pending> group = std::exchange(queue_, {});
  for (Pending& pending : group) {
    if (poison_.ok()) WriteBatch(pending, delta);
  }
  if (poison_.ok()) {
    MemoryImage& image = disk_->seen_;
    Expire(delta);
    if (age_) ExpireByAge(delta);
    delta.next_serial = image.next_serial;
    delta.commit_seq = ++image.commit_seq;
    for (const auto& [serial, row] : delta.finished) {
      if (row) image.finished_in[serial] = delta.commit_seq;
    }
    delta.marks = image.marks;
    disk_->written_.push_back(std::move(delta));
    ++stats_.commits;
  } else {  // rolled back
    disk_->seen_ = disk_->platter_;
    for (const MemoryDelta& earlier : disk_->written_) disk_->seen_.Apply(earlier);
  }
  std::move(group.begin(), group.end(), std::back_inserter(written_));
  return true;
}

void MemoryLog::WriteBatch(Pending& pending, MemoryDelta& delta) {
  Status& status = pending.result.status;
  if (pending.no_room) {
    status = ResourceExhausted("the log's queue is full: try again later");
  } else if (unwritten_.BuiltOn(pending.entries)) {
    status = ResourceExhausted("builds on a version that was refused: append that one first");
  } else if (full_ == Full::kEverything ||
             (full_ == Full::kBeginsOnly && HasBegin(pending.entries))) {
    status = ResourceExhausted("the log's disk is full");
  }
  if (!status.ok()) {
    unwritten_.NoteUnwritten(pending.entries);
    return;
  }
  const Status applied = Apply(pending.entries, delta, pending.result.refused);
  if (!applied.ok()) return Poison(applied);
  unwritten_.NoteWritten(pending.entries);
  stats_.records += pending.entries.size() - pending.result.refused.size();
}

Status MemoryLog::Apply(const std::vector<Entry>& batch, MemoryDelta& delta,
                        std::vector<RefusedEntry>& refused) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Status refusal;
    if (Status status = ApplyOne(batch[i], delta, refusal); !status.ok()) return status;
    if (!refusal.ok()) refused.push_back({.index = i, .status = refusal});
  }
  return OkStatus();
}

Status MemoryLog::ApplyOne(const Entry& entry, MemoryDelta& delta, Status& refusal) {
  MemoryImage& image = disk_->seen_;
  const auto finished = image.serial_of_gid.find(entry.gid);
  if (entry.kind == EntryKind::kForget) {
    if (finished == image.serial_of_gid.end()) {
      refusal = NotFound("no finished transaction " + entry.gid);
    } else {
      const std::uint64_t serial = finished->second;
      delta.finished[serial] = std::nullopt;
      image.EraseFinished(serial);
    }
    return OkStatus();
  }
  if (entry.kind == EntryKind::kBegin && finished != image.serial_of_gid.end()) {
    refusal = AlreadyExists("transaction " + entry.gid + " has already finished");
    unwritten_.NoteNeverBegun(entry.serial);
    return OkStatus();
  }
  if (unwritten_.NeverBegun(entry.serial)) {
    refusal = NotFound("transaction " + entry.gid + ", serial " + std::to_string(entry.serial) +
                       ": its beginning was refused");
    return OkStatus();
  }
  return ApplyToLive(entry, delta, refusal);
}

Status MemoryLog::ApplyToLive(const Entry& entry, MemoryDelta& delta, Status& refusal) {
  MemoryImage& image = disk_->seen_;
  const std::uint64_t serial = entry.serial;
  if (serial == 0 || serial > INT64_MAX) return TwoWriters(entry, "no such serial");
  if (!loaded_.contains(entry.slot)) return TwoWriters(entry, "its slot is not ours");
  if ((entry.kind == EntryKind::kBegin) != (entry.version == 1)) {
    return TwoWriters(entry, "version 1 belongs to the beginning, and to nothing else");
  }
  if (entry.kind == EntryKind::kBegin) {
    if (serial < serials_from_) return TwoWriters(entry, "the serial is of an earlier epoch");
    if (image.live.contains(serial) || image.finished.contains(serial)) {
      return TwoWriters(entry, "there is a row with this serial");
    }
    image.live[serial] = {serial, 1, entry.gid, entry.spec, entry.state, entry.slot};
    delta.live[serial] = image.live[serial];
    image.next_serial = std::max(image.next_serial, serial + 1);
    return OkStatus();
  }
  const auto found = image.live.find(serial);
  if (found == image.live.end() || found->second.version + 1 != entry.version) {
    return TwoWriters(entry, "there is no unfinished row with the version before");
  }
  const bool ends = entry.kind == EntryKind::kEnd;
  if (ends && found->second.gid != entry.gid) return TwoWriters(entry, "the row has another gid");
  const bool collides = ends && image.serial_of_gid.contains(entry.gid);
  if (!ends || collides) {
    found->second.version = entry.version;
    found->second.state = entry.state;
    delta.live[serial] = found->second;
    if (collides)
      refusal =
          AlreadyExists("transaction " + entry.gid + " cannot end: a finished one has this gid");
    return OkStatus();
  }
  image.live.erase(found);
  delta.live[serial] = std::nullopt;
  image.PutFinished(
      {serial, entry.gid, entry.spec, entry.state, entry.outcome, entry.finished_unix_ms});
  delta.finished[serial] = image.finished[serial];
  return OkStatus();
}

void MemoryLog::Expire(MemoryDelta& delta) {
  if (options_.max_finished_rows == 0) return;
  MemoryImage& image = disk_->seen_;
  while (image.finished.size() > options_.max_finished_rows) {
    const std::uint64_t oldest = image.finished.begin()->first;
    delta.finished[oldest] = std::nullopt;
    image.EraseFinished(oldest);
  }
}

void MemoryLog::ExpireByAge(MemoryDelta& delta) {
  MemoryImage& image = disk_->seen_;
  const std::int64_t mono = options_.mono_now_ms();
  const std::int64_t wall = UnixNowMs();
  if (const auto change = age_->Plan(mono, image.commit_seq, wall)) {
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
    delta.finished[serial] = std::nullopt;
    image.EraseFinished(serial);
  }
}

void MemoryLog::Sync() {
  if (poison_.ok() && !written_.empty()) {
    if (std::exchange(fail_next_sync_, false)) {
      Poison(UnknownOutcome("fsync: injected"));
    } else {
      for (const MemoryDelta& delta : disk_->written_) disk_->platter_.Apply(delta);
      disk_->written_.clear();
      disk_->state_->commit_seq = disk_->platter_.commit_seq;
    }
  }
  std::deque<Pending> answered = std::exchange(written_, {});
  if (!poison_.ok()) {
    // What had been appended by now shares the fate of what failed, once; what comes later hears
    // that the log has stopped.
    const bool at_once = !answered.empty();
    std::move(queue_.begin(), queue_.end(), std::back_inserter(answered));
    queue_.clear();
    for (Pending& pending : answered) {
      pending.result.status = at_once ? poison_ : Unavailable("the log has stopped");
    }
  }
  Answer(std::move(answered));
  AnswerReads();
}

void MemoryLog::Answer(std::deque<Pending> answered) {
  const std::int64_t now = answered.empty() ? 0 : UnixNowMs();
  for (Pending& pending : answered) {
    if (killed_) return;
    if (!pending.no_room) stats_.queued_entries -= pending.entries.size();
    if (pending.result.status.ok()) pending.result.durable_unix_ms = now;
    if (!pending.result.status.ok()) pending.result.refused.clear();
    pending.done(std::move(pending.result));
  }
}

void MemoryLog::AnswerReads() {
  for (std::size_t n = reads_.size(); n > 0 && !killed_; --n) {
    const auto read = std::move(reads_.front());
    reads_.pop_front();
    read();
  }
}

bool MemoryLog::Step() {
  if (killed_ || (queue_.empty() && written_.empty() && reads_.empty())) return false;
  stepping_ = true;
  Write();
  Sync();
  stepping_ = false;
  return true;
}

void MemoryLog::Poison(const Status& why) {
  if (poison_.ok()) poison_ = UnknownOutcome(why.message());
}

void MemoryLog::Kill() {
  killed_ = true;
  queue_.clear();
  written_.clear();
  reads_.clear();
}

std::int64_t MemoryLog::UnixNowMs() {
  return options_.unix_now_ms ? options_.unix_now_ms() : ++clock_ms_;
}

}  // namespace assent::log
