#pragma once

// The shards, each with its thread and its mailbox, between the doors (through service), the
// log and the transports. Recovery is the same loop, fed with the slots that the log has loaded.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/engine/events.h"
#include "coordinator/engine/requests.h"
#include "coordinator/engine/shard.h"
#include "coordinator/log/log.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// A slot that was loaded, and what is unfinished in it.
struct TakenUp {
  Slot slot = 0;
  std::size_t unfinished = 0;
};

struct EngineOptions {
  std::size_t shards_count = 1;
  ShardOptions shard;
  // Requests waiting for one shard; beyond it new work is refused with kResourceExhausted. Answers
  // of participants and of the log are never refused.
  std::size_t max_waiting_count = 100'000;
  std::size_t max_waiting_bytes = std::size_t{256} << 20;  // of their payloads
  // A service of which nobody can be reached has work waiting for it, or has none any more. Called
  // from a shard's thread, once for each change of a service's state; must be quick.
  std::function<void(const std::string& service, bool waits)> on_waiting{};
  // While it has been told of so many, it is not told of more: initiators can name any number of
  // services that are not there.
  std::size_t max_told_services_count = 100;
  // Of a log that several coordinators may own: a slot has a row that cannot be read. The slot is
  // not served; all others are. On the log's thread.
  std::function<void(const log::DamagedSlot&)> on_damaged_slot{};
  // Of such a log: slots are served here from now on. On the log's thread.
  std::function<void(const std::vector<TakenUp>&, std::chrono::microseconds took)> on_taken_up{};
  // Of such a log: nothing is sent while its database has not answered for so long. By then others
  // may have what is sent for, and participants may have forgotten what would refuse it.
  std::chrono::milliseconds max_silence{10'000};
};

// Unfinished transactions that wait for a service of which nobody can be reached.
struct WaitingFor {
  std::string service;
  std::uint64_t transactions = 0;
};

class Engine final : public transport::Receiver, private log::SlotEvents {
 public:
  // `fatal` is called from any thread when the log cannot be trusted any more; it should end the
  // process at once. `log` outlives the engine and must be closed first (its callbacks come here).
  Engine(EngineOptions options, log::Log& log, std::function<void(const Status&)> fatal);
  ~Engine() override;

  // Told of a transaction that is in an older one's way, and is not here. Before Start; from a
  // shard's thread; must be quick.
  void TellOfOthersInTheWay(std::function<void(GiveWayRequest)> tell) {
    in_the_way_elsewhere_ = std::move(tell);
  }

  // Joins the log and loads the slots that are this coordinator's from the start. Nothing is sent
  // before Start. Of a log that has one owner, a row that cannot be read fails it (kDataLoss).
  Result<log::Recovered> Recover();
  void Start(transport::Transport& transport);
  // No new work; what is under way is left as it is: it is in the log.
  void Refuse(std::string why);
  // Ends the threads. Idempotent.
  void Stop();

  // Hands a request to the shard of `gid`. kResourceExhausted or kUnavailable: the callback will
  // not be called.
  Status Post(const std::string& gid, Request request);
  // The next slice of every shard. `visit` is called from several threads, `done` once, from one of
  // them or from here: kResourceExhausted (some were not asked), or where each shard's slice ended.
  // `from`: where those before did, if each is to go on from there, and not all from `like.after`.
  using SliceEnds = std::vector<SliceEnd>;  // one of each shard
  void Visit(const SliceRequest& like, std::function<void(const Status&, const SliceEnds&)> done,
             const SliceEnds& from = {});
  std::size_t shards_count() const { return workers_.size(); }
  // The number of a look (SliceRequest) that begins, and whether it is one that has been given in
  // this life.
  std::uint64_t NextLook() { return next_look_.fetch_add(1, std::memory_order_relaxed); }
  bool IsLook(std::uint64_t look) const {
    return look > 0 && look < next_look_.load(std::memory_order_relaxed);
  }

  // Of a slot that is served here, if there is one. Time-ordered, so that an index over gids grows
  // at its end; and nobody can tell the next one: 12 hex digits of Unix milliseconds, the
  // coordinator's id, 16 hex digits of the machine's generator. Not trusted to be new: the log
  // checks.
  std::string IssueGid() const;

