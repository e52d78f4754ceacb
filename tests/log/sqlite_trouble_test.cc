// The disk fails at one call of a workload of hundreds of transactions: at every call in turn,
// reads and starts included, an I/O error; at every write also a short one and a full disk. Nothing
// else is written after an I/O error, a full disk only refuses, and the next start finds everything
// that was acknowledged: also when the power fails right after it, which takes back whatever a
// failed sync has left in the page cache alone.
//
// The short form takes every kStride-th call, all of them over kStride seeds; ASSENT_CRASH_LONG=1
// every one (tests/log/README.md).

#include <array>
#include <cstdio>
#include <future>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/crash_settings.h"
#include "tests/log/crash_vfs.h"
#include "tests/log/crash_workload.h"
#include "tests/log/log_judge.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

constexpr std::uint64_t kStride = 3;

// One life, from the disk that the one before has left.
struct Scene {
  SimDisk disk;
  Books books;
  Told told;  // batches are counted from here on
};

class TroubleTest {
 public:
  explicit TroubleTest(std::uint64_t seed)
      : seed_(seed), random_(seed), workload_(MakeWorkload(seed, 6, 40)) {}

  void TryEveryCall(DiskTrouble::Kind kind);

 private:
  std::vector<DiskCallKind> RunWithout(const WorkloadLife& life, Scene& scene);
  void Run(const WorkloadLife& life, const Scene& scene, const DiskTrouble& trouble);
  void CheckAnswer(const DiskTrouble& trouble, const Status& start, bool poisoned);
  void CheckDisk(const SimDisk& disk, const Timeline& timeline, Told told);
  void Report(DiskTrouble::Kind kind) const;

  const std::uint64_t seed_;
  CrashVfs vfs_;
  Random random_;
  std::vector<WorkloadLife> workload_;
  std::uint64_t calls_ = 0;
  std::uint64_t runs_ = 0;
  std::uint64_t starts_refused_ = 0;
  std::uint64_t stopped_ = 0;
  std::uint64_t no_space_ = 0;                      // batches that were told so
  std::map<DiskCallKind, std::uint64_t> unharmed_;  // runs that went on after an I/O error
};

void TroubleTest::TryEveryCall(DiskTrouble::Kind kind) {
  Scene scene;
  for (std::size_t i = 0; i < workload_.size(); ++i) {
    const Scene before = scene;
    const std::vector<DiskCallKind> calls = RunWithout(workload_[i], scene);
    for (std::uint64_t at = 1; at <= calls.size(); ++at) {
      const DiskCallKind call = calls[at - 1];
      if (!CanMeet(kind, call)) continue;
      if (++calls_ % kStride != seed_ % kStride && !CrashLong()) continue;
      SCOPED_TRACE(std::string(Name(kind)) + " in life " + std::to_string(i + 1) + ", call " +
                   std::to_string(at) + ": " + Name(call));
      DiskTrouble trouble = {.kind = kind, .at = at, .seed = random_()};
      if (kind == DiskTrouble::Kind::kFull) trouble.calls = std::array{1, 5, 40}[random_() % 3];
      Run(workload_[i], before, trouble);
      if (testing::Test::HasFailure()) return;
    }
  }
  Report(kind);
}

std::vector<DiskCallKind> TroubleTest::RunWithout(const WorkloadLife& life, Scene& scene) {
  vfs_.Insert(scene.disk);
  std::vector<DiskCallKind> calls;
  const Contents found =
      StartAndRead(CrashOptions(vfs_.name()), {}, [&](Log& log, const Contents& now) {
        scene.told.Heed(now.recovered, 0);
        Driver driver(log, life);
        for (const EntryBatch* batch : driver.Run().accepted) scene.books.Apply(*batch);
        scene.disk = vfs_.disk();
      });
  EXPECT_TRUE(found.status.ok()) << found.status.ToString();
  if (life.ends_orderly) scene.disk = vfs_.disk();
  return vfs_.calls();
}

void TroubleTest::Run(const WorkloadLife& life, const Scene& scene, const DiskTrouble& trouble) {
  ++runs_;
  vfs_.Insert(scene.disk);
  vfs_.SetTrouble(trouble);
  Timeline timeline(scene.books);
  Told told = scene.told;
  bool poisoned = false;
  std::uint64_t changes_then = 0;
  SqliteOptions options = CrashOptions(vfs_.name());
  options.on_poisoned = [&](const Status&) {
    poisoned = true;
    changes_then = vfs_.changes();
  };
  const auto recovered = [&](const Recovered& now) { told.Heed(now, 0); };
  const Contents found = StartAndRead(options, recovered, [&](Log& log, const Contents&) {
    Driver driver(log, life);
    const Driver::History history = driver.Run();
    no_space_ += history.refused;
    for (std::size_t i = 0; i < history.accepted.size(); ++i) {
      EXPECT_EQ(timeline.Add(*history.accepted[i]), driver.refused_entries()[i]);
    }
    told.batches_at_least = timeline.length();
    for (const EntryBatch* batch : history.open) timeline.Add(*batch);
    told.batches_at_most = timeline.length();
    if (!history.stopped) return;
    // It may have stopped by itself, before anything was handed over: then nothing is unknown.
    EXPECT_EQ(history.why.code(), timeline.length() == told.batches_at_least
                                      ? Code::kUnavailable
                                      : Code::kUnknownOutcome)
        << history.why.ToString();
    std::promise<Code> late;
    log.Append(Batch(Begin(scene.books.next_serial() + 1000, "late")),
               [&late](const AppendResult& result) { late.set_value(result.status.code()); });
    EXPECT_EQ(late.get_future().get(), Code::kUnavailable);
  });
  if (vfs_.troubled() == 0) return;  // it did not come to that call
  CheckAnswer(trouble, found.status, poisoned);
  if (poisoned) {
    EXPECT_EQ(vfs_.changes(), changes_then) << "the disk was touched after an I/O error";
  }
  CheckDisk(vfs_.disk(), timeline, told);
}

