#pragma once

// The log of one member of a cluster, in PostgreSQL.
//
//   slot % lanes ──► lane 0   queue, thread, connection (ThreadedLog over PostgresRowStore)
//                    lane 1   ...
//                    observer beats, looks at the others, fences; says which slots are whose
//
// What the lanes have in common is which slots are this member's (SlotTable). A call goes to the
// lane of its slot; all entries of one Append are of slots of one lane.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/cluster/control.h"
#include "coordinator/cluster/member_store.h"
#include "coordinator/cluster/view.h"
#include "coordinator/log/log.h"
#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/postgresql/observer_thread.h"
#include "coordinator/log/postgresql/row_store.h"
#include "coordinator/log/postgresql/schema.h"
#include "coordinator/log/postgresql/stop_flag.h"
#include "coordinator/log/queued_log.h"

namespace assent::log {

struct PostgresLogOptions {
  ConnectionOptions connection{};
  // Of a log that is made now.
  SchemaOptions schema{};
  // Who this member is, for the others.
  std::string node{};
  std::string address{};
  std::string version{};
  // So many connections that write. A multiple of it are the shards that append, or a shard's batch
  // would be of several lanes.
  std::uint32_t lanes_count = 1;
  // How long a member may be silent before the others take its slots. The same for all.
  std::chrono::milliseconds lease = std::chrono::seconds(3);
  // See OriginOptions.
  bool lossless_failover = false;
  // How long a start waits for a database that does not answer, and an end for one that does not
  // take what is queued.
  std::chrono::milliseconds start_patience = std::chrono::seconds(15);
  std::chrono::milliseconds close_patience = std::chrono::seconds(5);
  // See PostgresStoreOptions.
  std::chrono::milliseconds retention_age = std::chrono::hours(7 * 24);
  std::vector<std::uint8_t> pinned_outcomes{};
  // Around the store of each lane.
  StoreWrap wrap{};
  // Of each lane. Without callbacks.
  QueuedLogOptions queue{};

  // The three ways in which it ends for good, before anybody else hears of it, from any thread, at
  // most one of them and once: the process should end there, with an exit code of its own.
  std::function<void(const Status&)> on_poisoned{};   // see QueuedLogOptions
  std::function<void(const Status&)> on_fenced{};     // others have its slots
  std::function<void(const Status&)> on_regressed{};  // the store lost what it had acknowledged

  // For people, and for who routes; from threads of the log, must be quick.
  std::function<void(cluster::ViewPtr)> on_view{};  // with each look
  std::function<void(const Status& why)> on_away{};
  std::function<void()> on_back{};
  std::function<void(bool committed)> on_settled{};
  std::function<void(const std::string& node, cluster::MemberStore::Fenced result,
                     const std::string& asked_by)>
      on_fence{};
  std::function<void(const std::string& words)> on_new_generation{};
};

class PostgresLog final : public Log, private SlotEvents, private ObserverThread::Listener {
 public:
  explicit PostgresLog(PostgresLogOptions options);
  // Writes what is queued, gives its slots to the others, and goes; not longer than
  // `close_patience`, after which the others have to miss it.
  ~PostgresLog() override;

  // As Connection::Open, OpenSchema and PostgresMemberStore::Join. kUnavailable: the database has
  // not answered for `start_patience`.
  Result<Joined> Join(SlotEvents& events) override;
  // From now on SlotEvents are called, for all that has happened since Join: whoever hears them is
  // ready.
  void StartEvents() { observer_.Tell(); }

  void Load(std::vector<Slot> slots, LiveVisitor visit, std::function<void(Loaded)> done) override;
  std::uint64_t Generation() const override { return slots_->generation(); }
  void Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) override;
  void Release(Slot slot, std::function<void(Status)> done) override;
  void Drain(std::function<void(Status)> done) override;
  void Find(std::string gid, std::function<void(Result<Found>)> done) override;
  void Scan(std::uint64_t before_serial, std::size_t max_rows,
            std::function<void(Result<std::vector<FinishedRow>>)> done) override;
  std::uint64_t NextSerial(Slot slot) override { return slots_->Next(slot); }
  Stats GetStats() const override;

  // The line to another member broke, refused reconnection included, or stands again.
  void OnLine(std::uint64_t epoch, bool broken) { observer_.OnLine(epoch, broken); }
  cluster::ClusterControl& control() { return observer_; }
  std::uint64_t epoch() const { return observer_.epoch(); }

 private:
  struct Lane {
    PostgresRowStore* rows = nullptr;  // of `log`
    std::unique_ptr<ThreadedLog> log{};
  };

  OriginOptions Origin() const;
  PostgresMemberOptions MemberOptions();
  std::int64_t SerialNowMs() const;
  ConnectionOptions ConnectionOf(const std::string& what) const;
  Result<cluster::Joined> JoinCluster();
  Status OpenLane(std::uint32_t number, const Joined& joined);
  Lane& LaneOf(Slot slot) { return lanes_[slot % lanes_.size()]; }
  bool DrainWithin(std::chrono::milliseconds patience);
  // The first of the ways to end calls `tell`.
  void End(const std::function<void(const Status&)>& tell, const Status& why);

  // Of the lanes.
  void OnAssigned(const std::vector<SlotGrant>& grants) override;
  void OnFenced(const Status& why) override;
  void OnAway(const Status& why) override;  // also the lanes'
  void OnBack() override;
  // Of both.
  void OnWanted(const std::vector<Slot>& slots) override;
  // Of the observer.
  void OnStep(std::int64_t serial_limit_ms, std::int64_t ran_ms) override;
  void OnView(cluster::ViewPtr view) override;
  void OnGranted(const std::vector<cluster::Grant>& grants) override;
  void OnAssigned(const std::vector<cluster::Grant>& grants) override;
  void OnFence(const std::string& node, cluster::MemberStore::Fenced result,
               const std::string& asked_by) override;

  const PostgresLogOptions options_;
  StopFlag stop_;
  SlotEvents* events_ = nullptr;
  std::atomic<bool> ended_ = false;
  // Held while somebody says how it ended. Who finds that it has ended waits for it: what he would
  // tell next, of what he had under way, would be taken for the reason.
  Mutex ending_;
  std::atomic<int> away_count_ = 0;  // lanes and observer that do not reach the store
  std::shared_ptr<SlotTable> slots_;
  ObserverThread observer_;
  std::vector<Lane> lanes_;  // since Join
};

}  // namespace assent::log
