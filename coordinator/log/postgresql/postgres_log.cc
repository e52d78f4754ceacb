#include "coordinator/log/postgresql/postgres_log.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"
#include "coordinator/base/together.h"

namespace assent::log {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kJoinPause{200};
// The least that libpq knows.
constexpr std::chrono::seconds kObserverConnects{2};
// Of one that is out: who has ended it.
constexpr milliseconds kLastWords{500};

SlotGrant OursOf(const cluster::Grant& grant) {
  return {.slot = grant.slot, .slot_epoch = grant.slot_epoch};
}

}  // namespace

PostgresLog::PostgresLog(PostgresLogOptions options)
    : options_(std::move(options)), observer_(MemberOptions(), options_.lease, *this) {
  ASSENT_CHECK(options_.lanes_count > 0);
}

// ---- Coming -------------------------------------------------------------------------------------

ConnectionOptions PostgresLog::ConnectionOf(const std::string& what) const {
  ConnectionOptions connection = options_.connection;
  connection.application_name += " " + options_.node + " " + what;
  connection.stop = stop_.flag();
  return connection;
}

OriginOptions PostgresLog::Origin() const {
  return {.lossless_failover = options_.lossless_failover,
          .on_new_generation = options_.on_new_generation};
}

// The clocks of those who had our slots may have been so far ahead that ours never gets there.
// What is less far ahead is only the limit of those who had them, and passes.
std::int64_t PostgresLog::SerialNowMs() const {
  const std::int64_t now = SerialMs(base::UnixNowMs());
  const std::int64_t highest = slots_ ? slots_->HighestMs() : now;
  return highest > now + PostgresMemberStore::kSerialsAheadMs ? highest : now;
}

PostgresMemberOptions PostgresLog::MemberOptions() {
  PostgresMemberOptions options{.connection = ConnectionOf("observer"),
                                .schema = options_.schema,
                                .origin = Origin(),
                                .serial_now_ms = [this] { return SerialNowMs(); }};
  // Who waits for longer is not there for the others.
  options.connection.answer_within = options_.lease;
  options.connection.connect_timeout =
      std::min(options.connection.connect_timeout, kObserverConnects);
  return options;
}

Result<cluster::Joined> PostgresLog::JoinCluster() {
  const cluster::MemberCard card{.node = options_.node,
                                 .address = options_.address,
                                 .version = options_.version,
                                 .lanes_count = options_.lanes_count};
  for (const Clock::time_point end = Clock::now() + options_.start_patience;;) {
    Result<cluster::Joined> joined = observer_.Join(card);
    if (joined.ok() || joined.status().code() != Code::kUnavailable || Clock::now() >= end)
      return joined;
    (void)stop_.Sleep(kJoinPause);
  }
}

Result<Joined> PostgresLog::Join(SlotEvents& events) {
  ASSENT_CHECK(events_ == nullptr);
  Result<cluster::Joined> cluster = JoinCluster();
  if (!cluster.ok()) return cluster.status();
  events_ = &events;
  Joined joined{
      .log_id = cluster.value().log_id,
      .epoch = cluster.value().epoch,
      .slots_count = cluster.value().slots_count,
      .epochs = std::make_shared<const std::vector<std::uint64_t>>(cluster.value().epochs)};
  slots_ = std::make_shared<SlotTable>(joined.slots_count);
  slots_->SetGeneration(cluster.value().generation);
  OnGranted(cluster.value().slots);
  for (const cluster::Grant& grant : cluster.value().slots) joined.slots.push_back(OursOf(grant));
  observer_.Start();
  for (std::uint32_t number = 0; number < options_.lanes_count; ++number) {
    if (Status status = OpenLane(number, joined); !status.ok()) return status;
  }
  return joined;
}

