#include "tools/assent-sim/coordinator.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/codec.h"
#include "tools/assent-sim/coordinator_cluster.h"
#include "tools/assent-sim/coordinator_life.h"

namespace assent::sim {

// ---- What a shard needs of the world ------------------------------------------------------------

std::uint64_t Coordinator::Ports::NextSerial(Slot slot) { return log().NextSerial(slot); }
std::uint64_t Coordinator::Ports::Generation() { return log().Generation(); }

log::Log& Coordinator::Ports::log() {
  Life& life = *owner_.life_;
  if (life.cluster) return life.cluster->lane(shard_);
  return *life.log;
}

void Coordinator::Ports::Append(std::vector<log::Entry> entries, std::uint64_t batch) {
  Life& life = *owner_.life_;
  for (const log::Entry& entry : entries) {
    if (entry.kind == log::EntryKind::kBegin) {
      const std::size_t t = owner_.ledger_.Find(entry.gid);
      const TransactionBooks& books = owner_.ledger_.books(t);
      if (!books.ended) life.serials[entry.serial] = t;
      if (books.restored && books.begun && !books.durable && !books.ended)
        owner_.sim_.marks.Set(Mark::kRestoredBegunAgain);
    }
    const auto known = life.serials.find(entry.serial);
    if (known != life.serials.end() && !life.cluster)
      life.appended.push_back({known->second, entry.serial});
    owner_.sim_.Mix(entry.serial * 31 + entry.version);
  }
  log().Append(std::move(entries), [this, batch](log::AppendResult result) {
    if (result.status.code() == Code::kResourceExhausted)
      owner_.sim_.marks.Set(owner_.full_ == log::MemoryLog::Full::kNone ? Mark::kLogQueueFull
                                                                        : Mark::kFullHeldUpdate);
    owner_.life_->mailboxes[shard_].push_back(engine::AppendedRequest{batch, std::move(result)});
    owner_.ArmTurn(shard_);
  });
  owner_.ArmLog();
}

void Coordinator::Ports::Find(std::string gid, std::uint64_t token) {
  log().Find(std::move(gid), [this, token](Result<log::Found> found) {
    owner_.life_->mailboxes[shard_].push_back(engine::FoundRequest{token, std::move(found)});
    owner_.ArmTurn(shard_);
  });
  owner_.ArmLog();
}

void Coordinator::Ports::GiveWay(engine::GiveWayRequest request) {
  const std::size_t shard = owner_.ShardOf(request.gid);
  if (const std::size_t t = owner_.ledger_.Find(request.gid); t != owner_.ledger_.size())
    owner_.ledger_.Touch(t).in_the_way = true;
  owner_.life_->mailboxes[shard].emplace_back(std::move(request));
  owner_.ArmTurn(shard);
}

void Coordinator::Ports::Send(std::vector<transport::Command> commands) {
  owner_.Send(std::move(commands));
}

void Coordinator::Ports::Waiting(const std::string& service, std::int64_t more) {
  std::int64_t& waiting = owner_.life_->waiting[service];
  waiting += more;
  if (waiting < 0) owner_.sim_.Violate("fewer than none are said to wait for " + service);
  if (waiting > 0) owner_.sim_.marks.Set(Mark::kServiceAbsent);
}

void Coordinator::Ports::Fatal(const Status& status) {
  if (owner_.life_->cluster) return owner_.life_->cluster->Stop(status);
  owner_.sim_.Say([&] { return "the coordinator stops itself: " + status.ToString(); });
  owner_.life_->fatal = true;
}

// ---- Lives --------------------------------------------------------------------------------------

Coordinator::Coordinator(Sim& sim, Ledger& ledger, Network& network, std::vector<bool> unary,
                         Place place)
    : sim_(sim),
      ledger_(ledger),
      network_(network),
      unary_(std::move(unary)),
      place_(std::move(place)),
      disk_(std::make_shared<log::MemoryDisk>(1)) {}

Coordinator::~Coordinator() {
  if (life_ && life_->log) life_->log->Kill();
}

// Main's order: recover, make the epoch durable, open the door, start the shards.
void Coordinator::Start() {
  ASSENT_CHECK(!life_);
  life_number_ = ++lives_ * place_.count + place_.index;
  sim_.Say([&] { return name() + " starts (life " + std::to_string(lives_) + ")"; });
  life_ = std::make_unique<Life>(sim_, *this, disk_, life_number_);
  if (place_.store != nullptr) return;  // the rest when it has joined
  life_->log->SetFull(full_);
  std::vector<std::unique_ptr<engine::Adopted>> rows;
  for (std::size_t i = 0; i < life_->shards.size(); ++i)
    rows.push_back(std::make_unique<engine::Adopted>());
  const Result<log::Recovered> recovered = log::Recover(*life_->log, [&](const log::LiveRow& row) {
    NoteRecovered(row);
    rows[ShardOf(row.gid)]->Add(row);
    return OkStatus();
  });
  if (!recovered.ok()) return StartRefused(recovered.status());
  OpenDoors(*recovered);
  for (std::size_t i = 0; i < life_->shards.size(); ++i) {
    life_->shards[i]->Handle(engine::TakeUpRequest{0, std::move(rows[i])}, sim_.Mono(), Wall());
    life_->shards[i]->EndTurn(sim_.Mono(), Wall());
    ArmTurn(i);
  }
}

void Coordinator::OpenDoors(const log::Joined& joined) {
  // A fail-over may have lost starts as well, and the next one is told from them by what is drawn.
  const bool lost =
      (sim_.options.asynchronous && sim_.options.fail_overs > 0) || sim_.options.store_restores > 0;
  if ((joined.epoch <= last_epoch_ && !lost) || !granted_.insert(joined.epoch).second)
    sim_.Violate("S11 broken: epoch " + std::to_string(joined.epoch) + " was granted before");
  last_epoch_ = life_->epoch = joined.epoch;
  open_number_ = life_number_;
  life_->dialer.Open(joined.log_id);
  for (std::size_t service = 0; service < unary_.size(); ++service) {
    const std::string name = "s" + std::to_string(service);
    if (unary_[service]) life_->dialer.Set(name, {transport::Endpoint(name)});
  }
  life_->hub.Open(joined.log_id, joined.epoch);
  if (place_.store == nullptr) {
    for (std::size_t t = 0; t < ledger_.size(); ++t) ledger_.ReadDurable(disk_->durable(), t);
    ledger_.CheckKept(disk_->durable());
  }
  for (const auto& shard : life_->shards) shard->Start(joined);
}

// It stops and names what is missing; a person finds the file and puts it back.
void Coordinator::StartRefused(const Status& why) {
  if (!disk_->wal_is_lost() || why.message().find("-wal") == std::string::npos)
    return sim_.Violate("recovery fails: " + why.ToString());
  sim_.Say([&] { return "the start is refused: " + why.ToString(); });
  sim_.marks.Set(Mark::kLostWalNoticed);
  life_->log->Kill();
  life_.reset();
  life_number_ = 0;
  open_number_ = 0;
  disk_->PutWalBack();
  sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kCoordinatorStarts, place_.index);
}

