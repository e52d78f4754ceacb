// The real log on a disk that fails: at every n-th call of a short workload. After each failure the file is opened again on
// a sound disk and held against what was reported.

#include <map>
#include <optional>
#include <sqlite3.h>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite_log.h"
#include "tests/log/fault_vfs.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using Kind = DiskCall::Kind;

SqliteOptions OptionsFor(const TempFolder& folder, const std::string& vfs) {
  SqliteOptions options;
  options.path = folder.File("assent.db");
  options.reserve_bytes = 1 << 16;
  options.checkpoint_pages = 8;  // so that a short workload checkpoints several times
  options.space_probe_interval = std::chrono::milliseconds(1);
  options.vfs = vfs;
  options.unix_now_ms = [] { return std::int64_t{2000}; };
  return options;
}

// What may be true of one transaction after what was reported about its batches.
struct Expected {
  // Version of the unfinished row; 0: none. kEnded: the finished row.
  static constexpr std::uint64_t kEnded = 1000;
  std::uint64_t sure = 0;     // the newest that was reported durable
  std::uint64_t perhaps = 0;  // the newest whose batch had an unknown outcome; 0: none
};

// A workload of transactions that begin, change and end in batches of their own, one after the other, with what was
// reported about each.
class Workload {
 public:
  static constexpr std::uint64_t kTransactions = 12;