Status PostgresLog::OpenLane(std::uint32_t number, const Joined& joined) {
  auto rows = std::make_unique<PostgresRowStore>(PostgresStoreOptions{
      .lane = {.connection = ConnectionOf("lane " + std::to_string(number)),
               .stop = &stop_,
               .origin = Origin(),
               .on_away = [this](const Status& why) { OnAway(why); },
               .on_back = [this] { OnBack(); },
               .on_settled = options_.on_settled},
      .lane_number = static_cast<int>(number),
      .join = [joined] { return joined; },
      .slots = slots_,
      .retention_age = options_.retention_age,
      .pinned_outcomes = options_.pinned_outcomes,
      .counts_finished = number == 0,
      .on_regressed = [this](const Status& why) { End(options_.on_regressed, why); }});
  QueuedLogOptions queue = options_.queue;
  queue.on_poisoned = [this](const Status& why) { End(options_.on_poisoned, why); };
  Lane lane{.rows = rows.get()};
  std::unique_ptr<RowStore> store = std::move(rows);
  if (options_.wrap) store = options_.wrap(std::move(store));
  lane.log = std::make_unique<ThreadedLog>(std::move(store), std::move(queue));
  if (const Result<Joined> opened = lane.log->Join(*this); !opened.ok()) {
    if (lane.rows->fenced()) OnFenced(opened.status());  // since we joined
    return opened.status();
  }
  lanes_.push_back(std::move(lane));
  return OkStatus();
}

// ---- Going --------------------------------------------------------------------------------------

PostgresLog::~PostgresLog() {
  if (events_ == nullptr) return;
  observer_.BeQuiet();
  if (!DrainWithin(options_.close_patience)) {
    ended_ = true;  // and nobody is told: who ends it has waited long enough
    stop_.Raise();
  }
  lanes_.clear();
  if (!ended_) (void)observer_.Leave();
  stop_.Raise();
}

bool PostgresLog::DrainWithin(milliseconds patience) {
  struct Drained {
    Mutex mutex;
    CondVar changed;
    bool done ASSENT_GUARDED_BY(mutex) = false;
  };
  const auto drained = std::make_shared<Drained>();
  Drain([drained](const Status&) {
    const MutexLock lock(drained->mutex);
    drained->done = true;
    drained->changed.NotifyAll();
  });
  const auto end = Clock::now() + patience;
  const MutexLock lock(drained->mutex);
  while (!drained->done && drained->changed.WaitUntil(drained->mutex, end)) {
  }
  return drained->done;
}

void PostgresLog::End(const std::function<void(const Status&)>& tell, const Status& why) {
  const MutexLock lock(ending_);
  if (!ended_.exchange(true) && tell) tell(why);
}

void PostgresLog::OnFenced(const Status& why) {
  if (why.code() == Code::kDataLoss) return End(options_.on_regressed, why);
  const MutexLock lock(ending_);
  if (ended_.exchange(true)) return;
  ConnectionOptions connection = ConnectionOf("last words");
  connection.connect_timeout = kObserverConnects;
  connection.answer_within = kLastWords;
  const milliseconds since(base::BootNow().count() - observer_.answered_boot_ms());
  if (options_.on_fenced)
    options_.on_fenced(PostgresMemberStore::WhyEnded(connection, observer_.epoch(), since, why));
  events_->OnFenced(why);
}

// ---- What is asked of it ------------------------------------------------------------------------

void PostgresLog::Load(std::vector<Slot> slots, LiveVisitor visit,
                       std::function<void(Loaded)> done) {
  std::vector<std::vector<Slot>> by_lane(lanes_.size());
  for (const Slot slot : slots) by_lane[slot % lanes_.size()].push_back(slot);
  const auto lanes = static_cast<std::size_t>(
      std::count_if(by_lane.begin(), by_lane.end(), [](const auto& own) { return !own.empty(); }));
  if (lanes == 0) return lanes_[0].log->Load({}, std::move(visit), std::move(done));
  const auto all = std::make_shared<base::Together<Loaded>>(lanes, std::move(done));
  const auto mutex = std::make_shared<Mutex>();  // whoever visits is called by one at a time
  const LiveVisitor visit_alone = [visit = std::move(visit), mutex](const LiveRow& row) {
    const MutexLock lock(*mutex);
    return visit(row);
  };
  for (std::size_t i = 0; i < by_lane.size(); ++i) {
    if (by_lane[i].empty()) continue;
    PostgresRowStore* rows = lanes_[i].rows;
    lanes_[i].log->Load(std::move(by_lane[i]), visit_alone, [this, all, rows](Loaded loaded) {
      if (!loaded.status.ok() && rows->fenced()) OnFenced(loaded.status);
      all->Add([&loaded](Loaded& sum) {
        if (!loaded.status.ok()) sum.status = loaded.status;
        sum.generation = std::max(sum.generation, loaded.generation);
        std::move(loaded.damaged.begin(), loaded.damaged.end(), std::back_inserter(sum.damaged));
      });
    });
  }
}