void Coordinator::LoseWal() {
  if (life_ || disk_->wal_is_lost()) return;
  sim_.Say([] { return std::string("the log's WAL is gone"); });
  disk_->LoseWal();
}

void Coordinator::TakeGid(std::size_t txn) {
  const std::string& gid = ledger_.plan(txn).gid;
  for (const auto& [serial, row] : disk_->seen().live) {
    if (row.gid != gid || disk_->seen().serial_of_gid.contains(gid)) continue;
    sim_.Say([&] { return "a finished transaction has the gid " + gid; });
    ledger_.Touch(txn).collided = true;
    const auto outcome = static_cast<std::uint8_t>(core::Outcome::kAborted);
    return disk_->PlantFinished({0, gid, row.spec, row.state, outcome, 0});
  }
}

void Coordinator::NoteRecovered(const log::LiveRow& row) {
  const std::size_t t = ledger_.Find(row.gid);
  life_->serials[row.serial] = t;
  ledger_.Touch(t).serial = row.serial;
  // A slot that was given up, and that nobody wanted any more, is taken up as by anybody else.
  for (BranchBooks& branch : ledger_.Touch(t).branches) branch.last_sent_life = 0;
  ledger_.Touch(t).recovered = true;
  const Result<core::Transaction> txn = core::Codec::Decode(row.gid, row.spec, row.state);
  if (!txn.ok()) return;
  bool two_phase = false;
  for (std::size_t i = 0; i < txn->branches().size(); ++i) {
    const core::BranchSpec& spec = txn->spec().branches[i];
    two_phase = two_phase || spec.protocol == core::Protocol::kTwoPhase;
    if (spec.pivot && txn->branches()[i].state == core::BranchState::kExecuting &&
        txn->phase() == core::Phase::kActive)
      sim_.marks.Set(Mark::kPivotInDoubt);
  }
  switch (txn->phase()) {
    case core::Phase::kActive:
      sim_.marks.Set(two_phase ? Mark::kPresumedAbort : Mark::kResumedUndecided);
      break;
    case core::Phase::kCommitting: sim_.marks.Set(Mark::kCommitFoundAtRecovery); break;
    case core::Phase::kAborting: sim_.marks.Set(Mark::kAbortFoundAtRecovery); break;
    case core::Phase::kUnknown:
    case core::Phase::kFinished: break;
  }
  if (txn->recoveries() > 0) sim_.marks.Set(Mark::kDiedInRecovery);
}

