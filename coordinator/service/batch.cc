// As causes.cc walks, but that what was done is done: also what a member did before it fell silent
// counts, and nobody's time is longer than the caller's.

#include "coordinator/service/batch.h"

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

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSliceRowsCount = 1024;  // of a shard
// A member has to answer in kMemberPatience, with what it has done.
constexpr std::size_t kMemberSliceRowsCount = 256;

// What is asked, alike at every coordinator.
struct Asked {
  v1::BatchRequest request;
  v1::ListRequest filter;
  Clock::time_point end;
  std::function<bool()> abandoned;

  // Nothing more is begun.
  bool Over() const { return Clock::now() >= end || (abandoned && abandoned()); }
};
using AskedPtr = std::shared_ptr<const Asked>;
using Done = Told<v1::BatchReply>;

struct Walk {
  Walk(const ListScope& s, AskedPtr a) : scope(s), asked(std::move(a)) {}
  const ListScope scope;
  const AskedPtr asked;
  ActOnOne act;
  Done done;

  std::size_t examined_rows = 0;
  engine::Engine::SliceEnds ends;
  Mutex mutex;
  v1::BatchReply reply ASSENT_GUARDED_BY(mutex);
  // What the slice has found, and how far that is.
  std::vector<std::string> found ASSENT_GUARDED_BY(mutex);
  std::size_t begun ASSENT_GUARDED_BY(mutex) = 0;
  std::size_t in_flight ASSENT_GUARDED_BY(mutex) = 0;
  bool beginning ASSENT_GUARDED_BY(mutex) = false;  // somebody is in BeginThem
  bool acting ASSENT_GUARDED_BY(mutex) = false;     // until all that was found is done
};
using WalkPtr = std::shared_ptr<Walk>;

void Add(const v1::BatchReply& more, v1::BatchReply& sum) {
  sum.set_matched(sum.matched() + more.matched());
  sum.set_held(sum.held() + more.held());
  sum.set_done(sum.done() + more.done());
  sum.set_failed(sum.failed() + more.failed());
  sum.set_had_ended(sum.had_ended() + more.had_ended());
  for (const std::string& gid : more.gids()) {
    if (static_cast<std::size_t>(sum.gids_size()) < kMaxBatchSampleCount) sum.add_gids(gid);
  }
  for (const auto& failure : more.failures()) {
    if (static_cast<std::size_t>(sum.failures_size()) < kMaxBatchFailuresCount)
      *sum.add_failures() = failure;
  }
  sum.set_more(sum.more() || more.more());
}

// ---- This coordinator's own ---------------------------------------------------------------------

void NextSlice(const WalkPtr& walk);

void Answer(Walk& walk, bool more) {
  v1::BatchReply reply;
  {
    const MutexLock lock(walk.mutex);
    reply.Swap(&walk.reply);
  }
  if (walk.asked->request.has_slice()) {
    FillSlice(walk.ends, more, walk.scope.engine, *reply.mutable_slice());
  } else {
    reply.set_more(more);
  }
  walk.done(OkStatus(), std::move(reply));
}

void GoOn(const WalkPtr& walk) {
  bool more = std::any_of(walk->ends.begin(), walk->ends.end(),
                          [](const engine::SliceEnd& end) { return end.more; });
  bool acted = false;
  {
    const MutexLock lock(walk->mutex);
    acted = !walk->found.empty();
    more = more || walk->begun < walk->found.size();  // time was up
    walk->found.clear();
    walk->begun = 0;
  }
  const bool enough =
      walk->asked->request.has_slice() && (acted || walk->examined_rows >= kMaxExaminedRowsCount);
  if (!more || enough || walk->asked->Over()) return Answer(*walk, more);
  NextSlice(walk);
}