  void Run(LogClient& log) {
    for (std::uint64_t serial = 1; serial <= kTransactions; ++serial) {
      const std::string gid = "g" + std::to_string(serial);
      const std::string large(serial % 4 == 0 ? 20'000 : 10, 'x');
      Entry begin = Begin(serial, gid);
      begin.spec = large;
      if (!Write(log, serial, 1, begin)) continue;
      if (!Write(log, serial, 2, Update(serial, 2, gid, large))) continue;
      if (serial % 3 != 0) Write(log, serial, Expected::kEnded, End(serial, 3, gid));
    }
  }

  // Also repeats what was refused for lack of space, until it is accepted or `attempts` is used up.
  bool Write(LogClient& log, std::uint64_t serial, std::uint64_t version, const Entry& entry) {
    const AppendResult result = log.Append({entry});
    Expected& expected = transactions_[serial];
    switch (result.status.code()) {
      case Code::kOk: expected.sure = version; return true;
      case Code::kUnknownOutcome:
        expected.perhaps = version;
        ++unknown_;
        return false;
      case Code::kResourceExhausted: ++refused_; return false;
      case Code::kUnavailable: ++unavailable_; return false;
      default: ADD_FAILURE() << result.status.ToString(); return false;
    }
  }

  void Check(LogClient& log) const {
    std::map<std::uint64_t, std::uint64_t> found;
    for (const LiveRow& row : log.replayed()) found[row.serial] = row.version;
    for (const auto& [serial, expected] : transactions_) {
      const auto finished = log.Find("g" + std::to_string(serial));
      if (finished.ok()) {
        EXPECT_FALSE(found.contains(serial)) << serial << " is both finished and not";
        found[serial] = Expected::kEnded;
      }
      const std::uint64_t version = found.contains(serial) ? found[serial] : 0;
      EXPECT_TRUE(version == expected.sure ||
                  (expected.perhaps != 0 && version == expected.perhaps))
          << "transaction " << serial << " is at " << version << ", reported " << expected.sure
          << ", perhaps " << expected.perhaps;
      found.erase(serial);
    }
    EXPECT_TRUE(found.empty()) << "rows that nobody wrote, the first is " << found.begin()->first;
  }

  int unknown() const { return unknown_; }
  int refused() const { return refused_; }
  int unavailable() const { return unavailable_; }

 private:
  std::map<std::uint64_t, Expected> transactions_;
  int unknown_ = 0;
  int refused_ = 0;
  int unavailable_ = 0;
};

// Runs the workload with the n-th call of this kind failing, counted from the start of the first life's appends. False when
// the workload is over before the n-th call.
struct FailAt {
  Kind kind;
  std::uint64_t n;
  int code;
  bool half_written = false;
};

bool RunAndCheck(const FailAt& at) {
  TempFolder folder(/*in_memory=*/true);
  FaultVfs vfs;
  vfs.SkipSync();
  Workload workload;
  std::atomic<bool> fired = false;
  std::uint64_t changes_when_poisoned = 0;
  std::optional<Status> poisoned;
  {
    SqliteOptions options = OptionsFor(folder, vfs.name());
    options.on_poisoned = [&](const Status& why) {
      poisoned = why;
      changes_when_poisoned = vfs.Changes();
    };
    auto opened = SqliteLog::Open(std::move(options));
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    LogClient log(*std::move(opened));
    const Status recovered = log.Recover();
    EXPECT_TRUE(recovered.ok()) << recovered.ToString();
    const std::uint64_t from = vfs.Count(at.kind);
    vfs.SetPlan([&fired, at, from](const DiskCall& call) {
      if (call.kind != at.kind || call.number != from + at.n) return DiskFault{};
      fired = true;
      return DiskFault{.code = at.code, .bytes_first = at.half_written ? call.bytes / 2 : 0};
    });
    workload.Run(log);
    if (fired) {
      // Everything after it: refused, not written, not even by closing.
      EXPECT_LE(workload.unknown(), 1);
      if (log.log().GetStats().poisoned) {
        EXPECT_EQ(log.Append(Batch(Begin(1000, "late"))).status.code(), Code::kUnavailable);
      }
    }
  }
  EXPECT_EQ(fired, poisoned.has_value()) << "an I/O error was swallowed";
  if (poisoned) {
    EXPECT_EQ(vfs.Changes(), changes_when_poisoned) << "the file was touched after an I/O error";
  }
  vfs.SetPlan(nullptr);
  auto opened = SqliteLog::Open(OptionsFor(folder, vfs.name()));
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  if (!opened.ok()) return false;
  LogClient log(*std::move(opened));
  const Status recovered = log.Recover();
  EXPECT_TRUE(recovered.ok()) << recovered.ToString();
  EXPECT_EQ(StartNumber(log.recovered().epoch), 2u);
  EXPECT_EQ(log.recovered().lives.size(), 2u);
  workload.Check(log);
  return fired;
}

int RunAtEveryCall(FailAt at) {
  int points = 0;
  for (at.n = 1;; ++at.n) {
    SCOPED_TRACE("call " + std::to_string(at.n));
    if (!RunAndCheck(at) || testing::Test::HasFailure()) return points;
    ++points;
  }
}

TEST(SqliteFaults, AFailedSyncStopsTheLogAndLosesNothing) {
  const int points = RunAtEveryCall({.kind = Kind::kSync, .n = 0, .code = SQLITE_IOERR_FSYNC});
  EXPECT_GT(points, 30);  // a commit each, and checkpoints
}

TEST(SqliteFaults, AFailedWriteStopsTheLogAndLosesNothing) {
  const int points = RunAtEveryCall({.kind = Kind::kWrite, .n = 0, .code = SQLITE_IOERR_WRITE});
  EXPECT_GT(points, 100);
}

TEST(SqliteFaults, AHalfWriteStopsTheLogAndLosesNothing) {
  const int points = RunAtEveryCall(
      {.kind = Kind::kWrite, .n = 0, .code = SQLITE_IOERR_WRITE, .half_written = true});
  EXPECT_GT(points, 100);
}

// The disk is full for a while, from the n-th write on: begins are refused, and after it everything goes on. No outcome is
// unknown, and what was refused is not there.
bool RunOnFullDisk(std::uint64_t n, std::uint64_t writes_refused, int& refused) {
  TempFolder folder(/*in_memory=*/true);
  FaultVfs vfs;
  vfs.SkipSync();
  Workload workload;
  std::atomic<bool> fired = false;
  {
    auto opened = SqliteLog::Open(OptionsFor(folder, vfs.name()));
    EXPECT_TRUE(opened.ok());
    LogClient log(*std::move(opened));
    EXPECT_TRUE(log.Recover().ok());
    const std::uint64_t from = vfs.Count(Kind::kWrite) + n;
    vfs.SetPlan([&fired, from, writes_refused](const DiskCall& call) {
      if (call.kind != Kind::kWrite || call.number < from || call.number >= from + writes_refused) {
        return DiskFault{};
      }
      fired = true;
      return DiskFault{.code = SQLITE_FULL, .bytes_first = call.bytes / 2};
    });
    workload.Run(log);
    EXPECT_EQ(workload.unknown(), 0);
    EXPECT_EQ(workload.unavailable(), 0);
    EXPECT_FALSE(log.log().GetStats().poisoned);
    vfs.SetPlan(nullptr);
    // There is space again: sooner or later a new transaction is taken.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!workload.Write(log, 500, 1, Begin(500, "g500"))) {
      EXPECT_LT(std::chrono::steady_clock::now(), deadline) << "the log does not recover";
      if (testing::Test::HasFailure()) return false;
    }
  }
  refused += workload.refused();
  auto opened = SqliteLog::Open(OptionsFor(folder, vfs.name()));
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  if (!opened.ok()) return false;
  LogClient log(*std::move(opened));
  const Status recovered = log.Recover();
  EXPECT_TRUE(recovered.ok()) << recovered.ToString();
  workload.Check(log);
  return fired;
}

