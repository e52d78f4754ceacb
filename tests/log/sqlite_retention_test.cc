#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using std::chrono::milliseconds;

class Retention : public testing::Test {
 protected:
  void Start(SqliteOptions options) {
    client_.reset();
    options.path = folder_.File("assent.db");
    options.reserve_bytes = 0;
    options.retention_interval = milliseconds(1);
    options.unix_now_ms = [this] { return now_ms_.load(); };
    auto opened = SqliteLog::Open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    client_ = std::make_unique<LogClient>(*std::move(opened));
    const Status recovered = client_->Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.ToString();
  }

  static std::string Gid(std::uint64_t serial) { return "g" + std::to_string(serial); }

  void Finish(std::uint64_t serial, std::int64_t at_ms, std::uint8_t outcome = 1) {
    const Status status =
        client_
            ->Append(Batch(Begin(serial, Gid(serial)), End(serial, 2, Gid(serial), outcome, at_ms)))
            .status;
    ASSERT_TRUE(status.ok()) << status.ToString();
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
  std::atomic<std::int64_t> now_ms_{1'000'000};
  std::unique_ptr<LogClient> client_;
};

TEST_F(Retention, RemovesByAgeWhileIdle) {
  Start({.retention_age = milliseconds(1000), .retention_bytes = 0});
  for (std::uint64_t serial = 1; serial <= 2000; ++serial) {
    Finish(serial, serial <= 1500 ? 1'000'000 : 1'000'500);
  }
  ASSERT_TRUE(client_->Append(Batch(Begin(3000, "live"))).status.ok());
  EXPECT_EQ(client_->log().GetStats().finished_rows, 2000u);
  now_ms_ = 1'001'000;  // not yet: exactly as old as allowed
  EXPECT_TRUE(Kept(1));
  now_ms_ = 1'001'001;
  ASSERT_TRUE(AwaitFinishedRows(500));
  EXPECT_FALSE(Kept(1));
  EXPECT_FALSE(Kept(1500));
  EXPECT_TRUE(Kept(1501));
  now_ms_ = 9'000'000;
  ASSERT_TRUE(AwaitFinishedRows(0));
  Start({});  // everything is checked at a start
  EXPECT_EQ(client_->replayed().size(), 1u);
}

TEST_F(Retention, RemovesByAgeWhileBusy) {
  Start({.retention_age = milliseconds(10), .retention_bytes = 0});
  for (std::uint64_t serial = 1; serial <= 3000; ++serial) {
    Finish(serial, now_ms_);
    ++now_ms_;
  }
  EXPECT_LT(client_->log().GetStats().finished_rows, 1500u);
}

// A transaction that took long has a low serial and is young: it stays, and does not hide the old ones behind it.
TEST_F(Retention, AYoungRowWithALowSerialStays) {
  Start({.retention_age = milliseconds(1000), .retention_bytes = 0});
  ASSERT_TRUE(client_->Append(Batch(Begin(1, Gid(1)))).status.ok());
  for (std::uint64_t serial = 2; serial <= 100; ++serial) Finish(serial, 1'000'000);
  now_ms_ = 1'002'000;
  ASSERT_TRUE(AwaitFinishedRows(0));
  // It ends only now, behind where retention has looked.
  ASSERT_TRUE(client_->Append(Batch(End(1, 2, Gid(1), 1, 1'002'000))).status.ok());
  for (std::uint64_t serial = 101; serial <= 200; ++serial) Finish(serial, 1'000'000);
  ASSERT_TRUE(AwaitFinishedRows(1));
  EXPECT_TRUE(Kept(1));
  now_ms_ = 1'004'000;
  ASSERT_TRUE(AwaitFinishedRows(0));
}

TEST_F(Retention, APinnedOutcomeStaysUntilForgotten) {
  Start({.retention_age = milliseconds(1), .retention_bytes = 1 << 20, .pinned_outcomes = {7, 8}});
  for (std::uint64_t serial = 1; serial <= 1200; ++serial) {
    Finish(serial, 1'000'000, serial <= 1100 || serial % 10 == 0 ? 7 : 1);
  }
  now_ms_ = 9'000'000;
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
  // 22 MB went through. Over the limit: what is written between two looks, and the WAL with a checkpoint's worth.
  EXPECT_LT(most, kLimit + (3 << 20) + 1000 * 4120 + (1 << 20));
  EXPECT_TRUE(Kept(20'000));
  EXPECT_FALSE(Kept(1));
  const std::uint64_t kept = client_->log().GetStats().finished_rows;
  EXPECT_GT(kept, 2000u);
  EXPECT_TRUE(Kept(20'000 - kept + 1)) << "not the oldest were removed";
  client_.reset();
  Start({.retention_age = milliseconds(0), .retention_bytes = 0});
  EXPECT_EQ(client_->recovered().finished_rows, kept);
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