void PostgresLog::Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) {
  Lane& lane = LaneOf(batch.empty() ? Slot{0} : batch.front().slot);
  for (const Entry& entry : batch) ASSENT_CHECK(&LaneOf(entry.slot) == &lane);
  lane.log->Append(std::move(batch), std::move(done));
}

void PostgresLog::Release(Slot slot, std::function<void(Status)> done) {
  LaneOf(slot).log->Release(slot, [this, slot, done = std::move(done)](const Status& status) {
    if (status.code() == Code::kFailedPrecondition) observer_.OnKept(slot);
    done(status);
  });
}

void PostgresLog::Drain(std::function<void(Status)> done) {
  if (lanes_.empty()) return done(OkStatus());
  const auto all = std::make_shared<base::Together<Status>>(lanes_.size(), std::move(done));
  for (Lane& lane : lanes_) {
    lane.log->Drain([all](const Status& status) {
      all->Add([&status](Status& worst) {
        if (!status.ok()) worst = status;
      });
    });
  }
}

void PostgresLog::Find(std::string gid, std::function<void(Result<Found>)> done) {
  Lane& lane = LaneOf(SlotOf(gid, slots_->slots_count()));
  lane.log->Find(std::move(gid), std::move(done));
}

void PostgresLog::Scan(std::uint64_t before_serial, std::size_t max_rows,
                       std::function<void(Result<std::vector<FinishedRow>>)> done) {
  lanes_[0].log->Scan(before_serial, max_rows, std::move(done));
}

Stats PostgresLog::GetStats() const {
  Stats sum;
  for (const Lane& lane : lanes_) {
    const Stats stats = lane.log->GetStats();
    sum.records += stats.records;
    sum.commits += stats.commits;
    sum.finished_rows += stats.finished_rows;
    sum.queued_entries += stats.queued_entries;
    sum.full |= stats.full;
    sum.away |= stats.away;
    sum.poisoned |= stats.poisoned;
    stats.group_entries.AddTo(sum.group_entries);
    stats.write_after.AddTo(sum.write_after);
    stats.commit_after.AddTo(sum.commit_after);
  }
  sum.away |= observer_.away();
  if (sum.away) sum.away_why = observer_.away_why();
  sum.answered_boot_ms = observer_.answered_boot_ms();
  return sum;
}

// ---- What happens to it -------------------------------------------------------------------------

void PostgresLog::OnStep(std::int64_t serial_limit_ms, std::int64_t ran_ms) {
  slots_->SetLimit(serial_limit_ms);
  slots_->SetAge(ran_ms);
}

void PostgresLog::OnView(cluster::ViewPtr view) {
  slots_->SetGeneration(view->generation);
  if (options_.on_view) options_.on_view(std::move(view));
}

void PostgresLog::OnGranted(const std::vector<cluster::Grant>& grants) {
  for (const cluster::Grant& grant : grants) slots_->Assign(OursOf(grant), grant.serial_floor_ms);
}

void PostgresLog::OnAssigned(const std::vector<cluster::Grant>& grants) {
  std::vector<SlotGrant> ours;
  for (const cluster::Grant& grant : grants) ours.push_back(OursOf(grant));
  events_->OnAssigned(ours);
}

// A lane says nothing of slots.
void PostgresLog::OnAssigned(const std::vector<SlotGrant>&) {}

void PostgresLog::OnWanted(const std::vector<Slot>& slots) { events_->OnWanted(slots); }

// Several notice; one line says so, until all are through again.
void PostgresLog::OnAway(const Status& why) {
  if (away_count_++ == 0 && options_.on_away) options_.on_away(why);
}

void PostgresLog::OnBack() {
  if (--away_count_ == 0 && options_.on_back) options_.on_back();
}

void PostgresLog::OnFence(const std::string& node, cluster::MemberStore::Fenced result,
                          const std::string& asked_by) {
  if (options_.on_fence) options_.on_fence(node, result, asked_by);
}

}  // namespace assent::log
