// The power fails, or the process dies, before every single call to the disk of a workload of
// hundreds of transactions, and then again during the recovery. Whatever a power loss leaves of
// what was not synchronised: what had been acknowledged is there, nothing is there that was not
// handed over, each batch is there as a whole, and the log goes on.
//
// The workload runs once, on a disk in memory that writes down every change. The disk before each
// of them is then made again from that list, damaged, and given to the real log. A failure names
// its place; ASSENT_CRASH_SEED draws another workload and other damage, ASSENT_CRASH_LONG=1 tries
// more of it and every place of the recoveries too (tests/log/README.md).

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/crash_settings.h"
#include "tests/log/crash_vfs.h"
#include "tests/log/crash_workload.h"
#include "tests/log/log_judge.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

enum Mark : std::int64_t { kAppended = 1, kAccepted, kRecovered };

// One life as it was written down.
struct Recording {
  SimDisk before;
  std::vector<DiskChange> changes;
  Told told;  // when it began
  Recovered recovered;
};

// Whether a start changes the WAL before it has synchronised what it found there.
bool WritesWalUnsynced(const std::vector<DiskChange>& changes) {
  const auto first = std::find_if(changes.begin(), changes.end(), [](const DiskChange& change) {
    return change.kind != DiskChange::Kind::kCreate && change.path.ends_with("-wal");
  });
  return first != changes.end() && first->kind == DiskChange::Kind::kWrite && first->offset == 0 &&
         first->bytes.size() > 32;  // not the header of a new one
}

class PowerTest {
 public:
  PowerTest(std::uint64_t seed, int lives, int transactions_a_life)
      : random_(seed),
        workload_(MakeWorkload(seed, lives, transactions_a_life)),
        transactions_(static_cast<std::size_t>(lives * transactions_a_life)) {}

  void Record();
  void TryEveryChange();
  void Report(const char* what) const;

  std::size_t places() const { return places_; }

 private:
  void RecordLife(const WorkloadLife& life, SimDisk& disk, Told& told);
  void TryHere(const SimDisk& disk, const Told& told, bool news);
  void Try(const SimDisk& disk, const Told& told);
  void DieAgain(const SimDisk& disk, const std::vector<DiskChange>& changes, std::size_t at,
                Told told, const Recovered& recovered, std::size_t batches);
  void GoOn(const SimDisk& disk, const Told& told);
  Contents Start() {
    return StartAndRead(CrashOptions(vfs_.name()),
                        [this](const Recovered&) { vfs_.Mark(kRecovered); });
  }
  SimDisk AfterPowerLoss(const SimDisk& disk, Loss loss) {
    return disk.AfterPowerLoss(loss, random_);
  }

