#pragma once

// The machine that the coordinator runs on: its disk stays, its lives come and go. A life is the
// production code (shards, switchboard, session hub, dialer, in-memory log) with the engine's loop
// and the carriers replaced by simulated ones.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/engine/requests.h"
#include "coordinator/engine/shard.h"
#include "coordinator/log/memory/memory_log.h"
#include "coordinator/transport/transport.h"
#include "tools/assent-sim/ledger.h"
#include "tools/assent-sim/network.h"

namespace assent::sim {

class SharedStore;

// One of several coordinators over a store that they share; or the only one, with its own disk.
struct Place {
  std::uint64_t index = 0;
  std::uint64_t count = 1;
  SharedStore* store = nullptr;
  Time clock = 0;  // how far the clock for people is from that of the others
  // Carries a request of an initiator or operator to another one, who has its slot.
  std::function<void(std::uint64_t to, const std::string& gid, engine::Request request)> forward{};
};

class Coordinator {
 public:
  Coordinator(Sim& sim, Ledger& ledger, Network& network, std::vector<bool> unary, Place place);
  ~Coordinator();

  void Start();
  // The process dies; with `power` the machine does, and of what was written and not synchronised
  // `kept` groups survive.
  void Die(bool power, std::size_t kept, bool torn = false);
  // The operator's "stop, copy, start", and its misuse: the copy is put back after the original has
  // run again.
  void Copy();
  bool has_copy() const { return copy_ != nullptr; }
  void Restore();
  // The WAL is gone: whoever starts next has to notice, and somebody then puts it back. While it is
  // down.
  void LoseWal();
  // As an older build could leave it: a finished transaction has the gid of this unfinished one.
  // While it is down.
  void TakeGid(std::size_t txn);
  bool up() const { return life_ != nullptr; }
  // As participants and initiators meet it; 0: down, or has not joined its cluster yet.
  const std::uint64_t& life() const { return open_number_; }
  // Of the process; 0: down.
  std::uint64_t process() const { return life_number_; }
  std::size_t live_count() const;
  // Transactions that are said to wait for an absent service, over all services.
  std::int64_t waiting_count() const;
  bool idle() const;
  std::string name() const {
    return place_.store == nullptr ? "the coordinator" : "c" + std::to_string(place_.index);
  }
  // Of several.
  bool Serves(Slot slot) const;
  std::uint64_t epoch() const;
  // It answers for this one, and others have the slot.
  bool IsStaleOwnerOf(const std::string& gid) const;
  const log::MemoryDisk& disk() const { return *disk_; }

  // False when there is nobody to take it.
  bool Post(const std::string& gid, engine::Request request);
  // The same, sent on by another coordinator.
  void Take(const std::string& gid, engine::Request request);
  // A participant that is dialled came or went: the coordinator's connection to it notices.
  void LinkChanges(std::uint32_t service);
  void Pause(Time until) { paused_until_ = std::max(paused_until_, until); }
  Time paused_until() const { return life_ ? paused_until_ : 0; }
  // It stood still until a moment ago.
  bool WasPaused() const {
    return paused_until_ != 0 && sim_.now >= paused_until_ &&
           sim_.now - paused_until_ <= sim_.options.lease;
  }
  // A person who has mended a row starts it again.
  bool HasSetAside() const;
  void SetFull(log::MemoryLog::Full full);
  void FailNextSync();

  void OnTurn(std::uint64_t life, std::uint64_t shard);
  void OnLogWrite(std::uint64_t life);
  void OnLogSync(std::uint64_t life);
  void OnHubTick(std::uint64_t life);
  void OnPace(std::uint64_t life);
  void OnFiber(std::uint64_t life, std::uint64_t number);
  void OnProcessEnds(std::uint64_t life);
  void OnUnaryDeadline(std::uint64_t life, std::uint64_t call);
  void OnUnaryLink(std::uint64_t service, bool up);
  void OnFrame(std::uint64_t connection, v1::ParticipantFrame& frame);
  void OnWriteDone(std::uint64_t connection);
  void OnClosed(std::uint64_t connection);
  void OnLetter(const Letter& letter);

 private:
  core::WallTime Wall() const { return sim_.Wall() + core::Millis(place_.clock / kMillisecond); }
  struct Life;
  class Ports;
  class Stream;
  class Calls;
  class Ears;
  class Cluster;

  void ArmTurn(std::size_t shard);
  void ArmLog();
  void ReadDurable();
  void OpenDoors(const log::Joined& joined);
  void NoteRecovered(const log::LiveRow& row);
  bool Current(const std::string& gid) const;
  bool SendsForLost(const std::string& gid) const;
  void StartRefused(const Status& why);
  void NoteLost(bool unsynced);
  void Send(std::vector<transport::Command> commands);
  void CheckSend(const transport::Command& command);
  void CheckLeaves(const std::string& gid, const std::string& branch_id, int operation,
                   std::uint32_t attempt);
  void CheckTold(const transport::OutcomeAnswer& answer, std::uint64_t began_epoch);
  bool Postponed(EventKind kind, std::uint64_t a, std::uint64_t b);
  std::size_t ShardOf(const std::string& gid) const;

  Sim& sim_;
  Ledger& ledger_;
  Network& network_;
  const std::vector<bool> unary_;
  const Place place_;
  std::shared_ptr<log::MemoryDisk> disk_;
  std::uint64_t lives_ = 0;
  std::uint64_t open_number_ = 0;
  std::uint64_t life_number_ = 0;
  std::uint64_t last_epoch_ = 0;  // of the log as it stands now
  std::set<std::uint64_t> granted_;
  std::unique_ptr<log::MemoryDisk> copy_;
  Time paused_until_ = 0;
  log::MemoryLog::Full full_ = log::MemoryLog::Full::kNone;
  std::unique_ptr<Life> life_;
};

}  // namespace assent::sim