void TroubleTest::CheckAnswer(const DiskTrouble& trouble, const Status& start, bool poisoned) {
  // What retention does on an idle log may move the calls by a few.
  const DiskCallKind call = vfs_.calls()[trouble.at - 1];
  if (poisoned) {
    ++stopped_;
  } else if (!start.ok()) {
    ++starts_refused_;
  } else {
    ++unharmed_[call];
  }
  if (trouble.kind == DiskTrouble::Kind::kFull) {
    EXPECT_FALSE(poisoned) << "a full disk is no I/O error";
    EXPECT_TRUE(start.ok() || start.code() == Code::kResourceExhausted) << start.ToString();
  } else {
    // SQLite itself looks away where it syncs a folder (we do it again) and where it measures a WAL
    // that it would shorten.
    EXPECT_TRUE(poisoned || !start.ok() || call == DiskCallKind::kSyncFolder ||
                call == DiskCallKind::kSize)
        << "an I/O error was swallowed, at " << Name(call);
    // An error is not damage.
    EXPECT_NE(start.code(), Code::kDataLoss) << start.ToString();
  }
}

void TroubleTest::CheckDisk(const SimDisk& disk, const Timeline& timeline, Told told) {
  // The power fails at once.
  vfs_.Insert(disk.AfterPowerLoss(Loss::kTorn, random_));
  const Result<std::size_t> left = Judge(StartAndRead(CrashOptions(vfs_.name())), timeline, told);
  EXPECT_TRUE(left.ok()) << "after a power loss: " << left.status().ToString();
  // Or the process is started again, and the power fails as soon as it may act on what it found; or
  // before that.
  SimDisk later;
  vfs_.Insert(disk);
  const Contents found = StartAndRead(CrashOptions(vfs_.name()), [&](const Recovered&) {
    later = vfs_.disk();
    vfs_.Mark(1);
  });
  const std::vector<DiskChange> changes = vfs_.TakeTrace();
  const Result<std::size_t> batches = Judge(found, timeline, told);
  ASSERT_TRUE(batches.ok()) << batches.status().ToString();
  SimDisk partly = disk;
  for (const DiskChange& change : changes) {
    if (change.kind == DiskChange::Kind::kMark) break;
    if (random_() % (CrashLong() ? 1 : 24) == 0) {
      vfs_.Insert(partly.AfterPowerLoss(Loss::kSome, random_));
      const Result<std::size_t> between =
          Judge(StartAndRead(CrashOptions(vfs_.name())), timeline, told);
      ASSERT_TRUE(between.ok()) << "the power failed in recovery: " << between.status().ToString();
    }
    partly.Apply(change);
  }
  told.Heed(found.recovered, batches.value());
  vfs_.Insert(later.AfterPowerLoss(Loss::kAll, random_));
  const Result<std::size_t> again = Judge(StartAndRead(CrashOptions(vfs_.name())), timeline, told);
  EXPECT_TRUE(again.ok()) << "recovered, but not durably: " << again.status().ToString();
}

void TroubleTest::Report(DiskTrouble::Kind kind) const {
  std::printf(
      "%s: %llu calls, tried %llu; %llu logs stopped, %llu starts refused, %llu batches "
      "told that there is no space; went on:",
      Name(kind), static_cast<unsigned long long>(calls_), static_cast<unsigned long long>(runs_),
      static_cast<unsigned long long>(stopped_), static_cast<unsigned long long>(starts_refused_),
      static_cast<unsigned long long>(no_space_));
  for (const auto& [call, count] : unharmed_) {
    std::printf(" %llu at %s", static_cast<unsigned long long>(count), Name(call));
  }
  std::printf("\n");
}

TEST(SqliteTrouble, IoErrorAtEveryCall) {
  TroubleTest(CrashSeed()).TryEveryCall(DiskTrouble::Kind::kIoError);
}

TEST(SqliteTrouble, ShortWriteAtEveryWrite) {
  TroubleTest(CrashSeed()).TryEveryCall(DiskTrouble::Kind::kShortWrite);
}

TEST(SqliteTrouble, FullDiskAtEveryWrite) {
  TroubleTest(CrashSeed()).TryEveryCall(DiskTrouble::Kind::kFull);
}

}  // namespace
}  // namespace assent::log
