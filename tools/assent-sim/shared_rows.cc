#include "tools/assent-sim/shared_rows.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "coordinator/log/memory/memory_group.h"
#include "tools/assent-sim/planted.h"

namespace assent::sim {
struct SharedRows::Group {
  GroupName name;
  std::vector<std::vector<log::Entry>> batches;
  std::map<Slot, std::int64_t> released;  // and where their serials have got to
  log::Unwritten unwritten;
  std::set<Slot> loaded;
  bool expires = false;  // with what has been kept for its time
  Time kept_for = 0;
  Time asked_at = 0;
  StoreAudit* audit = nullptr;
  // The server's.
  bool fence_holds = false;
  bool kept = false;  // of what was to be released something: there is nobody to give it to
  log::GroupOutcome outcome;
  log::MemoryDelta delta;

  Status Evaluate(const StoreImage& image);
  void Apply(StoreImage& image) const;
  void RemoveOld(StoreImage& image) const;
};

std::int64_t TickNow(const Sim& sim, Time clock) {
  return (sim.Wall().time_since_epoch().count() + clock / kMillisecond) / (kHour / kMillisecond);
}

Time KeptFor(const Options& options) { return 16 * options.lease; }

// ---- The server's part --------------------------------------------------------------------------

Status SharedRows::Group::Evaluate(const StoreImage& image) {
  const auto row = image.lanes.find(name.lane);
  fence_holds = row != image.lanes.end() && !row->second.fenced &&
                (row->second.conn == name.conn || Mutant(Planted::kReopenWithoutConn));
  if (!fence_holds) return FailedPrecondition("fenced, or an old connection");
  if (row->second.seq >= name.seq) return FailedPrecondition("this group has been written");
  kept = std::any_of(released.begin(), released.end(), [&](const auto& given) {
    const cluster::SlotRow& slot = image.slots[given.first];
    return slot.owner == name.lane.first && image.Ended(slot.wanted);
  });
  outcome = {};
  outcome.refused.resize(batches.size());
  delta = {};
  log::MemoryImage rows = image.rows;
  log::MemoryGroup group({.image = rows,
                          .delta = delta,
                          .loaded = loaded,
                          .serials_from = 0,
                          .unwritten = unwritten,
                          .never_begun = outcome.never_begun});
  for (std::size_t b = 0; b < batches.size(); ++b) {
    for (std::size_t i = 0; i < batches[b].size(); ++i) {
      Status refusal;
      if (Status status = group.Apply(batches[b][i], refusal); !status.ok()) return status;
      if (!refusal.ok()) outcome.refused[b].push_back({.index = i, .status = refusal});
    }
  }
  return OkStatus();
}

void SharedRows::Group::Apply(StoreImage& image) const {
  if (expires) RemoveOld(image);
  image.lanes[name.lane].seq = name.seq;
  log::MemoryDelta changes = delta;
  changes.next_serial = image.rows.next_serial;
  changes.commit_seq = image.rows.commit_seq + 1;
  image.rows.Apply(changes);
  image.rows.epoch = name.lane.first;
  for (const auto& [slot, last] : released) {
    cluster::SlotRow& row = image.slots[slot];
    if (row.owner != name.lane.first || image.Ended(row.wanted)) continue;
    row.owner = std::exchange(row.wanted, 0);
    ++row.slot_epoch;
    row.serial_floor_ms = last;
    ++image.version;
  }
}

// Of own slots, and old by the clock of whoever asked.
void SharedRows::Group::RemoveOld(StoreImage& image) const {
  for (auto at = image.old_rows.begin(); at != image.old_rows.end();) {
    const OldRow row = at->second;
    const bool goes = loaded.contains(row.slot) && asked_at - row.finished_at >= kept_for;
    if (goes) audit->OnRemoved(name.lane.first, row, kept_for, image);
    at = goes ? image.old_rows.erase(at) : std::next(at);
  }
}

// ---- Groups -------------------------------------------------------------------------------------

std::shared_ptr<SharedRows::Group> SharedRows::NewGroup() {
  auto group = std::make_shared<Group>();
  group->name.lane = lane_;
  group->name.seq = acknowledged_ + 1;
  group->loaded = loaded_;
  group->kept_for = KeptFor(sim_.options);
  group->asked_at = sim_.now;
  group->audit = &store_.audit();
  return group;
}

StoreRequest SharedRows::RequestOf(const std::shared_ptr<Group>& group) const {
  StoreRequest request;
  request.name = "group";
  request.simple = false;
  request.group = group->name;
  request.locks = [group](const StoreImage&) {
    std::vector<LockName> locks;
    if (!Mutant(Planted::kFenceWithoutShareLock)) locks.push_back(LaneLock(group->name.lane));
    if (!group->released.empty()) locks.push_back(kSlotsLock);
    return locks;
  };
  request.run = [group](const StoreImage& image, Change& change) {
    const Status status = group->Evaluate(image);
    if (status.ok()) change = [group](StoreImage& changed) { group->Apply(changed); };
    return status;
  };
  return request;
}

void SharedRows::SendGroup() {
  // The one that may still arrive keeps what it was given.
  group_ = std::make_shared<Group>(*group_);
  group_->name.conn = conn_;
  group_->name.server = store_.ServerOf(client_.link());
  sent_ = client_.Send(RequestOf(group_));
  under_way_ = true;
}

Status SharedRows::Drive(bool committed) {
  if (settled_) return OkStatus();
  if (fenced_ || regressed_) return Over();
  for (;;) {
    if (conn_ != 0 && !under_way_) SendGroup();
    if (under_way_ && client_.Await(sent_, committed)) {
      const StoreAnswer& answer = store_.Answer(sent_);
      const bool unsure = (answer.warned && !Mutant(Planted::kWarningIsSuccess)) ||
                          (!answer.status.ok() && !group_->fence_holds);
      if (!unsure) {
        if (answer.done) {
          under_way_ = false;
          settled_ = answer.status.ok();
        }
        return answer.status;
      }
    }
    const bool was_sent = std::exchange(under_way_, false);
    if (was_sent && store_.Answer(sent_).warned) sim_.marks.Set(Mark::kStoreWarned);
    switch (Settle()) {
      case Settled::kOver: return Over();
      case Settled::kCommitted:
        store_.audit().OnAcknowledged(group_->name);
        settled_ = true;
        sim_.marks.Set(Mark::kSettledYes);
        return OkStatus();
      case Settled::kNot:
        if (was_sent) store_.audit().OnNotCommitted(group_->name);
        if (was_sent) sim_.marks.Set(Mark::kSettledNo);
        break;
    }
  }
}

// A new connection, behind which the old one cannot write any more; then what is there.
SharedRows::Settled SharedRows::Settle() {
  struct Seen {
    bool there = false;
    LaneRow row;
    bool ended = false;
  };
  for (;;) {
    const auto seen = std::make_shared<Seen>();
    StoreRequest reopen;
    reopen.name = "reopen";
    reopen.lock_timeout = sim_.options.lock_timeout;
    reopen.locks = [lane = lane_](const StoreImage&) {
      if (Mutant(Planted::kRetryWithoutReopen)) return std::vector<LockName>();
      return std::vector<LockName>{LaneLock(lane)};
    };
    reopen.run = [seen, lane = lane_](const StoreImage& image, Change& change) {
      const auto found = image.lanes.find(lane);
      seen->there = found != image.lanes.end();
      if (!seen->there) return OkStatus();
      seen->row = found->second;
      if (Mutant(Planted::kRetryWithoutReopen) && seen->row.conn > 0) return OkStatus();
      ++seen->row.conn;
      seen->ended = image.Ended(lane.first);
      change = [lane, conn = seen->row.conn](StoreImage& changed) {
        changed.lanes[lane].conn = conn;
      };
      return OkStatus();
    };
    client_.Connect();
    if (!client_.Ask(std::move(reopen)).ok()) {
      client_.Sleep(sim_.options.lock_timeout / 4 + 1);
      continue;
    }
    fenced_ = seen->there && (seen->row.fenced || seen->ended);
    // A number that it has had already: the opening before this one is lost.
    regressed_ = !seen->there || seen->row.seq < acknowledged_ ||
                 (seen->row.conn <= conn_ && !Mutant(Planted::kRetryWithoutReopen));
    if (seen->there && Mutant(Planted::kRegressedLogGoesOn)) regressed_ = false;
    conn_ = seen->row.conn;
    const bool committed = group_ && seen->row.seq == group_->name.seq;
    sim_.Say([&] {
      return "lane " + std::to_string(lane_.second) + " of epoch " +
             std::to_string(log::StartNumber(lane_.first)) + " is open again (conn " +
             std::to_string(conn_) + "), at group " + std::to_string(seen->row.seq) + " of " +
             std::to_string(group_ ? group_->name.seq : acknowledged_) +
             (fenced_ ? ", fenced" : "");
    });
    if (regressed_) sim_.marks.Set(Mark::kRegressed);
    if (fenced_ || regressed_) return Settled::kOver;
    return committed ? Settled::kCommitted : Settled::kNot;
  }
}

// A connection over which this lane may write, or read.
bool SharedRows::Ready() {
  if (fenced_ || regressed_) return false;
  return (conn_ != 0 && client_.connected()) || Settle() != Settled::kOver;
}

Status SharedRows::Over() const {
  return fenced_ ? FailedPrecondition("this epoch was fenced")
                 : DataLoss("the store has lost what it acknowledged");
}

Status SharedRows::Write(const std::vector<const std::vector<log::Entry>*>& batches,
                         const log::Unwritten& unwritten, log::GroupOutcome& outcome) {
  group_ = NewGroup();
  for (const auto* batch : batches) {
    group_->batches.push_back(*batch);
    for (const log::Entry& entry : *batch) {
      group_->name.slots.push_back(entry.slot);
      group_->name.serials.push_back(entry.serial);
      if (entry.kind == log::EntryKind::kForget) group_->name.gids.push_back(entry.gid);
    }
  }
  group_->unwritten = unwritten;
  group_->expires =
      sim_.options.old_rows > 0 && sim_.now >= next_expiry_ && !Mutant(Planted::kUnfencedRetention);
  const Status status = Drive(/*committed=*/false);
  if (status.ok()) outcome = group_->outcome;
  return status;
}

Status SharedRows::Commit() {
  const Status status = Drive(/*committed=*/true);
  if (!status.ok()) return status;
  acknowledged_ = group_->name.seq;
  settled_ = false;
  group_.reset();
  return status;
}

Status SharedRows::CommitEmpty() {
  group_ = NewGroup();
  return Commit();
}

Status SharedRows::Release(const std::vector<Slot>& slots) {
  group_ = NewGroup();
  for (const Slot slot : slots) group_->released[slot] = slots_->LastMs(slot);
  group_->name.given_up = slots;
  if (const Status status = Drive(/*committed=*/true); !status.ok()) return status;
  const bool kept = group_->kept;
  (void)Commit();
  for (const Slot slot : slots) {
    loaded_.erase(slot);
    slots_->Drop(slot);
  }
  return kept ? FailedPrecondition("nobody wants them any more") : OkStatus();
}

// ---- In quiet hours -----------------------------------------------------------------------------

bool SharedRows::Looked(std::uint64_t generation) {
  generation_ = generation;
  return generation_ != checked_generation_ ||
         (sim_.options.old_rows > 0 && sim_.now >= next_expiry_);
}

// Whoever has nothing to write would not notice that another server lacks something of ours.
Status SharedRows::LookAfterFailOver() {
  const std::uint64_t generation = generation_;
  if (generation == checked_generation_) return OkStatus();
  const Status status = CommitEmpty();
  if (regressed_) sim_.marks.Set(Mark::kNoticedAtRest);
  if (status.ok()) checked_generation_ = generation;
  return status;
}

Result<bool> SharedRows::UpkeepIdle() {
  if (Status status = LookAfterFailOver(); !status.ok()) return status;
  if (sim_.options.old_rows == 0 || sim_.now < next_expiry_) return false;
  next_expiry_ = sim_.now + sim_.options.lease;
  Status status;
  if (Mutant(Planted::kUnfencedRetention)) {
    status = RemoveUnfenced();
  } else {
    group_ = NewGroup();
    group_->expires = true;
    status = Commit();
  }
  if (!status.ok()) return status;
  return false;
}

// The planted bug: a statement of its own, which no lane and no fence concerns.
Status SharedRows::RemoveUnfenced() {
  if (!Ready()) return Over();
  StoreRequest request;
  request.name = "expire";
  request.run = [group = NewGroup()](const StoreImage&, Change& change) {
    change = [group](StoreImage& changed) { group->RemoveOld(changed); };
    return OkStatus();
  };
  (void)client_.Ask(std::move(request));
  return OkStatus();
}

// ---- Reads --------------------------------------------------------------------------------------

Status SharedRows::Load(const std::vector<Slot>& slots, const log::Log::LiveVisitor& visit,
                        std::vector<log::DamagedSlot>& damaged) {
  struct Read {
    std::vector<log::LiveRow> rows;
    std::set<Slot> damaged;
    std::uint64_t generation = 0;
    bool owned = true;
  };
  for (;;) {
    if (!Ready()) return Over();
    const auto read = std::make_shared<Read>();
    StoreRequest request;
    request.name = "load";
    request.run = [read, slots, epoch = lane_.first](const StoreImage& image, Change&) {
      const std::set<Slot> wanted(slots.begin(), slots.end());
      read->generation = image.generation;
      for (const auto& [serial, row] : image.rows.live) {
        if (!wanted.contains(row.slot)) continue;
        read->rows.push_back(row);
        if (image.damaged.contains(row.slot)) read->damaged.insert(row.slot);
      }
      for (const Slot slot : slots) read->owned = read->owned && image.slots[slot].owner == epoch;
      return OkStatus();
    };
    const std::uint64_t link = client_.link();
    if (!client_.Ask(std::move(request)).ok()) {
      if (Settle() == Settled::kOver) return Over();
      continue;
    }
    std::vector<Slot> sound;
    std::copy_if(slots.begin(), slots.end(), std::back_inserter(sound),
                 [&](Slot slot) { return !read->damaged.contains(slot); });
    store_.audit().OnLoaded(lane_, sound);
    if (!Mutant(Planted::kActOnLoadWithoutCommit)) {
      if (const Status status = CommitEmpty(); !status.ok()) return status;
    }
    if (link != client_.link()) continue;  // it was another connection's, perhaps another server's
    store_.CheckNotDeposed(link);
    if (!read->owned) {
      sim_.marks.Set(Mark::kGrantLost);
      regressed_ = true;
      return Over();
    }
    for (const log::LiveRow& row : read->rows) {
      slots_->NoteSerial(row.slot, row.serial);
      if (const Status status = visit(row); !status.ok()) return status;
    }
    loaded_generation_ = read->generation;
    loaded_.insert(sound.begin(), sound.end());
    for (const Slot slot : read->damaged)
      damaged.push_back({slot, "a row of slot " + std::to_string(slot) + " cannot be read"});
    return OkStatus();
  }
}

Result<log::Found> SharedRows::Find(const std::string& gid) {
  for (;;) {
    const auto found = std::make_shared<log::Found>();
    StoreRequest request;
    request.name = "find";
    request.run = [found, gid](const StoreImage& image, Change&) {
      found->epochs = std::make_shared<const std::vector<std::uint64_t>>(image.Epochs());
      const auto finished = image.rows.serial_of_gid.find(gid);
      if (finished != image.rows.serial_of_gid.end()) {
        found->what = log::Found::What::kFinished;
        found->row = image.rows.finished.at(finished->second);
        return OkStatus();
      }
      for (const auto& [serial, row] : image.rows.live) {
        if (row.gid != gid || Mutant(Planted::kPresumeByNonOwner)) continue;
        found->what = log::Found::What::kLive;
        found->owner = image.slots[row.slot].owner;
      }
      return OkStatus();
    };
    if (!Ready()) return Over();
    const std::uint64_t link = client_.link();
    if (!client_.Ask(std::move(request)).ok()) {
      if (Settle() == Settled::kOver) return Over();
      continue;
    }
    // On the connection that was read from: who was deposed can be read, and commits nothing.
    if (!Mutant(Planted::kPresumeFromDeposedPrimary)) {
      if (const Status status = CommitEmpty(); !status.ok()) return status;
    }
    if (link != client_.link()) continue;
    store_.CheckNotDeposed(link);
    return *found;
  }
}

Result<std::vector<log::FinishedRow>> SharedRows::Scan(std::uint64_t, std::size_t) {
  return std::vector<log::FinishedRow>();
}

}  // namespace assent::sim
