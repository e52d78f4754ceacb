#pragma once

// The database that several coordinators share, as a server of PostgreSQL behaves where it matters:
// transactions with locks that are held until the commit is acknowledged, a log of changes that a
// standby follows, connections that break on one side first, requests that arrive long after
// whoever sent them has given them up, half or not at all.
//
//   client ──Send──► under way ──arrives──► locks? ──► executed ──► in the log ──► at the standby
//                    lost, late,            waits       open          async: visible,  durable;
//                    half of it                                       acknowledged     sync: all that
//
// The server knows nothing of coordinators: what a request does is a function that its client gives
// (shared_rows, shared_members). What it sees being broken at a commit, it says (StoreAudit).

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <assent/status.h>

#include "tools/assent-sim/sim.h"
#include "tools/assent-sim/store_audit.h"
#include "tools/assent-sim/store_image.h"

namespace assent::sim {

using Change = std::function<void(StoreImage&)>;

// A lock on one row, or on all slots. Taken all at once, held until the end.
using LockName = std::pair<std::uint64_t, std::uint32_t>;
inline constexpr LockName kSlotsLock = {0, 0};
inline LockName LaneLock(LaneKey lane) { return lane; }
inline LockName MemberLock(std::uint64_t epoch) { return {epoch, UINT32_MAX}; }

// One message to the server: a transaction, or a read.
struct StoreRequest {
  std::string name;
  std::function<std::vector<LockName>(const StoreImage&)> locks{};
  // Looks, in one snapshot, and says what shall be changed (empty: nothing). A failure rolls back.
  std::function<Status(const StoreImage&, Change&)> run;
  // Given up when the locks are not free for so long (0: waits), and those who hold them are ended.
  Time lock_timeout = 0;
  // A message of the simple protocol: of half of it nothing is executed.
  bool simple = true;
  // Of a group: what the audit is to know of it.
  GroupName group{};
};

// What a client knows of a request.
struct StoreAnswer {
  bool executed = false;  // `status` says how it went; if it changes anything, that is not durable
  bool done = false;      // the commit was acknowledged
  bool warned = false;    // ... "locally, perhaps not at the standby"
  bool locked = false;    // given up: somebody held a lock
  Status status;
};

class SharedStore {
 public:
  SharedStore(Sim& sim, Slot slots_count, bool synchronous);

  // ---- Clients. A link is one connection, for ever; `wake` is called when there is news of it.
  std::uint64_t Open(std::uint64_t life, std::function<void()> wake);
  bool broken(std::uint64_t link) const { return links_[link].broken; }
  // Its number, for Answer.
  std::uint64_t Send(std::uint64_t link, StoreRequest request);
  const StoreAnswer& Answer(std::uint64_t request) const { return works_[request].answer; }
  std::uint64_t LifeOf(std::uint64_t link) const { return links_[link].life; }
  std::uint64_t ServerOf(std::uint64_t link) const { return links_[link].server; }
  std::uint64_t LinkOf(std::uint64_t request) const { return works_[request].link; }
  // The client closes it: what it has sent still arrives.
  void Close(std::uint64_t link);
  void ClientDied(std::uint64_t life, bool power);

  void AddOldRow(std::uint64_t serial, const OldRow& row) {
    seen_.old_rows[serial] = durable_.old_rows[serial] = row;
  }

  // ---- Misfortunes.
  // Breaks every connection of this life: what is under way is lost, late, or half of it.
  void Cut(std::uint64_t life);
  void Block(std::uint64_t life, Time until);  // nothing passes
  void GoDown(Time until);                     // and everything that is open is rolled back
  // The standby takes over, with some of what it was not asked to have acknowledged. The old one,
  // if it still runs, serves reads.
  void FailOver();
  // A backup is taken; and put back, when more has been committed since.
  void Copy() { copy_ = std::make_unique<StoreImage>(durable()); }
  void Restore();
  // The standby is cut off, or slow: nothing gets there until then.
  void LoseStandby(Time until);
  // A row of this slot cannot be read from now on; until Heal.
  void Damage(Slot slot);
  // A wait for the standby is cancelled by a person: visible, and "committed" with a warning.
  void CancelWaits();
  // A person's word.
  void Tell(const std::string& name, Change change);
  void Heal();