TEST(SqliteFaults, AFullDiskRefusesAndGoesOn) {
  for (const std::uint64_t writes_refused : {1, 5, 40}) {
    int points = 0;
    int refused = 0;
    for (std::uint64_t n = 1; RunOnFullDisk(n, writes_refused, refused); ++n) {
      ++points;
      if (HasFailure()) FAIL() << "write " << n << ", " << writes_refused << " refused";
    }
    EXPECT_GT(points, 100);
    EXPECT_GT(refused, 0);
  }
}

// A start that cannot read says so; it neither invents an empty log nor loses anything.
TEST(SqliteFaults, AFailedReadStopsTheStart) {
  TempFolder folder(/*in_memory=*/true);
  FaultVfs vfs;
  vfs.SkipSync();
  Workload workload;
  {
    auto opened = SqliteLog::Open(OptionsFor(folder, vfs.name()));
    ASSERT_TRUE(opened.ok());
    LogClient log(*std::move(opened));
    ASSERT_TRUE(log.Recover().ok());
    workload.Run(log);
  }
  int points = 0;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE("read " + std::to_string(n));
    std::atomic<bool> fired = false;
    const std::uint64_t from = vfs.Count(Kind::kRead);
    vfs.SetPlan([&fired, n, from](const DiskCall& call) {
      if (call.kind != Kind::kRead || call.number != from + n) return DiskFault{};
      fired = true;
      return DiskFault{.code = SQLITE_IOERR_READ};
    });
    auto opened = SqliteLog::Open(OptionsFor(folder, vfs.name()));
    Status status = opened.status();
    if (opened.ok()) {
      LogClient log(*std::move(opened));
      status = log.Recover();
      vfs.SetPlan(nullptr);
      if (status.ok() && fired) {  // on the log's own thread, right after the start
        status = log.Find("g1").status();
        EXPECT_EQ(status.code(), Code::kUnavailable);
      } else if (status.ok()) {
        workload.Check(log);
      }
    }
    vfs.SetPlan(nullptr);
    if (!fired) break;
    ++points;
    EXPECT_FALSE(status.ok());
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(points, 10);
}

// At the moment of each callback, and when Recover returns, no write to any file of the log waits for its sync.
TEST(SqliteFaults, NothingIsReportedBeforeItIsSynchronised) {
  TempFolder folder(/*in_memory=*/true);
  FaultVfs vfs;
  vfs.SkipSync();
  std::mutex mutex;
  std::map<std::string, int> unsynced;
  vfs.SetPlan([&](const DiskCall& call) {
    const std::lock_guard lock(mutex);
    if (call.kind == Kind::kWrite) ++unsynced[call.path];
    if (call.kind == Kind::kSync) unsynced.erase(call.path);
    return DiskFault{};
  });
  const auto expect_synchronised = [&](const std::string& when) {
    const std::lock_guard lock(mutex);
    for (const auto& [path, writes] : unsynced) {
      ADD_FAILURE() << when << ": " << writes << " writes to " << path << " wait for a sync";
    }
  };
  for (std::uint64_t life = 1; life <= 2; ++life) {
    auto opened = SqliteLog::Open(OptionsFor(folder, vfs.name()));
    ASSERT_TRUE(opened.ok());
    Log& log = *opened.value();
    ASSERT_TRUE(log.Recover([](const LiveRow&) { return OkStatus(); }).ok());
    expect_synchronised("after Recover");
    std::promise<void> done;
    for (std::uint64_t serial = 100 * life; serial < 100 * life + 50; ++serial) {
      log.Append(Batch(Begin(serial, "g" + std::to_string(serial))),
                 [&, serial](const AppendResult& result) {
                   EXPECT_TRUE(result.status.ok());
                   expect_synchronised("at serial " + std::to_string(serial));
                   if (serial == 100 * life + 49) done.set_value();
                 });
    }
    done.get_future().wait();
  }
}

}  // namespace
}  // namespace assent::log
