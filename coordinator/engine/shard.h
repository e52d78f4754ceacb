#pragma once

// A shard owns transactions and moves them on: it drains what has come in, applies it to the state machines, hands all records
// of the turn to the log as one batch, and performs each effect when the log says that what justifies it is durable. It is
// single-threaded and has no clock, no thread and no socket of its own (ShardPorts), so that the simulator runs it unchanged.
//
// Invariant: a transaction has at most one write outstanding; an effect waits for the write that carries its record, or was
// released because no write was outstanding. There is no other way out of a shard.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <assent/limits.h>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/adopted.h"
#include "coordinator/engine/requests.h"
#include "coordinator/log/log.h"
#include "coordinator/schedule/timer_queue.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// Added to core's outcome in the log when a person declared what happened in some branch. Its participant has acknowledged
// nothing and may still ask, so retention must not make the answer a presumed one: only an operator's forget does.
inline constexpr std::uint8_t kResolvedByHand = 16;
constexpr core::Outcome OutcomeFromLog(std::uint8_t outcome) {
  return static_cast<core::Outcome>(outcome & (kResolvedByHand - 1U));
}
// Every outcome in the log that retention leaves alone.
std::vector<std::uint8_t> PinnedOutcomes();

// What a shard needs of the world. Every call returns at once; answers come back through Shard::Handle.
class ShardPorts {
 public:
  virtual ~ShardPorts() = default;
  virtual std::uint64_t NextSerial() = 0;
  // Answered by AppendedRequest with the same batch number, in order.
  virtual void Append(std::vector<log::Entry> entries, std::uint64_t batch) = 0;
  // Answered by FoundRequest with the same token.
  virtual void Find(std::string gid, std::uint64_t token) = 0;
  virtual void Send(std::vector<transport::Command> commands) = 0;
  // To the shard that owns request.gid, as a request of a later turn.
  virtual void GiveWay(GiveWayRequest request) = 0;
  // The log cannot be trusted any more: the process must end without another word to anybody.
  virtual void Fatal(const Status& status) = 0;
};

struct ShardOptions {
  std::size_t max_live_count = 1'000'000;
  // What initiators and participants have attached to unfinished transactions (payloads, results, headers, labels). Beyond it
  // nothing begins and no branch is added.
  std::size_t max_live_bytes = std::size_t{1} << 30;
  // After a start, and when a service is back, so many transactions go on in one turn: others are served between, and what
  // all of them write and send at once stays small.
  std::size_t slice_count = 1024;
  // How long a record that gates nothing may wait for a batch to ride with.
  core::Millis lazy_write_delay{20};
  // After the disk was found full.
  core::Millis full_retry_delay{250};
  std::uint64_t seed = 1;  // of the jitter
  // Told, in a sentence with its name, of each row of the log that cannot be carried on. On the shard's thread.
  std::function<void(const std::string& sentence)> on_set_aside{};
};

struct ShardStats {
  std::uint64_t active = 0;
  std::uint64_t committing = 0;
  std::uint64_t aborting = 0;
  std::uint64_t needs_operator = 0;
  std::uint64_t begun = 0;
  std::uint64_t committed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t stale_replies = 0;
  std::uint64_t set_aside = 0;      // rows of the log that cannot be carried on
  std::uint64_t silent_shards = 0;  // of an engine's sum: figures that are missing
};

class Shard {
 public:
  Shard(ShardOptions options, ShardPorts& ports);
  ~Shard();

  // Recovery: takes a transaction from the log, in its order. Before Start.
  void Adopt(const log::LiveRow& row) { adopted_.Add(row); }
  // The epoch is durable: everything adopted goes on.
  void Start(const log::Recovered& recovered, core::MonoTime mono, core::WallTime wall);

  // One turn: any number of Handle, then EndTurn.
  void Handle(Request request, core::MonoTime mono, core::WallTime wall);
  void EndTurn(core::MonoTime mono, core::WallTime wall);

