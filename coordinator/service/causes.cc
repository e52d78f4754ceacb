// Each coordinator walks its own shards; others are asked for theirs in parts, each within what a
// member may take to answer.

#include "coordinator/service/causes.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/base/clock.h"
#include "coordinator/service/filter.h"
#include "coordinator/service/walk.h"

namespace assent::service {
namespace {

constexpr std::size_t kSliceRowsCount = 1024;  // of a shard

struct Walk {
  Walk(const ListScope& s, v1::ListCausesRequest r) : scope(s), request(std::move(r)) {}
  const ListScope scope;
  const v1::ListCausesRequest request;
  v1::ListRequest filter;
  bool is_slice = false;
  std::function<bool()> abandoned;
  std::function<void(const Status&, v1::ListCausesReply)> done;

  std::size_t examined_rows = 0;
  engine::Engine::SliceEnds ends;
  Mutex mutex;
  CauseTable table ASSENT_GUARDED_BY(mutex){request.by_service()};
};
using WalkPtr = std::shared_ptr<Walk>;

Status Plan(Walk& walk) {
  walk.filter = FilterOf(walk.request);
  for (const int state : walk.request.states()) {
    if (state == v1::FINISHED)
      return InvalidArgument("states has FINISHED: only unfinished transactions have a cause");
  }
  if (const Status cause = CheckFilter(walk.filter); !cause.ok()) return cause;
  walk.is_slice = walk.request.has_slice();
  auto ends = EndsAfter(walk.request.slice().after(), walk.scope.engine);
  if (!ends.ok()) return ends.status();
  walk.ends = *std::move(ends);
  return OkStatus();
}

void Answer(Walk& walk, bool more) {
  v1::ListCausesReply reply;
  {
    const MutexLock lock(walk.mutex);
    walk.table.Fill(reply);
  }
  if (walk.is_slice) FillSlice(walk.ends, more, walk.scope.engine, *reply.mutable_slice());
  walk.done(OkStatus(), std::move(reply));
}

void NextSlice(const WalkPtr& walk) {
  engine::SliceRequest slice;
  slice.part = engine::Part::kOldestFirst;
  slice.max_rows = kSliceRowsCount;
  slice.visit = [walk](std::uint64_t, const core::Transaction& txn, bool visible,
                       const core::Now& now) {
    // One that has ended may still be there until its end is in the log.
    if (txn.finished() || !Matches(walk->filter, txn, visible, now.wall)) return;
    const MutexLock lock(walk->mutex);
    walk->table.Add(txn, visible, now);
  };
  walk->scope.engine.Visit(
      slice,
      [walk](const Status& status, const engine::Engine::SliceEnds& ends) {
        if (!status.ok()) return walk->done(status, {});
        walk->ends = ends;
        bool more = false;
        for (const engine::SliceEnd& end : ends) {
          walk->examined_rows += end.more ? kSliceRowsCount : 0;
          more = more || end.more;
        }
        const bool enough = walk->is_slice && walk->examined_rows >= kMaxExaminedRowsCount;
        if (!more || enough) return Answer(*walk, more);
        if (walk->abandoned && walk->abandoned())
          return walk->done({Code::kCancelled, "whoever asked has left"}, {});
        NextSlice(walk);
      },
      walk->ends);
}

// ---- Several coordinators ----------------------------------------------------------------------

using Counted = MemberAnswer<v1::ListCausesReply>;

// One other member, asked until it has no more. What it has counted counts if it gets to its end.
struct Asking {
  Asking(Peers& p, cluster::Member m, v1::ListCausesRequest r)
      : peers(p), member(std::move(m)), request(std::move(r)), table(request.by_service()) {}
  Peers& peers;
  const cluster::Member member;
  v1::ListCausesRequest request;
  CauseTable table;
  std::function<bool()> abandoned;
  std::function<void(const Status&, v1::ListCausesReply)> done;
};

void Ask(const std::shared_ptr<Asking>& asking) {
  asking->peers.Ask(
      asking->member, "TransactionService/ListCauses", asking->request.SerializeAsString(),
      kMemberPatience, [asking](const Status& status, const std::string& bytes) {
        v1::ListCausesReply reply;
        if (!status.ok()) return asking->done(status, {});
        if (!reply.ParseFromString(bytes))
          return asking->done(Internal("its answer cannot be read"), {});
        asking->table.Add(reply);
        v1::MemberCausesRequest next;
        *next.mutable_after() = reply.slice().looked_at();
        const auto& last = asking->request.slice().after();
        if (!reply.slice().more()) {
          v1::ListCausesReply all;
          asking->table.Fill(all);
          *all.mutable_slice() = reply.slice();
          return asking->done(OkStatus(), std::move(all));
        }
        // It would be asked for ever.
        if (std::equal(last.begin(), last.end(), next.after().begin(), next.after().end()))
          return asking->done(Internal("it does not go on"), {});
        if (asking->abandoned && asking->abandoned())
          return asking->done({Code::kCancelled, "whoever asked has left"}, {});
        asking->request.mutable_slice()->Swap(&next);
        Ask(asking);
      });
}

void Gather(const ListScope& scope, const v1::ListCausesRequest& request,
            const std::function<bool()>& abandoned, Told<v1::ListCausesReply> done) {
  const auto other = [&](const cluster::Member& member, Told<v1::ListCausesReply> told) {
    const auto asking = std::make_shared<Asking>(*scope.peers, member, request);
    asking->request.mutable_slice();
    asking->abandoned = abandoned;
    asking->done = std::move(told);
    Ask(asking);
  };
  const auto own = [&](Told<v1::ListCausesReply> told) {
    const auto walk = std::make_shared<Walk>(scope, request);
    const Status planned = Plan(*walk);
    walk->abandoned = abandoned;
    walk->done = std::move(told);
    planned.ok() ? NextSlice(walk) : walk->done(planned, {});
  };
  AskEach<v1::ListCausesReply>(scope, other, own,
                               [&router = scope.router, by_service = request.by_service(),
                                done = std::move(done)](const std::vector<Counted>& counted) {
                                 CauseTable table(by_service);
                                 for (const Counted& one : counted) {
                                   if (one.status.ok()) table.Add(one.reply);
                                 }
                                 v1::ListCausesReply reply;
                                 table.Fill(reply);
                                 NoteWhatIsMissing(router, counted, reply);
                                 done(OkStatus(), std::move(reply));
                               });
}

}  // namespace

// ---- Those who ask the same --------------------------------------------------------------------

void CauseWalks::Ask(const ListScope& scope, const v1::ListCausesRequest& request,
                     const AskerPtr<v1::ListCausesReply>& asker) {
  const std::string key = request.SerializeAsString();
  {
    const MutexLock lock(mutex_);
    const auto same = askers_.find(key);
    if (same != askers_.end()) {
      if (same->second.size() >= kMaxCauseAskersCount)
        return asker->Fail(ResourceExhausted("too many ask for the same count: try again later"));
      same->second.push_back(asker);
      return;
    }
    if (askers_.size() >= kMaxCauseWalksCount) {
      return asker->Fail(ResourceExhausted(std::to_string(askers_.size()) +
                                           " counts by cause are under way, which is the limit: "
                                           "try again later"));
    }
    askers_[key].push_back(asker);
  }
  const auto abandoned = [this, key] {
    const MutexLock lock(mutex_);
    const auto& askers = askers_.at(key);
    return std::all_of(askers.begin(), askers.end(), [](const auto& one) { return one->Over(); });
  };
  RunCauses(scope, request, abandoned,
            [this, key](const Status& status, const v1::ListCausesReply& reply) {
              std::vector<AskerPtr<v1::ListCausesReply>> askers;
              {
                const MutexLock lock(mutex_);
                askers = std::move(askers_.extract(key).mapped());
              }
              for (const auto& one : askers)
                one->Answer(status, [&](v1::ListCausesReply& out) { out = reply; });
            });
}

void RunCauses(const ListScope& scope, v1::ListCausesRequest request,
               std::function<bool()> abandoned,
               std::function<void(const Status&, v1::ListCausesReply)> done) {
  const std::int64_t began = base::UnixNowMs();
  const auto walk = std::make_shared<Walk>(scope, std::move(request));
  const Status planned = Plan(*walk);
  if (!planned.ok()) return done(planned, {});
  auto told = [began, done = std::move(done)](const Status& status, v1::ListCausesReply reply) {
    reply.set_as_of_unix_ms(began);
    done(status, std::move(reply));
  };
  if (!walk->is_slice && !scope.router.alone())
    return Gather(scope, walk->request, abandoned, std::move(told));
  walk->abandoned = std::move(abandoned);
  walk->done = std::move(told);
  NextSlice(walk);
}

}  // namespace assent::service