// What dies with the queue, or with the writes that were not synchronised.
void Coordinator::NoteLost(bool unsynced) {
  for (const Life::Appended& row : life_->appended) {
    if (!ledger_.books(row.txn).begun) sim_.marks.Set(Mark::kBeginLost);
  }
  for (const Life::Appended& row : life_->written) {
    const auto seen = disk_->seen().live.find(row.serial);
    if (!unsynced || seen == disk_->seen().live.end()) continue;
    const TransactionBooks& books = ledger_.books(row.txn);
    if (!books.begun) sim_.marks.Set(Mark::kBeginLost);
    const Result<core::Transaction> txn =
        core::Codec::Decode(seen->second.gid, seen->second.spec, seen->second.state);
    if (txn.ok() && txn->decision() != core::Decision::kNone && !books.commit_durable &&
        !books.abort_durable)
      sim_.marks.Set(Mark::kDecisionLost);
  }
}

void Coordinator::Die(bool power, std::size_t kept, bool torn) {
  if (!life_) return;
  const std::size_t unsynced = disk_->unsynced_groups();
  sim_.Say([&] {
    return name() + " " + (power ? "loses its power" : "dies") +
           (unsynced > 0 ? " with " + std::to_string(unsynced) + " written groups not synchronised"
                         : "");
  });
  NoteLost(power && kept < unsynced);
  if (life_->log) life_->log->Kill();
  if (unsynced > 0 && !power) sim_.marks.Set(Mark::kSeenNotDurable);
  if (unsynced > 0 && power && kept > 0) sim_.marks.Set(Mark::kUnsyncedSurvived);
  if (power && torn && kept < unsynced) sim_.marks.Set(Mark::kTornGroup);
  if (power) disk_->PowerLoss(kept);
  network_.CoordinatorDied(life_number_, power);
  if (place_.store != nullptr) place_.store->ClientDied(life_number_, power);
  life_.reset();
  life_number_ = 0;
  open_number_ = 0;
  paused_until_ = 0;
  if (power && place_.store == nullptr) {
    for (std::size_t t = 0; t < ledger_.size(); ++t) ledger_.ReadDurable(disk_->durable(), t);
  }
}

void Coordinator::Copy() {
  Die(false, 0);
  copy_ = std::make_unique<log::MemoryDisk>(*disk_);
  copy_->PowerLoss(
      copy_
          ->unsynced_groups());  // whoever copies reads what was written, and synchronises the copy
  sim_.Say([] { return std::string("the log is copied"); });
}

