#pragma once

// Executes operations one by one inside the local transaction that the executor opened. Each is in
// a savepoint of its own: what it may not keep is undone without touching its neighbours.
// Single-threaded, no waiting.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <assent/resource.h>
#include <assent/sqlite.h>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/barrier/who_waits.h"
#include "participant-sdk/cpp/sqlite/barrier_table.h"
#include "participant-sdk/cpp/sqlite/changeset.h"
#include "participant-sdk/cpp/sqlite/claims.h"
#include "participant-sdk/cpp/sqlite/db_impl.h"
#include "participant-sdk/cpp/sqlite/savepoint.h"
#include "participant-sdk/cpp/sqlite/schema.h"
#include "participant-sdk/cpp/sqlite/shape.h"
#include "participant-sdk/cpp/sqlite/store_clock.h"
#include "participant-sdk/cpp/sqlite/stored_changes.h"

namespace assent::sqlite::internal {

using barrier::IsDone;
using barrier::State;

// What a service registered for one action of one protocol.
struct Handlers {
  DbHandler forward;
  DbHandler finish;       // TCC only
  DbHandler undo;         // TCC and Saga
  bool recorded = false;  // the adapter finishes or undoes by changeset
};
using Registry = std::map<std::pair<std::string, Protocol>, Handlers>;

class Runner {
 public:
  struct Settings {
    bool foreign_keys = true;
    std::int64_t retain_ms = 3'600'000;
    StoreClock* clock = nullptr;  // outlives the runner
  };
  Runner(Connection& connection, const Registry& registry, Settings settings);

  // A group of operations begins: what was known about other processes' claims may have changed.
  Status BeginGroup();
  // The gids whose claims were dropped in this group.
  const std::vector<std::string>& released() const { return released_; }
  // The gid whose claim stood in the way of the last Run, and nothing else did; empty: none.
  const std::string& blocked_by() const { return blocked_by_; }
  // ... and its coordinator should hear of it soon (who_waits.h).
  bool tells() const { return tells_; }

  Reply Run(const Call& call);
  // `conflict` is set when a claim stood in the way and nothing else did.
  Status RunLocal(const std::function<Status(Db&)>& write, bool& conflict);
  // What the coordinator said about a branch held here.
  void RunAnswer(const HeldBranch& branch, Verdict verdict, bool finished);

 private:
  // Handlers (runner.cc).
  Reply RunHandler(const DbHandler& handler, const Call& call, Db::Impl& db);
  Status EndOfHandler(Db::Impl& db);
  Reply RunPlain(const DbHandler& handler, const Call& call);
  Reply Dispatch(const Call& call);
  Status TryLocal(const std::function<Status(Db&)>& write, std::int64_t version, bool& conflict);
  // Keeps what the barrier keeps of an operation that has run.
  Status Keep(const Call& call, const Reply& reply, bool wrote = true);
  // ... of one that was refused and undone; any other reply is handed through.
  Reply KeepRefusal(const Call& call, Reply reply);
  Result<std::optional<barrier::Holder>> FindConflict(std::string_view gid,
                                                      std::string_view branch_id,
                                                      const Connection::Touched& touched,
                                                      const ClaimSet& asked);

  // By changeset (recorded.cc).
  struct Work {
    StoredChanges stored;
    ClaimSet claims;
  };
  Reply RunRecorded(const Handlers& handlers, const Call& call);
  Status Record(const Handlers& handlers, const Call& call, Work& work, Reply& reply);
  Reply KeepWork(const Call& call, const Work& work, Reply reply);
  Reply KeepPrepared(const Call& call, const Work& work, const Reply& reply);
  Reply KeepApplied(const Call& call, const Work& work, const Reply& reply);
  Status TryOut(const StoredChanges& stored);
  // After a change of the schema: every prepared branch can still be committed.
  Status CheckPreparedStillFit();
  Status SkipSequences(const std::vector<RowChange>& changes);
  Reply Commit(std::string_view gid, std::string_view branch_id);
  Reply Rollback(std::string_view gid, std::string_view branch_id);
  Status DropPrepared(std::int64_t id, std::string_view gid);
  Reply Blocked(const Call& call, const barrier::Holder& holder);
  Reply CompensateRecorded(const Call& call);
  Reply FinishCompensation(const Call& call, const StoredChanges& inverse);

  std::int64_t Now() const { return settings_.clock->Now(); }

  Connection& connection_;
  const Registry& registry_;
  Settings settings_;
  Schema schema_;
  BarrierTable barrier_;
  ClaimTable claims_;
  bool any_claims_ = true;  // somebody may hold a claim: watch what is written
  std::vector<std::string> released_;
  std::string blocked_by_;
  bool tells_ = false;
};

// Rows whose claims are looked at when one operation writes them beside prepared branches.
inline constexpr std::size_t kMaxWatchedCount = limits::kMaxClaimsPerBranchCount;

// "Nothing happened, ask again": for failures of the world.
inline Reply NotNow(const Status& status) { return Reply::RetryLater(status.ToString()); }

}  // namespace assent::sqlite::internal
