#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/retention_clock.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kDayMs = 24 * 3600 * 1000;

class Retention : public testing::Test {
 protected:
  void Start(SqliteOptions options) {
    client_.reset();
    options.path = folder_.File("assent.db");
    options.reserve_bytes = 0;
    options.retention_interval = milliseconds(1);
    options.unix_now_ms = [this] { return wall_ms_.load(); };
    options.mono_now_ms = [this] { return mono_ms_.load(); };
    options.on_wall_clock_step = [this](milliseconds step) { stepped_ms_ = step.count(); };
    options.on_retention = [this](const RetentionReport& report) {
      ++reports_;
      reported_ += report.by_age + report.by_size;
    };
    auto opened = SqliteLog::Open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    client_ = std::make_unique<LogClient>(*std::move(opened));
    const Status recovered = client_->Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.ToString();
  }

  static std::string Gid(std::uint64_t serial) { return "g" + std::to_string(serial); }

  void Finish(std::uint64_t serial, std::uint8_t outcome = 1) {
    const Status status = client_
                              ->Append(Batch(Begin(serial, Gid(serial)),
                                             End(serial, 2, Gid(serial), outcome, wall_ms_)))
                              .status;
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  // A commit, after which all that was committed before it has its age from now on; and a look for
  // what is too old.
  void Mark() {
    const Status status = client_->Append(Batch(Begin(next_mark_, "mark"))).status;
    ASSERT_TRUE(status.ok()) << status.ToString();
    ++next_mark_;
  }
  void Pass(std::int64_t ms) {
    mono_ms_ += ms;
    wall_ms_ += ms;
  }

  bool Kept(std::uint64_t serial) { return client_->Find(Gid(serial)).ok(); }

  // Until so many finished rows are left, or ten seconds have passed.
  bool AwaitFinishedRows(std::uint64_t rows) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (client_->log().GetStats().finished_rows != rows) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  TempFolder folder_{/*in_memory=*/true};
  std::atomic<std::int64_t> wall_ms_{1'800'000'000'000};
  std::atomic<std::int64_t> mono_ms_{77'000};
  std::atomic<std::int64_t> stepped_ms_{0};
  std::atomic<std::uint64_t> reports_{0};
  std::atomic<std::uint64_t> reported_{0};
  std::uint64_t next_mark_ = 1'000'000;
  std::unique_ptr<LogClient> client_;
};

TEST_F(Retention, RemovesByAgeWhileIdle) {
  Start({.retention_age = milliseconds(1000), .retention_bytes = 0});
  for (std::uint64_t serial = 1; serial <= 1500; ++serial) Finish(serial);
  Pass(100);
  Mark();
  Pass(500);
  for (std::uint64_t serial = 1501; serial <= 2000; ++serial) Finish(serial);
  Pass(100);
  Mark();
  EXPECT_EQ(client_->log().GetStats().finished_rows, 2000u);
  Pass(399);  // not yet: a millisecond is missing
  Mark();
  EXPECT_TRUE(Kept(1));
  Pass(1);
  ASSERT_TRUE(AwaitFinishedRows(500));
  EXPECT_FALSE(Kept(1));
  EXPECT_FALSE(Kept(1500));
  EXPECT_TRUE(Kept(1501));
  EXPECT_EQ(reports_, 1u) << "announced once, and then every ten minutes";
  Pass(1000);
  ASSERT_TRUE(AwaitFinishedRows(0));
  Start({});  // everything is checked at a start
  EXPECT_EQ(client_->replayed().size(), 3u);
}

TEST_F(Retention, RemovesByAgeWhileBusy) {
  Start({.retention_age = milliseconds(10), .retention_bytes = 0});
  for (std::uint64_t serial = 1; serial <= 3000; ++serial) {
    Finish(serial);
    Pass(1);
  }
  EXPECT_LT(client_->log().GetStats().finished_rows, 1500u);
}

// A clock that was eight days ahead for a second made retention forget everything finished; put
// right, a gid was submitted again and ran again (issue 8, point 2).
TEST_F(Retention, AWallClockThatJumpsRemovesNothing) {
  Start({});
  for (std::uint64_t serial = 1; serial <= 100; ++serial) Finish(serial);
  for (const std::int64_t jump : {8 * kDayMs, -8 * kDayMs, 3650 * kDayMs, -7300 * kDayMs}) {
    SCOPED_TRACE(jump / kDayMs);
    wall_ms_ += jump;
    Pass(2000);
    stepped_ms_ = 0;
    Mark();
    EXPECT_EQ(stepped_ms_, jump);
    Mark();
    EXPECT_EQ(client_->log().GetStats().finished_rows, 100u);
  }
  // And between two lives; that it has gone back is seen by what the life before wrote down.
  for (const std::int64_t jump : {8 * kDayMs, -30 * kDayMs, 3650 * kDayMs}) {
    SCOPED_TRACE(jump / kDayMs);
    wall_ms_ += jump;
    stepped_ms_ = 0;
    Start({});
    Mark();
    Pass(2000);
    Mark();
    EXPECT_EQ(client_->log().GetStats().finished_rows, 100u);
    if (jump < 0) {
      EXPECT_NEAR(static_cast<double>(stepped_ms_), static_cast<double>(jump), 10'000);
    }
  }
  EXPECT_TRUE(Kept(1));
  Pass(7 * kDayMs);
  ASSERT_TRUE(AwaitFinishedRows(0)) << "what has been kept for its time goes";
}

// Age is what the log has run for. While it does not run nothing ages, whatever its clocks begin
// with next time.
TEST_F(Retention, RunTimeGoesOnOverLives) {
  const SqliteOptions options = {.retention_age = milliseconds(10'000), .retention_bytes = 0};
  Start(options);
  Finish(1);
  Pass(50);
  Mark();
  Pass(6000);
  Mark();
  client_.reset();
  mono_ms_ = 5;  // another boot
  wall_ms_ += 400 * kDayMs;
  Start(options);
  Mark();
  EXPECT_TRUE(Kept(1));
  Pass(3000);
  Mark();
  EXPECT_TRUE(Kept(1));
  Pass(1100);  // with what was not marked when the first life ended
  ASSERT_TRUE(AwaitFinishedRows(0));
}

// A shorter age, set at a start, makes a whole history old enough at once: a part of it goes in a
// minute.
TEST_F(Retention, ManyAtOnceGoAPartAMinute) {
  Start({.retention_age = milliseconds(1000), .retention_bytes = 0});
  constexpr std::uint64_t kRows = 3 * RetentionPace::kLeastRows;
  for (std::uint64_t serial = 1; serial <= kRows; serial += 1000) {
    std::vector<Entry> batch;
    for (std::uint64_t s = serial; s < serial + 1000; ++s) {
      batch.push_back(Begin(s, Gid(s)));
      batch.push_back(End(s, 2, Gid(s)));
    }
    ASSERT_TRUE(client_->Append(std::move(batch)).status.ok());
  }
  Start({.retention_age = milliseconds(1000), .retention_bytes = 0});
  Pass(10);
  Mark();
  Pass(1000);  // all of them are old enough
  const std::uint64_t first = kRows - RetentionPace::kLeastRows;
  const auto left = [&] { return client_->log().GetStats().finished_rows; };
  ASSERT_TRUE(AwaitFinishedRows(first - RetentionPace::kLeastRows * 1010 / 60'000)) << left();
  Mark();
  Mark();
  EXPECT_GT(left(), first - 2 * RetentionPace::kLeastRows * 1010 / 60'000);
  EXPECT_GT(reported_, 0u);
  Pass(60'000);
  ASSERT_TRUE(AwaitFinishedRows(left() > 0 ? first - RetentionPace::kLeastRows -
                                                 RetentionPace::kLeastRows * 1010 / 60'000
                                           : 0))
      << left();
}

// A transaction that took long has a low serial and is young: it stays, and does not hide the old
// ones behind it.
TEST_F(Retention, AYoungRowWithALowSerialStays) {
  Start({.retention_age = milliseconds(1000), .retention_bytes = 0});
  ASSERT_TRUE(client_->Append(Batch(Begin(1, Gid(1)))).status.ok());
  for (std::uint64_t serial = 2; serial <= 100; ++serial) Finish(serial);
  Pass(10);
  Mark();
  Pass(1000);
  ASSERT_TRUE(AwaitFinishedRows(0));
  for (std::uint64_t serial = 101; serial <= 200; ++serial) Finish(serial);
  Pass(10);
  Mark();
  Pass(500);
  // It ends only now, behind where retention has looked.
  ASSERT_TRUE(client_->Append(Batch(End(1, 2, Gid(1)))).status.ok());
  Pass(10);
  Mark();
  Pass(500);
  ASSERT_TRUE(AwaitFinishedRows(1));
  EXPECT_TRUE(Kept(1));
  Pass(1000);
  ASSERT_TRUE(AwaitFinishedRows(0));
}

TEST_F(Retention, APinnedOutcomeStaysUntilForgotten) {
  Start({.retention_age = milliseconds(1), .retention_bytes = 1 << 20, .pinned_outcomes = {7, 8}});
  for (std::uint64_t serial = 1; serial <= 1200; ++serial) {
    Finish(serial, serial <= 1100 || serial % 10 == 0 ? 7 : 1);
  }
  Pass(10);
  Mark();
  Pass(1000);
  ASSERT_TRUE(AwaitFinishedRows(1110));
  EXPECT_TRUE(Kept(1));
  EXPECT_FALSE(Kept(1101));
  EXPECT_TRUE(Kept(1110));
  ASSERT_TRUE(client_->Append(Batch(Forget(Gid(1)))).refused.empty());
  EXPECT_FALSE(Kept(1));
}

TEST_F(Retention, TheFileIsBoundedByBytes) {
  constexpr std::uint64_t kLimit = 4 << 20;
  Start({.retention_age = milliseconds(0), .retention_bytes = kLimit});
  std::uint64_t most = 0;
  for (std::uint64_t serial = 1; serial <= 20'000; serial += 50) {
    std::vector<Entry> batch;
    for (std::uint64_t s = serial; s < serial + 50; ++s) {
      Entry begin = Begin(s, Gid(s));
      Entry end = End(s, 2, Gid(s));
      begin.spec = end.spec = std::string(1000, 'x');
      batch.push_back(std::move(begin));
      batch.push_back(std::move(end));
    }
    ASSERT_TRUE(client_->Append(std::move(batch)).status.ok());
    most = std::max(most, client_->log().GetStats().file_bytes);
  }
  // 22 MB went through. Over the limit: what is written between two looks, and the WAL with a
  // checkpoint's worth.
  EXPECT_LT(most, kLimit + (3 << 20) + 1000 * 4120 + (1 << 20));
  EXPECT_TRUE(Kept(20'000));
  EXPECT_FALSE(Kept(1));
  // Until it is closed it goes on removing.
  const std::uint64_t at_most = client_->log().GetStats().finished_rows;
  client_.reset();
  Start({.retention_age = milliseconds(0), .retention_bytes = 0});
  const std::uint64_t kept = client_->recovered().finished_rows;
  EXPECT_LE(kept, at_most);
  EXPECT_GT(kept, 2000u);
  EXPECT_TRUE(Kept(20'000 - kept + 1)) << "not the oldest were removed";
  EXPECT_FALSE(Kept(20'000 - kept));
}

TEST_F(Retention, LargeRowsGoToo) {
  Start({.retention_age = milliseconds(0), .retention_bytes = 4 << 20});
  for (std::uint64_t serial = 1; serial <= 20; ++serial) {
    Entry begin = Begin(serial, Gid(serial));
    Entry end = End(serial, 2, Gid(serial));
    begin.spec = end.spec = std::string(2 << 20, 'x');
    ASSERT_TRUE(client_->Append({std::move(begin), std::move(end)}).status.ok());
  }
  ASSERT_TRUE(AwaitFinishedRows(1));
  EXPECT_TRUE(Kept(20));
}

}  // namespace
}  // namespace assent::log