void Coordinator::Restore() {
  Die(false, 0);
  sim_.marks.Set(Mark::kRestored);
  sim_.Say([] { return std::string("the older copy of the log is put back"); });
  for (std::size_t t = 0; t < ledger_.size(); ++t) {
    if (ledger_.Restored(disk_->seen(), copy_->durable(), t)) sim_.marks.Set(Mark::kRestoredMissed);
  }
  *disk_ = *copy_;
  last_epoch_ = disk_->durable().epoch;
}

std::size_t Coordinator::live_count() const {
  std::size_t count = 0;
  if (!life_) return count;
  for (const auto& shard : life_->shards) count += shard->live_count();
  return count;
}

std::int64_t Coordinator::waiting_count() const {
  std::int64_t count = 0;
  if (!life_) return count;
  for (const auto& [service, waiting] : life_->waiting) count += waiting;
  return count;
}

bool Coordinator::idle() const {
  return life_ && life_->log_stage == Life::LogStage::kIdle &&
         (!life_->cluster || life_->cluster->idle()) &&
         std::all_of(life_->mailboxes.begin(), life_->mailboxes.end(),
                     [](const auto& m) { return m.empty(); });
}

std::size_t Coordinator::ShardOf(const std::string& gid) const {
  if (place_.store != nullptr)
    return SlotOf(gid, static_cast<Slot>(sim_.options.slots)) % life_->shards.size();
  const std::size_t t = ledger_.Find(gid);
  return t % life_->shards.size();
}

// A process that was stopped does nothing until it is continued; its clock ran on.
bool Coordinator::Postponed(EventKind kind, std::uint64_t a, std::uint64_t b) {
  if (sim_.now >= paused_until_) return false;
  sim_.At(paused_until_, kind, a, b);
  return true;
}

// ---- Turns --------------------------------------------------------------------------------------

bool Coordinator::Post(const std::string& gid, engine::Request request) {
  if (!life_ || open_number_ == 0) return false;
  if (life_->cluster) {
    const Slot slot = SlotOf(gid, static_cast<Slot>(sim_.options.slots));
    const std::int64_t owner = life_->cluster->OwnerOf(slot);
    if (!life_->cluster->Serves(slot) && owner >= 0) {
      place_.forward(static_cast<std::uint64_t>(owner), gid, std::move(request));
      return true;
    }
  }
  Take(gid, std::move(request));
  return true;
}

void Coordinator::Take(const std::string& gid, engine::Request request) {
  if (!life_ || open_number_ == 0) return;
  const std::size_t shard = ShardOf(gid);
  life_->mailboxes[shard].push_back(std::move(request));
  ArmTurn(shard);
}

void Coordinator::OnFiber(std::uint64_t life, std::uint64_t number) {
  if (!life_ || life != life_number_ || life_->fatal) return;
  if (Postponed(EventKind::kFiber, life, number)) return;
  life_->cluster->Wake(number);
}

// A supervisor starts it again.
void Coordinator::OnProcessEnds(std::uint64_t life) {
  if (!life_ || life != life_number_) return;
  Die(false, 0);
  sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kCoordinatorStarts, place_.index);
}

void Coordinator::ArmTurn(std::size_t shard) {
  Time& at = life_->turn_at[shard];
  Time wanted = -1;
  if (!life_->mailboxes[shard].empty()) {
    wanted = sim_.now + sim_.Draw(sim_.options.turn_max);
  } else {
    const core::MonoTime wakeup = life_->shards[shard]->Wakeup();
    if (wakeup == core::kNever) return;
    wanted = std::max<Time>(wakeup.time_since_epoch().count() - kHour, sim_.now);
  }
  if (at >= 0 && at <= wanted) return;
  at = wanted;
  sim_.At(at, EventKind::kTurn, life_number_, shard);
}