// Begins as many as may be on their way; the last one that is done goes on.
void BeginThem(const WalkPtr& walk) {
  // A member's slice is small, and what it has counted it also does: its asker goes on behind it.
  const auto is_over = [&] { return !walk->asked->request.has_slice() && walk->asked->Over(); };
  bool over = is_over();
  MutexLock lock(walk->mutex);
  if (std::exchange(walk->beginning, true)) return;
  while (!over && walk->begun < walk->found.size() && walk->in_flight < kMaxBatchInFlightCount) {
    const std::string gid = walk->found[walk->begun++];
    ++walk->in_flight;
    lock.Unlock();
    walk->act(gid, [walk, gid](const Status& status, bool had_ended) {
      {
        const MutexLock done_lock(walk->mutex);
        --walk->in_flight;
        v1::BatchReply& reply = walk->reply;
        if (had_ended) {
          reply.set_had_ended(reply.had_ended() + 1);
        } else if (status.ok()) {
          reply.set_done(reply.done() + 1);
        } else {
          reply.set_failed(reply.failed() + 1);
          if (static_cast<std::size_t>(reply.failures_size()) < kMaxBatchFailuresCount) {
            auto& failure = *reply.add_failures();
            failure.set_gid(gid);
            failure.set_code(std::string(CodeName(status.code())));
            failure.set_message(status.message());
          }
        }
      }
      BeginThem(walk);
    });
    over = is_over();
    lock.Lock();
  }
  walk->beginning = false;
  const bool none_left = over || walk->begun == walk->found.size();
  const bool all_done = walk->acting && none_left && walk->in_flight == 0;
  if (all_done) walk->acting = false;
  lock.Unlock();
  if (all_done) GoOn(walk);
}

void NextSlice(const WalkPtr& walk) {
  const v1::BatchRequest& request = walk->asked->request;
  engine::SliceRequest slice;
  slice.part = engine::Part::kOldestFirst;
  slice.max_rows = request.has_slice() ? kMemberSliceRowsCount : kSliceRowsCount;
  const core::WallTime as_of{core::Millis(request.as_of_unix_ms())};
  slice.visit = [walk, as_of](std::uint64_t, const core::Transaction& txn, bool visible,
                              const core::Now& now) {
    // One that has ended may still be there until its end is in the log.
    if (txn.finished() || txn.began_at() > as_of ||
        !Matches(walk->asked->filter, txn, visible, now.wall))
      return;
    const MutexLock lock(walk->mutex);
    v1::BatchReply& reply = walk->reply;
    reply.set_matched(reply.matched() + 1);
    if (txn.held()) reply.set_held(reply.held() + 1);
    if (static_cast<std::size_t>(reply.gids_size()) < kMaxBatchSampleCount)
      reply.add_gids(txn.gid());
    if (!walk->asked->request.action().dry_run()) walk->found.push_back(txn.gid());
  };
  walk->scope.engine.Visit(
      slice,
      [walk, rows = slice.max_rows](const Status& status, const engine::Engine::SliceEnds& ends) {
        if (!status.ok()) return walk->done(status, {});
        walk->ends = ends;
        for (const engine::SliceEnd& end : ends) walk->examined_rows += end.more ? rows : 0;
        {
          const MutexLock lock(walk->mutex);
          walk->acting = true;
        }
        BeginThem(walk);
      },
      walk->ends);
}

void Begin(const ListScope& scope, const AskedPtr& asked, ActOnOne act, Done done) {
  const auto walk = std::make_shared<Walk>(scope, asked);
  walk->act = std::move(act);
  walk->done = std::move(done);
  auto ends = EndsAfter(asked->request.slice().after(), scope.engine);
  if (!ends.ok()) return walk->done(ends.status(), {});
  walk->ends = *std::move(ends);
  NextSlice(walk);
}

// ---- Several coordinators ----------------------------------------------------------------------

using Answered = MemberAnswer<v1::BatchReply>;

// One other member, asked until it has no more.
struct Asking {
  Asking(Peers& p, cluster::Member m, AskedPtr a)
      : peers(p), member(std::move(m)), asked(std::move(a)), request(asked->request) {}
  Peers& peers;
  const cluster::Member member;
  const AskedPtr asked;
  v1::BatchRequest request;
  v1::BatchReply sum;
  Done done;
};

