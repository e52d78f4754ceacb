#pragma once

// A shard owns transactions and moves them on: it drains what has come in, applies it to the state
// machines, hands all records of the turn to the log as one batch, and performs each effect when
// the log says that what justifies it is durable. It is single-threaded and has no clock, no thread
// and no socket of its own (ShardPorts), so that the simulator runs it unchanged.
//
// Invariant: a transaction has at most one write outstanding; an effect waits for the write that
// carries its record, or was released because no write was outstanding. There is no other way out
// of a shard.

#include <atomic>
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

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>

#include <assent/limits.h>
#include <assent/random.h>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/adopted.h"
#include "coordinator/engine/logged_outcome.h"
#include "coordinator/engine/requests.h"
#include "coordinator/log/log.h"
#include "coordinator/schedule/timer_queue.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// What a shard needs of the world. Every call returns at once; answers come back through
// Shard::Handle.
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
  // So many transactions more (or fewer) than before wait for a service of which nobody can be
  // reached.
  virtual void Waiting(const std::string& service, std::int64_t more) = 0;
  // The log cannot be trusted any more: the process must end without another word to anybody.
  virtual void Fatal(const Status& status) = 0;
};

struct ShardOptions {
  std::size_t max_live_count = 1'000'000;
  // What initiators and participants have attached to unfinished transactions (payloads, results,
  // headers, labels). Beyond it nothing begins and no branch is added.
  std::size_t max_live_bytes = std::size_t{1} << 30;
  // After a start, when a service is back, and when the time of many comes at once, so many
  // transactions go on in one turn: others are served between, and what all of them write and send
  // at once stays small.
  std::size_t slice_count = 256;
  // While so many of those whose service is back are not answered the next ones wait, but no longer
  // than this.
  std::size_t wave_count = 256;
  core::Millis wave_time{100};
  // How long a record that gates nothing may wait for a batch to ride with.
  core::Millis lazy_write_delay{20};
  // After the disk was found full.
  core::Millis full_retry_delay{250};
  std::uint64_t seed = 1;  // of the jitter
  // Told, in a sentence with its name, of each row of the log that cannot be carried on. On the
  // shard's thread.
  std::function<void(const std::string& sentence)> on_set_aside{};
};

// A number that one thread keeps and any may read.
class Figure {
 public:
  Figure& operator++() { return Add(1); }
  Figure& operator--() { return Add(~std::uint64_t{0}); }
  operator std::uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  Figure& Add(std::uint64_t more) {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    return *this;
  }
  std::atomic<std::uint64_t> value_ = 0;
};

template <typename Number>
struct Figures {
  // Unfinished transactions by phase; nullptr for the finished ones.
  Number* Of(core::Phase phase) {
    switch (phase) {
      case core::Phase::kActive: return &active;
      case core::Phase::kCommitting: return &committing;
      case core::Phase::kAborting: return &aborting;
      case core::Phase::kUnknown:
      case core::Phase::kFinished: break;
    }
    return nullptr;
  }
  // Adds each to that of `other`.
  template <typename Other>
  void AddTo(Figures<Other>& other) const {
    other.active += active;
    other.committing += committing;
    other.aborting += aborting;
    other.needs_operator += needs_operator;
    other.begun += begun;
    other.committed += committed;
    other.aborted += aborted;
    other.stale_replies += stale_replies;
    other.set_aside += set_aside;
  }

  Number active{};
  Number committing{};
  Number aborting{};
  Number needs_operator{};
  Number begun{};
  Number committed{};
  Number aborted{};
  Number stale_replies{};
  Number set_aside{};  // rows of the log that cannot be carried on
};

struct ShardStats : Figures<std::uint64_t> {
  std::uint64_t silent_shards =
      0;  // of an engine's sum: those that have been asked something and have not looked at it yet
};

class Shard {
 public:
  Shard(ShardOptions options, ShardPorts& ports);
  ~Shard();

  // Recovery: takes a transaction from the log, in its order. Before Start.
  void Adopt(const log::LiveRow& row) {
    adopted_.Add(row);
    ++stats_.active;  // or on its way to an end: nobody has looked yet
  }
  // The epoch is durable: everything adopted goes on.
  void Start(const log::Recovered& recovered, core::MonoTime mono, core::WallTime wall);

  // One turn: any number of Handle, then EndTurn.
  void Handle(Request request, core::MonoTime mono, core::WallTime wall);
  void EndTurn(core::MonoTime mono, core::WallTime wall);