  // When EndTurn is next of use without anything having come in.
  core::MonoTime Wakeup() const;
  std::size_t live_count() const { return live_.size() + adopted_.left(); }
  ShardStats Stats() const;

  // What counts towards max_live_bytes.
  static std::size_t AttachedBytes(const core::TransactionSpec& spec);
  static std::size_t AttachedBytes(const core::BranchSpec& branch);

 private:
  using Effect = std::variant<core::Send, core::Announce>;
  struct Waiter {
    core::Milestone milestone = core::Milestone::kDecided;
    core::BranchIndex branch = 0;  // kBranchAnswered
    std::uint64_t version = 0;     // kIntervened: the write that carries it
    ViewCallback done;
    Abandoned abandoned = {};
  };
  // What few transactions need.
  struct Rare {
    std::vector<ViewCallback> views;  // wait until what they would see is durable
    std::vector<WatchCallback> watchers;
    std::vector<std::string> parked_on;  // services for which it is in parked_
    std::vector<Request> deferred;       // until it is durable that it has begun, or ended
    std::size_t prune_waiters_at = 16;   // when there are so many, those who have left are removed
  };
  // There may be a million of them: two kilobytes each is the limit, with all that hangs on it (docs/performance.md).
  struct Live {
    explicit Live(core::Transaction t) : txn(std::move(t)) {}
    Rare& AddRare() {
      if (!rare) rare = std::make_unique<Rare>();
      return *rare;
    }
    core::Transaction txn;
    std::uint64_t serial = 0;
    std::uint64_t version = 0;          // last handed to the log
    std::uint64_t durable_version = 0;  // last known to be durable
    std::size_t attached_bytes = 0;     // its part of live_bytes_
    schedule::Timer timer;
    std::vector<core::Effect> after_next_write;
    std::vector<core::Effect> after_this_write;
    std::vector<Waiter> waiters;
    std::unique_ptr<Rare> rare;
    std::bitset<limits::kMaxBranchesCount> branch_answered;
    std::uint32_t undisclosed = 0;  // interventions that are not durable yet
    bool writing = false;           // a write is outstanding
    bool ending = false;            // ... and it is the last one
    bool dirty = false;             // the state has changed since the last write
    bool urgent = false;            // ... and effects wait for the next one
    bool listed = false;            // in dirty_
    bool changed = false;           // in changed_: watchers want to know
    bool accepted = false, decided = false, completed = false;  // announced, hence durable
  };
  // Somebody waits for a finished row.
  struct Lookup {
    std::string gid;
    std::string spec;                   // not empty: must be equal, or ALREADY_EXISTS
    bool aborted_is_failure = false;    // a Commit that came after the abort
    bool committed_is_failure = false;  // a Rollback that came after the commit
    std::vector<ViewCallback> views;
    std::vector<WatchCallback> watchers;
    std::function<void(transport::OutcomeAnswer)> answer;  // a participant's question
    transport::OutcomeQuestion question;
  };
  struct Batch {
    std::vector<Live*> written;
    bool begins = false;                  // one of them is new
    std::vector<ViewCallback> forgotten;  // one per kForget entry, in order after `written`
  };

  // More writes than these are not added to by recovery.
  static constexpr std::size_t kMaxBatchesCount = 4;

  core::Now Moment();

  void On(BeginRequest request);
  void On(ExecuteRequest request);
  void On(CloseRequest request);
  void On(OperatorRequest request);
  void On(GetRequest request);
  void On(WaitRequest request);
  void On(WatchRequest request);
  void On(ForgetRequest request);
  void On(VisitRequest request);
  void On(RepliesRequest request);
  void On(GiveWayRequest request);
  void On(ServiceAppearedRequest request);
  void On(QuestionRequest request);
  void On(AppendedRequest request);
  void On(FoundRequest request);