  // What the log has of the history: Log::Scan, and its figures.
  void ScanFinished(std::uint64_t before_serial, std::size_t max_rows,
                    std::function<void(Result<std::vector<log::FinishedRow>>)> done) {
    log_.Scan(before_serial, max_rows, std::move(done));
  }
  log::Stats LogStats() const { return log_.GetStats(); }
  const log::Recovered& recovered() const { return recovered_; }
  // Sums the figures that the shards keep as things happen: nobody waits.
  ShardStats Stats() const;
  // By name, those that begin so; at most so many.
  std::vector<WaitingFor> Waiting(const std::string& prefix, std::size_t max_count) const;
  std::string refusing() const;
  // What happens, as it is told.
  Events& events() { return events_; }
  // What each initiator has under way.
  const Initiators& initiators() const { return initiators_; }
  // Of the log, so far: how far a start has come.
  std::size_t rows_read() const { return rows_read_.load(std::memory_order_relaxed); }
  // The log's database does not answer: what begins something is refused in these words.
  bool away() const { return away_.load(std::memory_order_relaxed); }
  static Status Away() { return Unavailable("the database does not answer; nothing was begun"); }
  // Slots that are served here, those among them that are leaving.
  std::size_t served_slots() const;
  // Those that are here, and on which nobody works: a row of each cannot be read.
  std::vector<Slot> SlotsSetAside() const;

  void OnReplies(std::vector<transport::Reply> replies) override;
  void OnServiceAppeared(const std::string& service) override;
  void OnQuestion(transport::OutcomeQuestion question,
                  std::function<void(transport::OutcomeAnswer)> answer) override;

 private:
  class Worker;
  // Where a slot stands; one that is not here is another coordinator's.
  enum class Hold : std::uint8_t {
    kLoading,
    kWanted,  // likewise, and another coordinator asks for it already
    kServing,
    kParting,
  };
  struct Held {
    Hold hold = Hold::kLoading;
    std::uint64_t slot_epoch = 0;
  };

  void OnAssigned(const std::vector<log::SlotGrant>& grants) override;
  void OnWanted(const std::vector<Slot>& slots) override {
    for (const Slot slot : slots) GiveUp(slot);
  }
  void OnFenced(const Status& why) override { fatal_(why); }
  // Loads slots and lets those serve them who are to; those of one worker together.
  void TakeUp(const std::vector<log::SlotGrant>& grants, std::function<void(const Status&)> done);
  void Load(std::vector<log::SlotGrant> grants, std::function<void(const Status&)> done);
  using Rows = std::vector<std::unique_ptr<Adopted>>;  // of a slot, by worker
  TakenUp TakeUpLoaded(const log::SlotGrant& grant, Rows rows, const std::string& damage,
                       std::uint64_t generation);
  void Raise(const log::SlotGrant& grant);
  void GiveUp(Slot slot);
  bool Serves(std::string_view gid) const;
  bool Has(std::string_view gid) const;  // or is about to, or still
  bool Holds(Slot slot) const;           // likewise
  bool MayMove() const { return recovered_.slots_count > 1; }
  // All shards serve a log's only slot, each those gids that are its own; one of several has one.
  std::vector<std::size_t> ServersOf(Slot slot) const;
  std::size_t ShardOf(std::string_view gid) const;
  Worker& Of(std::string_view gid) { return *workers_[ShardOf(gid)]; }

  void AddWaiting(const std::string& service, std::int64_t more);
  void TellWaits(const std::string& service, bool waits) ASSENT_REQUIRES(waiting_mutex_);
  Status Overloaded() const;

  const EngineOptions options_;
  log::Log& log_;
  const std::function<void(const Status&)> fatal_;
  log::Recovered recovered_;
  Events events_;
  Initiators initiators_;
  std::atomic<std::uint64_t> next_look_ = 1;

  std::atomic<std::size_t> loaded_rows_ = 0;
  std::atomic<std::size_t> rows_read_ = 0;
  mutable std::atomic<std::uint64_t> refused_ = 0;  // for want of room in a mailbox
  mutable Mutex slots_mutex_;
  std::map<Slot, Held> slots_ ASSENT_GUARDED_BY(slots_mutex_);
  std::set<Slot> set_aside_ ASSENT_GUARDED_BY(slots_mutex_);
  std::atomic<bool> away_ = false;  // log::Stats::away, looked at now and then

  struct WaitingCount {
    std::uint64_t transactions = 0;
    bool told = false;  // on_waiting knows of it
  };
  mutable Mutex waiting_mutex_;
  // By service.
  std::map<std::string, WaitingCount> waiting_ ASSENT_GUARDED_BY(waiting_mutex_);
  std::size_t told_services_ ASSENT_GUARDED_BY(waiting_mutex_) = 0;

  std::shared_ptr<const std::string> refusing_;  // atomically; not null: why new work is refused
  std::function<void(GiveWayRequest)> in_the_way_elsewhere_;
  transport::Transport* transport_ = nullptr;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace assent::engine