  // ---- What is so.
  bool synchronous() const { return synchronous_; }
  // What a fail-over leaves (synchronous), or what the server would find after a power cut.
  const StoreImage& durable() const { return synchronous_ ? durable_ : seen_; }
  const StoreImage& seen() const { return seen_; }
  StoreAudit& audit() { return audit_; }
  // Called with each change that has become durable().
  std::function<void(const GroupName&)> on_durable;
  // Called when a fail-over has lost something; with what was there before.
  std::function<void(const StoreImage& before)> on_lost;
  bool up() const { return up_; }
  // Somebody believes what was read on this connection.
  void CheckNotDeposed(std::uint64_t link) {
    if (links_[link].misled) sim_.Violate("S9 broken: what a deposed primary showed is believed");
  }
  // Nothing passed between this life and the store, until a moment ago.
  bool WasBlocked(std::uint64_t life) const {
    const auto found = blocked_.find(life);
    return found != blocked_.end() && sim_.now >= found->second &&
           sim_.now - found->second <= sim_.options.lease;
  }
  // Until when this life was cut off from the store; an outage is not meant.
  Time TroubleOf(std::uint64_t life) const {
    const auto found = trouble_.find(life);
    return found == trouble_.end() ? -1 : found->second;
  }

  // ---- Events.
  void OnArrives(std::uint64_t work);
  void OnCommits(std::uint64_t work);
  void OnReplicates(std::uint64_t work);
  void OnLockTimeout(std::uint64_t work);
  void OnAnswer(std::uint64_t work, std::uint64_t step);
  void OnBroken(std::uint64_t link);
  void OnUp();

 private:
  enum class Stage : std::uint8_t { kUnderWay, kWaits, kOpen, kInLog, kOver };
  struct Link {
    std::uint64_t life = 0;
    std::uint64_t server = 0;  // which primary
    std::function<void()> wake;
    bool broken = false;  // the client knows
    bool cut = false;     // nothing passes any more
    bool gone = false;    // the server knows
    bool misled = false;  // it was shown what a deposed primary had
    Time last_arrival = 0;
  };
  struct Work {
    std::uint64_t link = 0;
    StoreRequest request;
    StoreAnswer answer;
    Stage stage = Stage::kUnderWay;
    bool half = false;  // the rest of it never comes
    bool visible = false;
    Change change;
    Status status;
  };

  bool Reaches(const Work& work) const;
  bool TakeLocks(std::uint64_t work);
  void DropLocks(std::uint64_t work);
  void RunWaiting();
  void Execute(std::uint64_t number);
  void End(std::uint64_t number);
  void RollBack(std::uint64_t number);
  void Terminate(std::uint64_t number);
  void MakeVisible(std::uint64_t number);
  void MakeDurable(std::uint64_t number);
  void Say(std::uint64_t number, std::uint64_t step);
  void Break(std::uint64_t link, Time after);
  // Another server is the primary, and has this.
  void Become(const StoreImage& image);
  void Trouble(std::uint64_t life, Time until) {
    Time& trouble = trouble_[life];
    trouble = std::max(trouble, until);
  }

  Sim& sim_;
  const bool synchronous_;
  bool up_ = true;
  Time down_since_ = 0;
  Time standby_back_ = 0;
  std::unique_ptr<StoreImage> copy_;
  std::uint64_t server_ = 1;
  StoreImage seen_;                // what the primary shows
  StoreImage durable_;             // what the standby has
  StoreImage deposed_;             // what the one before shows to those who still ask it
  std::deque<std::uint64_t> log_;  // works that the standby does not have yet, in order
  std::deque<Link> links_;
  std::deque<Work> works_;
  std::map<LockName, std::uint64_t> held_;  // by which work
  std::deque<std::uint64_t> waiting_;
  std::map<std::uint64_t, Time> blocked_;  // by life
  std::map<std::uint64_t, Time> trouble_;  // likewise
  Time last_replicated_ = 0;
  StoreAudit audit_;
};

}  // namespace assent::sim
