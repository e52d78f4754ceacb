#include "participant-sdk/cpp/postgresql/watch.h"

#include <algorithm>
#include <utility>

#include "participant-sdk/cpp/postgresql/names.h"

namespace assent::postgresql::internal {
namespace {

// Who waits for a row waits for the transaction that has it, which may itself wait for one that is
// prepared; who comes second waits for a lock on the row, which the first one has. The youngest
// comes last.
constexpr char kFindHolders[] =
    "WITH RECURSIVE waits(who, pid) AS (SELECT who, who FROM unnest($1::int[]) who UNION "
    "SELECT waits.who, other FROM waits, unnest(pg_blocking_pids(waits.pid)) other "
    "WHERE other <> 0) "
    "SELECT waits.who, p.gid, a.began_unix_ms, a.coordinator_id, waits.pid = waits.who FROM waits "
    "JOIN pg_locks l ON l.pid = waits.pid AND NOT l.granted AND l.locktype = 'transactionid' "
    "JOIN pg_prepared_xacts p ON p.transaction = l.transactionid "
    "LEFT JOIN assent_age a ON a.gid = split_part(p.gid, '/', 2) "
    "ORDER BY a.began_unix_ms NULLS FIRST";

}  // namespace

Watch::Watch(ConnectionSettings settings, std::chrono::milliseconds grace)
    : settings_(std::move(settings)), grace_(grace), thread_([this] { Loop(); }) {}

Watch::~Watch() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

Watch::Guard::Guard(Watch& watch, const Call& call, int backend_pid) : watch_(watch) {
  const MutexLock lock(watch_.mutex_);
  watch_.waiters_.push_back({.backend_pid = backend_pid,
                             .call = &call,
                             .look_at = Clock::now() + watch_.grace_,
                             .obstacle = {}});
  waiter_ = std::prev(watch_.waiters_.end());
  watch_.changed_.NotifyAll();
}

void Watch::Guard::Leave() {
  if (!waiter_) return;
  const MutexLock lock(watch_.mutex_);
  while ((*waiter_)->is_being_ended) watch_.changed_.Wait(watch_.mutex_);
  obstacle_ = std::move((*waiter_)->obstacle);
  watch_.waiters_.erase(*waiter_);
  waiter_.reset();
}

Reply Watch::Guard::InVain(const std::string& words) {
  Leave();
  if (obstacle_) return obstacle_->reply;
  return Reply::RetryLater("a row is locked by another transaction: " + words);
}

void Watch::Loop() {
  for (;;) {
    std::vector<int> pids;
    {
      const MutexLock lock(mutex_);
      if (!WaitForDue()) return;
      pids = TakeDue();
    }
    const Table found = Find(pids);
    std::vector<std::int64_t> to_end;
    {
      const MutexLock lock(mutex_);
      to_end = NoteObstacles(found);
    }
    for (const std::int64_t pid : to_end)
      (void)connection_->Query("SELECT pg_cancel_backend($1::int)", {Param::Int(pid)});
    const MutexLock lock(mutex_);
    for (Waiter& waiter : waiters_) waiter.is_being_ended = false;
    changed_.NotifyAll();
  }
}

bool Watch::WaitForDue() {
  while (!stop_) {
    auto next = Clock::time_point::max();
    for (const Waiter& waiter : waiters_) next = std::min(next, waiter.look_at);
    if (waiters_.empty()) {
      changed_.Wait(mutex_);
    } else if (Clock::now() < next) {
      changed_.WaitUntil(mutex_, next);
    } else {
      return true;
    }
  }
  return false;
}

std::vector<int> Watch::TakeDue() {
  std::vector<int> pids;
  const Clock::time_point now = Clock::now();
  for (Waiter& waiter : waiters_) {
    if (waiter.look_at > now) continue;
    pids.push_back(waiter.backend_pid);
    waiter.look_at = now + grace_;
    // Until we have looked: or we would speak of, and end, what the same session does next.
    waiter.is_being_ended = true;
  }
  return pids;
}

std::vector<std::int64_t> Watch::NoteObstacles(const Table& found) {
  std::vector<std::int64_t> to_end;
  for (int i = 0; i < found.rows(); ++i) {
    const auto waiter = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& one) {
      return one.is_being_ended && one.backend_pid == found.Int(i, 0);
    });
    const std::optional<BranchKey> holder = BranchOf(found.Text(i, 1));
    if (waiter == waiters_.end() || !holder) continue;
    // What stands between will give way.
    const bool is_direct = found.Int(i, 4) != 0;
    if (holder->gid == waiter->call->gid && !is_direct) continue;
    waiter->obstacle = barrier::InTheWay(
        *waiter->call, {std::string(holder->gid), std::string(holder->branch_id), "a row",
                        found.Int(i, 2), static_cast<std::uint32_t>(found.Int(i, 3))});
    if (!waiter->obstacle->waits || waiter->obstacle->tells) to_end.push_back(waiter->backend_pid);
  }
  return to_end;
}

// Nothing when there is no connection: then who waits is told so by lock_timeout alone.
Table Watch::Find(const std::vector<int>& pids) {
  if (connection_ == nullptr || connection_->broken()) {
    connection_.reset();
    Result<std::unique_ptr<Connection>> opened = Connection::Open(settings_);
    if (!opened.ok()) return {};
    connection_ = std::move(*opened);
  }
  std::string list;
  for (const int pid : pids) list += (list.empty() ? "{" : ",") + std::to_string(pid);
  Answer answer = connection_->Query(kFindHolders, {Param::Text(list + "}")});
  return answer.ok() ? std::move(answer.table) : Table();
}

}  // namespace assent::postgresql::internal