void Coordinator::OnTurn(std::uint64_t life, std::uint64_t shard) {
  if (!life_ || life != life_number_ || life_->turn_at[shard] > sim_.now ||
      life_->turn_at[shard] < 0)
    return;
  if (sim_.now < paused_until_) life_->turn_at[shard] = paused_until_;
  if (Postponed(EventKind::kTurn, life, shard)) return;
  if (life_->cluster && life_->fatal) return;
  life_->turn_at[shard] = -1;
  std::vector<engine::Request> turn = std::exchange(life_->mailboxes[shard], {});
  for (engine::Request& request : turn) {
    life_->shards[shard]->Handle(std::move(request), sim_.Mono(), Wall());
    if (life_->fatal) break;
  }
  if (!life_->fatal) life_->shards[shard]->EndTurn(sim_.Mono(), Wall());
  if (life_->cluster && life_->fatal) return;  // it ends in this very instant
  if (life_->fatal) {
    sim_.marks.Set(Mark::kSyncFailed);
    Die(false, 0);
    sim_.After(sim_.Draw(sim_.options.restart_max), EventKind::kCoordinatorStarts);
    return;
  }
  ArmTurn(shard);
}

// ---- What goes out ------------------------------------------------------------------------------

void Coordinator::Send(std::vector<transport::Command> commands) {
  for (const transport::Command& command : commands) {
    CheckSend(command);
    sim_.Mix(command.gid);
    sim_.Mix(static_cast<std::uint64_t>(command.operation) * 1000 + command.attempt);
    sim_.Say([&] {
      return "the coordinator sends " + std::string(core::Name(command.operation)) + " #" +
             std::to_string(command.attempt) + " of " + command.gid + " " + command.branch_id +
             " to " + command.service + (command.one_phase ? " (one phase)" : "");
    });
  }
  life_->last_send = sim_.now;
  if (!std::exchange(life_->ticking, true))
    sim_.After(sim_.options.hub_tick, EventKind::kHubTick, life_number_);
  const std::uint64_t queued = life_->board.counters().queued;
  life_->board.Send(std::move(commands));
  if (life_->board.counters().queued > queued) sim_.marks.Set(Mark::kRouterQueued);
}

// ---- The log ------------------------------------------------------------------------------------

void Coordinator::ArmLog() {
  if (life_->cluster) return;  // its lanes wake by themselves
  if (life_->log_stage != Life::LogStage::kIdle) {
    life_->log_again = true;
    return;
  }
  life_->log_stage = Life::LogStage::kWriting;
  sim_.After(sim_.Draw(sim_.options.log_write_max), EventKind::kLogWrite, life_number_);
}

void Coordinator::OnLogWrite(std::uint64_t life) {
  if (!life_ || life != life_number_ || Postponed(EventKind::kLogWrite, life, 0)) return;
  (void)life_->log->Write();
  life_->written.insert(life_->written.end(), life_->appended.begin(), life_->appended.end());
  life_->appended.clear();
  life_->log_stage = Life::LogStage::kSyncing;
  life_->log_again = false;
  sim_.After(sim_.Draw(sim_.options.log_sync_max), EventKind::kLogSync, life_number_);
}

void Coordinator::OnLogSync(std::uint64_t life) {
  if (!life_ || life != life_number_ || Postponed(EventKind::kLogSync, life, 0)) return;
  life_->log->Sync();
  ReadDurable();
  ledger_.CheckKept(disk_->durable());
  life_->log_stage = Life::LogStage::kIdle;
  if (life_->log_again) ArmLog();
}

void Coordinator::ReadDurable() {
  for (const Life::Appended& row : std::exchange(life_->written, {})) {
    const log::MemoryImage& image = disk_->durable();
    // Refused, and nothing else is known of it.
    if (!image.live.contains(row.serial) && !image.finished.contains(row.serial)) continue;
    ledger_.Touch(row.txn).serial = row.serial;
    ledger_.ReadDurable(image, row.txn);
  }
}

void Coordinator::SetFull(log::MemoryLog::Full full) {
  full_ = full;
  if (life_ && life_->log) life_->log->SetFull(full);
}

void Coordinator::FailNextSync() {
  if (life_ && life_->log) life_->log->FailNextSync();
}

}  // namespace assent::sim