  // Takes it up, if it has only been adopted. nullptr: it is not here.
  Live* FindLive(std::string_view gid);
  // nullptr: the row makes no sense, and was set aside.
  Live* TakeUp(Adopted::Row& row);
  // One row that cannot be carried on stays in the log as it is, is named to whoever asks for it, and stops nobody else.
  void SetAside(std::uint64_t serial, std::string_view gid, const std::string& why);
  void RecoverSome();
  bool MayRecoverSome() const {
    return adopted_.left() > 0 && !dead_ && batches_.size() < kMaxBatchesCount;
  }
  void Die(const Status& status);
  void WakeSome();
  Status CheckRoom(std::size_t bytes) const;
  // The branch waits for rows that `holder` has prepared, says its participant.
  void AskToGiveWay(const Live& live, core::BranchIndex branch, std::string holder);
  // Until BEGIN is durable nobody knows whether the gid belongs to this transaction or to a finished one: what is asked of it
  // waits. True if `request` has been taken.
  template <typename R>
  bool Deferred(R& request, const std::string& gid);
  // Applies an event and files what comes of it. The status is the step's.
  Status Apply(Live& live, const core::Event& event);
  void Release(Live& live, std::vector<core::Effect> effects);
  void Perform(Live& live, const core::Send& send);
  void Perform(Live& live, const core::Announce& announce);
  bool Reached(const Live& live, const Waiter& waiter) const;
  void AddWaiter(Live& live, Waiter waiter);
  void ServeWaiters(Live& live);
  bool Visible(const Live& live) const;
  void ServeViews(Live& live);
  void NotifyWatchers();
  void MarkDirty(Live& live, bool urgent);
  void MarkChanged(Live& live);
  void Park(Live& live, const std::string& service);
  static void TakeDeferred(Live& live, std::vector<Request>& into);
  void Remove(Live& live);
  void BeginRefused(Live& live, const Status& status);
  static std::uint8_t OutcomeForLog(const core::Transaction& txn);
  void WriteDirty();
  void Write(const std::vector<Live*>& lives);
  log::Entry MakeEntry(Live& live);
  void Look(Lookup lookup);
  void FireTimers();
  transport::OutcomeAnswer Judge(const transport::OutcomeQuestion& question,
                                 const core::Transaction& txn, bool undecided) const;
  // What the log does not hold never committed: begun by this very coordinator, in a life that its log has gone through.
  bool MayPresume(const transport::OutcomeQuestion& question) const;
  static core::Milestone MilestoneOf(WaitFor wait_for);

  const ShardOptions options_;
  ShardPorts& ports_;
  std::uint32_t coordinator_id_ = 0;
  std::uint64_t epoch_ = 0;
  std::vector<std::uint64_t> lives_;  // of this log, rising
  core::MonoTime mono_{};
  core::WallTime wall_{};
  std::uint64_t random_;

  // By gid, which is the transaction's own.
  absl::flat_hash_map<std::string_view, std::unique_ptr<Live>> live_;
  std::size_t live_bytes_ = 0;
  Adopted adopted_;
  std::multimap<std::string, std::string, std::less<>> aside_;  // by gid: what is said of it
  schedule::TimerQueue timers_;
  std::vector<Live*> dirty_;
  std::vector<Live*> changed_;
  core::MonoTime lazy_write_at_ =
      core::kNever;              // when dirty_ must be written even if nothing is urgent
  core::MonoTime not_before_{};  // the disk was full
  bool disk_full_ = false;       // ... and nothing could begin since
  bool urgent_ = false;          // somebody in dirty_ is
  std::uint64_t next_batch_ = 1;
  std::map<std::uint64_t, Batch> batches_;  // outstanding
  std::uint64_t next_token_ = 1;
  std::unordered_map<std::uint64_t, Lookup> lookups_;
  // Services that a command could not be sent to, and who waits for them, by serial.
  std::map<std::string, std::map<std::uint64_t, Live*>> parked_;
  // Services that have appeared, and those who are still to be told: serials from, up to.
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> appeared_;
  std::vector<transport::Command> outgoing_;
  bool dead_ = false;  // Fatal was called
  ShardStats stats_;
};

}  // namespace assent::engine