void Ask(const std::shared_ptr<Asking>& asking) {
  asking->peers.Ask(asking->member, "BatchService/Batch", asking->request.SerializeAsString(),
                    kMemberPatience, [asking](const Status& status, const std::string& bytes) {
                      v1::BatchReply reply;
                      Status heard = status;
                      if (heard.ok() && !reply.ParseFromString(bytes))
                        heard = Internal("its answer cannot be read");
                      v1::BatchReply& sum = asking->sum;
                      if (!heard.ok()) {
                        sum.set_more(true);
                        return asking->done(heard, std::move(sum));
                      }
                      Add(reply, sum);
                      *sum.mutable_slice() = reply.slice();
                      const auto& last = asking->request.slice().after();
                      const auto& at = reply.slice().looked_at();
                      const bool stands =
                          std::equal(last.begin(), last.end(), at.begin(), at.end());
                      if (!reply.slice().more()) return asking->done(OkStatus(), std::move(sum));
                      sum.set_more(asking->asked->Over() || stands);
                      if (stands)
                        return asking->done(Internal("it does not go on"), std::move(sum));
                      if (sum.more()) return asking->done(OkStatus(), std::move(sum));
                      *asking->request.mutable_slice()->mutable_after() = at;
                      Ask(asking);
                    });
}

void Gather(const ListScope& scope, const AskedPtr& asked, const ActOnOne& act, Done done) {
  const auto other = [&](const cluster::Member& member, Done told) {
    const auto asking = std::make_shared<Asking>(*scope.peers, member, asked);
    asking->request.mutable_slice();
    asking->done = std::move(told);
    Ask(asking);
  };
  const auto own = [&](Done told) { Begin(scope, asked, act, std::move(told)); };
  AskEach<v1::BatchReply>(
      scope, other, own,
      [&router = scope.router, done = std::move(done)](const std::vector<Answered>& answered) {
        v1::BatchReply sum;
        for (const Answered& one : answered) Add(one.reply, sum);
        NoteWhatIsMissing(router, answered, sum);
        done(OkStatus(), std::move(sum));
      });
}

}  // namespace

Status CheckBatch(const v1::BatchRequest& request) {
  switch (request.verb()) {
    case v1::BatchRequest::RETRY:
    case v1::BatchRequest::ABORT:
    case v1::BatchRequest::SUSPEND:
    case v1::BatchRequest::RESUME: break;
    default: return InvalidArgument("verb takes RETRY, ABORT, SUSPEND or RESUME");
  }
  if (!request.action().gid().empty())
    return InvalidArgument("action.gid is of one transaction: a batch takes filters");
  for (const int state : request.states()) {
    if (state == v1::FINISHED)
      return InvalidArgument("states has FINISHED: a batch is for unfinished transactions");
  }
  const v1::ListRequest filter = FilterOf(request);
  if (const Status cause = CheckFilter(filter); !cause.ok()) return cause;
  if (IsFiltered(filter) == request.all()) {
    return InvalidArgument(request.all() ? "all goes without filters"
                                         : "there is no filter: say all, if it is for all of them");
  }
  if (request.as_of_unix_ms() < 0) return InvalidArgument("as_of_unix_ms is negative");
  if (request.at_most_ms() < 0 || request.at_most_ms() > kMaxBatchTime.count())
    return InvalidArgument("at_most_ms takes 0 to " + std::to_string(kMaxBatchTime.count()));
  return OkStatus();
}

void RunBatch(const ListScope& scope, const v1::BatchRequest& request, ActOnOne act,
              std::function<bool()> abandoned, Done done) {
  const auto asked = std::make_shared<Asked>();
  asked->request = request;
  if (request.as_of_unix_ms() == 0) asked->request.set_as_of_unix_ms(base::UnixNowMs());
  asked->filter = FilterOf(request);
  asked->end =
      Clock::now() + (request.at_most_ms() == 0 ? kDefaultBatchTime
                                                : std::chrono::milliseconds(request.at_most_ms()));
  asked->abandoned = std::move(abandoned);
  auto told = [as_of = asked->request.as_of_unix_ms(), done = std::move(done)](
                  const Status& status, v1::BatchReply reply) {
    reply.set_as_of_unix_ms(as_of);
    done(status, std::move(reply));
  };
  if (request.has_slice() || scope.router.alone())
    return Begin(scope, asked, std::move(act), std::move(told));
  Gather(scope, asked, act, std::move(told));
}

}  // namespace assent::service