  CrashVfs vfs_;
  Random random_;
  std::vector<WorkloadLife> workload_;
  std::size_t transactions_ = 0;
  Timeline timeline_;
  std::vector<Recording> recordings_;
  std::size_t places_ = 0;
  std::size_t disks_ = 0;
  std::size_t changes_in_recovery_ = 0;
  std::size_t second_deaths_ = 0;
  std::size_t went_on_ = 0;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

void PowerTest::Record() {
  SimDisk disk;
  Told told;
  for (const WorkloadLife& life : workload_) {
    RecordLife(life, disk, told);
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

void PowerTest::RecordLife(const WorkloadLife& life, SimDisk& disk, Told& told) {
  Recording recording = {.before = disk, .changes = {}, .told = told, .recovered = {}};
  vfs_.Insert(disk);
  {
    auto opened = SqliteLog::Open(CrashOptions(vfs_.name()));
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    const Status status = log.Recover();
    ASSERT_TRUE(status.ok()) << status.ToString();
    vfs_.Mark(kRecovered);
    recording.recovered = log.recovered();
    told.Heed(log.recovered(), timeline_.length());
    Driver driver(log.log(), life);
    driver.on_append = [this] { vfs_.Mark(kAppended); };
    driver.on_accepted = [this] { vfs_.Mark(kAccepted); };
    const Driver::History history = driver.Run();
    ASSERT_TRUE(history.open.empty()) << history.why.ToString();
    for (std::size_t i = 0; i < history.accepted.size(); ++i) {
      EXPECT_EQ(timeline_.Add(*history.accepted[i]), driver.refused_entries()[i]);
    }
    if (!life.ends_orderly) disk = vfs_.disk();
  }
  if (life.ends_orderly) disk = vfs_.disk();
  told.batches_at_least = told.batches_at_most = timeline_.length();
  recording.changes = vfs_.TakeTrace();
  recordings_.push_back(std::move(recording));
}

void PowerTest::TryEveryChange() {
  for (const Recording& recording : recordings_) {
    SimDisk disk = recording.before;
    Told told = recording.told;
    bool news = true;  // since the last place: something became durable, or known
    for (std::size_t i = 0; i <= recording.changes.size(); ++i) {
      const bool last = i == recording.changes.size();
      if (last || recording.changes[i].kind != DiskChange::Kind::kMark) {
        SCOPED_TRACE("life " + std::to_string(&recording - recordings_.data() + 1) + ", change " +
                     std::to_string(i));
        ++places_;
        TryHere(disk, told, std::exchange(news, false));
        if (testing::Test::HasFailure()) return;
      }
      if (last) break;
      const DiskChange& change = recording.changes[i];
      disk.Apply(change);
      news = news || change.kind != DiskChange::Kind::kWrite;
      if (change.kind != DiskChange::Kind::kMark) continue;
      if (change.offset == kAppended) ++told.batches_at_most;
      if (change.offset == kAccepted) ++told.batches_at_least;
      if (change.offset == kRecovered) told.Heed(recording.recovered, told.batches_at_least);
    }
  }
}

void PowerTest::TryHere(const SimDisk& disk, const Told& told, bool news) {
  Try(disk, told);  // the process dies
  if (!disk.IsWaiting()) return;
  if (news) Try(AfterPowerLoss(disk, Loss::kAll), told);
  const Loss losses[] = {Loss::kSome, Loss::kTorn, Loss::kAllButOne};
  if (!CrashLong()) return Try(AfterPowerLoss(disk, losses[random_() % 3]), told);
  for (int i = 0; i < 4; ++i) {
    for (const Loss loss : losses) Try(AfterPowerLoss(disk, loss), told);
  }
}

void PowerTest::Try(const SimDisk& disk, const Told& told) {
  if (testing::Test::HasFailure()) return;
  ++disks_;
  vfs_.Insert(disk);
  const Contents found = Start();
  const std::vector<DiskChange> changes = vfs_.TakeTrace();
  const Result<std::size_t> batches = Judge(found, timeline_, told);
  ASSERT_TRUE(batches.ok()) << batches.status().ToString();
  ASSERT_FALSE(WritesWalUnsynced(changes))
      << "a sector that is torn now takes its neighbours with it, which are durable";
  changes_in_recovery_ += changes.size();
  for (std::size_t at = 0; at <= changes.size(); ++at) {
    // The short form: a third of the recoveries, each at one place that is drawn.
    if (!CrashLong() && random_() % (3 * (changes.size() + 1)) != 0) continue;
    DieAgain(disk, changes, at, told, found.recovered, batches.value());
  }
  if (random_() % 16 == 0) GoOn(disk, told);
}

// The recovery of this disk is cut short before its `at`-th change.
void PowerTest::DieAgain(const SimDisk& before, const std::vector<DiskChange>& changes,
                         std::size_t at, Told told, const Recovered& recovered,
                         std::size_t batches) {
  SimDisk disk = before;
  for (std::size_t i = 0; i < at; ++i) {
    disk.Apply(changes[i]);
    if (changes[i].kind == DiskChange::Kind::kMark) told.Heed(recovered, batches);
  }
  ++second_deaths_;
  const bool by_power = disk.IsWaiting() && random_() % 4 != 0;
  vfs_.Insert(by_power ? AfterPowerLoss(disk, Loss::kTorn) : std::move(disk));
  const Result<std::size_t> again = Judge(Start(), timeline_, told);
  ASSERT_TRUE(again.ok()) << "second death, at " << at << (by_power ? ", by power: " : ": ")
                          << again.status().ToString();
}

// The log is not only whole but works: it takes more, and still has it after it has died once more.
void PowerTest::GoOn(const SimDisk& disk, const Told& told) {
  ++went_on_;
  vfs_.Insert(disk);
  SimDisk after;
  std::uint64_t first = 0;
  Contents found = StartAndRead(CrashOptions(vfs_.name()), {}, [&](Log& log, const Contents& now) {
    first = now.recovered.next_serial;
    const std::string gid = "later-" + std::to_string(first);
    WorkloadLife life;
    life.groups = {{Batch(Begin(first, gid), Begin(first + 1, gid + "x"))},
                   {Batch(Update(first, 2, gid, "COMMIT")), Batch(End(first + 1, 2, gid + "x"))}};
    Driver driver(log, life);
    EXPECT_EQ(driver.Run().accepted.size(), 3u);
    after = vfs_.disk();
  });
  ASSERT_TRUE(Judge(found, timeline_, told).ok());
  vfs_.Insert(AfterPowerLoss(after, Loss::kAll));
  const Contents later = StartAndRead(CrashOptions(vfs_.name()));
  ASSERT_TRUE(later.status.ok()) << later.status.ToString();
  EXPECT_EQ(later.live.size(), found.live.size() + 1);
  EXPECT_EQ(later.recovered.next_serial, first + 2);
  EXPECT_NE(later.text.find(" " + std::to_string(first) + "/2"), std::string::npos) << later.text;
}

void PowerTest::Report(const char* what) const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count();
  std::printf(
      "%s: %zu lives, %zu transactions, %zu batches; died at %zu places, left %zu disks, recovered "
      "from "
      "each (%zu changes on average), died during recovery %zu times, went on from %zu; %.1f s, "
      "%.0f "
      "starts/s\n",
      what, recordings_.size(), transactions_, timeline_.length(), places_, disks_,
      changes_in_recovery_ / (disks_ + 1), second_deaths_, went_on_, seconds,
      static_cast<double>(disks_ + second_deaths_ + 2 * went_on_) / seconds);
}

TEST(SqlitePower, AtEveryCall) {
  PowerTest test(CrashSeed(), 6, 40);
  test.Record();
  if (HasFailure()) return;
  test.TryEveryChange();
  test.Report("every place");
  EXPECT_GT(test.places(), 2000u);
}

// The judge is awake: on a disk whose syncs do nothing acknowledged work is lost.
TEST(SqlitePower, ADiskThatLiesIsNoticed) {
  CrashVfs vfs;
  vfs.LieAboutSync();
  Timeline timeline;
  Told told;
  Random random(1);
  SimDisk disk;
  const std::vector<WorkloadLife> workload = MakeWorkload(1, 1, 10);
  StartAndRead(CrashOptions(vfs.name()), {}, [&](Log& log, const Contents& found) {
    told.Heed(found.recovered, 0);
    Driver driver(log, workload[0]);
    for (const EntryBatch* batch : driver.Run().accepted) timeline.Add(*batch);
    disk = vfs.disk();
  });
  told.batches_at_least = told.batches_at_most = timeline.length();
  for (const Loss loss : {Loss::kAll, Loss::kTorn}) {
    vfs.Insert(disk.AfterPowerLoss(loss, random));
    EXPECT_FALSE(Judge(StartAndRead(CrashOptions(vfs.name())), timeline, told).ok());
  }
}

}  // namespace
}  // namespace assent::log
