// The database dies under load, again and again: what was acknowledged is there, each row in a
// version that was written, and nobody had to do anything about it.

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/thread_safety.h>

#include "coordinator/log/queued_log.h"
#include "tests/log/log_rig.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

using std::chrono_literals::operator""s;
using test::PostgresServer;
using test::WaitUntil;

// Transactions that begin, change and end, each step behind the answer to the one before; many at
// once.
class Load {
 public:
  explicit Load(Log& log) : log_(log) {}

  void Begin(int at_once) {
    for (int i = 0; i < at_once; ++i) Next();
  }
  // No more begin; true once all that had begun have their answers.
  bool Ended() {
    ending_ = true;
    return in_flight_ == 0;
  }
  int acknowledged() const { return acknowledged_; }
  int failed() const { return failed_; }
  // Serial -> the last version that was acknowledged; the third is the end.
  std::map<std::uint64_t, std::uint64_t> versions() const {
    const MutexLock lock(mutex_);
    return versions_;
  }

 private:
  void Next() {
    if (ending_) return;
    ++in_flight_;
    Step(log_.NextSerial(0), 1);
  }
  void Step(std::uint64_t serial, std::uint64_t version) {
    const std::string gid = "g" + std::to_string(serial);
    std::vector<Entry> batch;
    if (version == 1) batch = Batch(log::Begin(serial, gid));
    if (version == 2) batch = Batch(Update(serial, 2, gid, "x"));
    if (version == 3) batch = Batch(End(serial, 3, gid));
    log_.Append(std::move(batch), [this, serial, version](const AppendResult& result) {
      if (!result.status.ok() || !result.refused.empty()) {
        ++failed_;
        --in_flight_;
        return;
      }
      ++acknowledged_;
      {
        const MutexLock lock(mutex_);
        versions_[serial] = version;
      }
      if (version < 3) return Step(serial, version + 1);
      --in_flight_;
      Next();
    });
  }

  Log& log_;
  std::atomic<bool> ending_ = false;
  std::atomic<int> in_flight_ = 0;
  std::atomic<int> acknowledged_ = 0;
  std::atomic<int> failed_ = 0;
  mutable Mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> versions_ ASSENT_GUARDED_BY(mutex_);
};

TEST(PostgresKill, NothingAcknowledgedIsLost) {
  PostgresServer server;
  ASSERT_TRUE(server.Start().ok());
  PostgresTestLog place(server);
  PostgresStoreOptions options = place.Member();
  std::atomic<int> committed = 0;
  std::atomic<int> never = 0;
  options.lane.on_settled = [&](bool was) { ++(was ? committed : never); };
  std::map<std::uint64_t, std::uint64_t> versions;
  {
    LogClient client(std::make_unique<ThreadedLog>(std::make_unique<PostgresRowStore>(options),
                                                   QueuedLogOptions()));
    ASSERT_TRUE(client.Recover().ok());
    Load load(client.log());
    load.Begin(50);
    for (int kills = 0; kills < 6; ++kills) {
      const int before = load.acknowledged();
      ASSERT_TRUE(WaitUntil([&] { return load.acknowledged() > before + 500; }, 60s));
      server.Kill();
      const Status started = server.Start();
      ASSERT_TRUE(started.ok()) << started.ToString();
    }
    ASSERT_TRUE(WaitUntil([&] { return load.Ended(); }, 60s));
    EXPECT_EQ(load.failed(), 0);
    EXPECT_FALSE(client.log().GetStats().poisoned);
    versions = load.versions();
  }
  std::printf("%zu transactions; settled: %d committed, %d not\n", versions.size(),
              committed.load(), never.load());
  EXPECT_GT(committed + never, 0);
  // Every one of them has ended, and been acknowledged.
  for (const auto& [serial, version] : versions) EXPECT_EQ(version, 3u) << serial;
  EXPECT_EQ(place.Sql("SELECT count(*) FROM live"), "0");
  EXPECT_EQ(place.Sql("SELECT count(*) FROM finished"), std::to_string(versions.size()));
  LogClient again(std::make_unique<ThreadedLog>(place.Open(), QueuedLogOptions()));
  ASSERT_TRUE(again.Recover().ok());
  for (std::uint64_t before = 0;;) {
    const std::vector<FinishedRow> rows = again.Scan(before, 1000).value();
    if (rows.empty()) break;
    for (const FinishedRow& row : rows) EXPECT_EQ(versions.erase(row.serial), 1u);
    before = rows.back().serial;
  }
  EXPECT_TRUE(versions.empty());
}

}  // namespace
}  // namespace assent::log