  // When EndTurn is next of use without anything having come in.
  core::MonoTime Wakeup() const;
  std::size_t live_count() const { return live_.size() + adopted_.left(); }
  // Kept as things happen: before anybody is told of them. From any thread.
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
  struct Live;
  // Those to whom a command of theirs could not be sent, by serial, until the service appears or
  // something else happens.
  struct Room {
    absl::btree_map<std::uint64_t, Live*> parked;
    std::uint64_t absent = 0;  // of those, the ones who heard that nobody of it can be reached
  };
  using Rooms = std::map<std::string, Room>;  // by service
  struct Parking {
    Rooms::iterator room;
    bool absent = false;
  };
  // A service has appeared, and these are still to be told of it: serials from, up to.
  struct Wave {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::size_t unanswered = 0;  // of those who were told, since the moment below
    core::MonoTime since{};
  };
  // What few transactions need.
  struct Rare {
    std::vector<ViewCallback> views;  // wait until what they would see is durable
    std::vector<WatchCallback> watchers;
    std::vector<Parking> parkings;
    std::vector<Request> deferred;      // until it is durable that it has begun, or ended
    std::size_t prune_waiters_at = 16;  // when there are so many, those who have left are removed
    // The latest look (0: none yet) when it began to need a person, when it ceased to, when it
    // began again …
    std::vector<std::uint64_t> stuck_changes;
  };
  // There may be a million of them: two kilobytes each is the limit, with all that hangs on it
  // (docs/performance.md).
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
    std::uint32_t undisclosed = 0;                 // interventions that are not durable yet
    core::Phase counted = core::Phase::kFinished;  // where it stands in stats_; finished: nowhere
    bool counted_stuck = false;
    bool writing = false;  // a write is outstanding
    bool ending = false;   // ... and it is the last one
    bool dirty = false;    // the state has changed since the last write
    bool urgent = false;   // ... and effects wait for the next one
    bool listed = false;   // in dirty_
    bool changed = false;  // in changed_: watchers want to know
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
  void On(SliceRequest request);
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
  // One row that cannot be carried on stays in the log as it is, is named to whoever asks for it,
  // and stops nobody else.
  void SetAside(std::uint64_t serial, std::string_view gid, const std::string& why);
  // Its row is no concern of adopted_ any more.
  void Take(Adopted::Row& row);
  void RecoverSome();
  bool MayRecoverSome() const {
    return adopted_.left() > 0 && !dead_ && batches_.size() < kMaxBatchesCount;
  }
  void Die(const Status& status);
  void WakeSome();
  bool MayWake(const Wave& wave) const;
  // When the next of those whose service is back may be told of it.
  core::MonoTime NextWave() const;
  Status CheckRoom(std::size_t bytes) const;
  // The branch waits for rows that `holder` has prepared, says its participant.
  void AskToGiveWay(const Live& live, core::BranchIndex branch, std::string holder);
  // Until BEGIN is durable nobody knows whether the gid belongs to this transaction or to a
  // finished one: what is asked of it waits. True if `request` has been taken.
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
  // Lets it into the room of a service, or out of it, as its branches stand; or of every room that
  // it is in.
  void Settle(Live& live, const std::string& service);
  void SettleAll(Live& live);
  void Leave(Live& live, std::size_t parking);
  // Where it stands, in the figures.
  void Count(Live& live);
  static bool WasStuck(const Live& live, std::uint64_t look);
  SliceEnd VisitStuck(const SliceRequest& request) const;
  SliceEnd VisitOthers(const SliceRequest& request) const;
  SliceEnd VisitNewestFirst(const SliceRequest& request) const;
  void Show(const SliceRequest& request, const Live& live) const;
  void Show(const SliceRequest& request, const Adopted::Row& row) const;
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
  // What the log does not hold never committed: begun by this very coordinator, in a life that its
  // log has gone through.
  bool MayPresume(const transport::OutcomeQuestion& question) const;
  static core::Milestone MilestoneOf(WaitFor wait_for);

  const ShardOptions options_;
  ShardPorts& ports_;
  std::uint32_t coordinator_id_ = 0;
  std::uint64_t epoch_ = 0;
  std::vector<std::uint64_t> lives_;  // of this log, rising
  core::MonoTime mono_{};
  core::WallTime wall_{};
  SplitMix64 random_;

  // By gid, which is the transaction's own.
  absl::flat_hash_map<std::string_view, std::unique_ptr<Live>> live_;
  absl::btree_map<std::uint64_t, Live*> by_serial_;
  absl::btree_map<std::uint64_t, Live*> stuck_;  // who needs a person, or once did: by serial
  std::uint64_t look_ = 0;                       // the latest that was heard of
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
  Rooms rooms_;
  std::map<std::string, std::int64_t> waiting_changes_;  // of this turn
  std::map<std::string, Wave> waves_;                    // by service
  core::MonoTime appeared_at_{};                         // when any service last did
  std::vector<transport::Command> outgoing_;
  bool dead_ = false;  // Fatal was called
  Figures<Figure> stats_;
};

}  // namespace assent::engine
