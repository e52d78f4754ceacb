#pragma once

// A log in SQLite with transactions in every state, an empty PostgreSQL, and what a start finds on
// either side.

#include <algorithm>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/log/migrate/migrate.h"
#include "coordinator/log/postgresql/postgres_log.h"
#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/support/postgresql.h"

namespace assent::log {

using test::PostgresServer;

struct NoEvents final : SlotEvents {
  void OnAssigned(const std::vector<SlotGrant>&) override {}
  void OnWanted(const std::vector<Slot>&) override {}
  void OnFenced(const Status&) override {}
};

// What a coordinator finds in a log, without what a move may change (serials).
struct Image {
  Recovered recovered;
  std::vector<std::string> live;      // in the order of their serials
  std::vector<std::string> finished;  // likewise
  std::map<std::string, Found> found;
};

inline std::string Words(const LiveRow& row) {
  return row.gid + " v" + std::to_string(row.version) + " " + row.spec + " " + row.state;
}
inline std::string Words(const FinishedRow& row) {
  return row.gid + " o" + std::to_string(row.outcome) + " at " +
         std::to_string(row.finished_unix_ms) + " " + row.spec + " " + row.state;
}

class MigrateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/assent-migrate-XXXXXX";
    ASSERT_NE(nullptr, mkdtemp(folder));
    folder_ = folder;
    ASSERT_TRUE(PostgresServer::Installed().ok());
    server_ = &PostgresServer::OfThisBinary();
    database_ = server_->NewDatabase();
    options_.sqlite_path = folder_ + "/assent.db";
    options_.postgres.url = server_->Url(database_);
    options_.patience = std::chrono::milliseconds(300);
  }
  void TearDown() override { (void)std::system(("rm -rf " + folder_).c_str()); }

  std::unique_ptr<Log> Sqlite() const {
    SqliteOptions options;
    options.path = options_.sqlite_path;
    options.reserve_bytes = 0;
    auto log = SqliteLog::Open(options);
    EXPECT_TRUE(log.ok()) << log.status().ToString();
    return log.ok() ? *std::move(log) : nullptr;
  }
  Status SqliteRefuses() const {
    SqliteOptions options;
    options.path = options_.sqlite_path;
    return SqliteLog::Open(options).status();
  }
  PostgresLogOptions Member(const std::string& node = "a") const {
    PostgresLogOptions options;
    options.connection = options_.postgres;
    options.node = node;
    options.address = node + ":7400";
    return options;
  }
  std::string Sql(const std::string& sql) const {
    return server_->Sql(database_, "SET search_path = assent; " + sql);
  }

  static void Append(Log& log, std::vector<Entry> batch) {
    std::promise<AppendResult> done;
    log.Append(std::move(batch), [&](AppendResult result) { done.set_value(std::move(result)); });
    const AppendResult result = done.get_future().get();
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
    ASSERT_TRUE(result.refused.empty());
  }
  static Entry Of(EntryKind kind, const std::string& gid, std::uint64_t serial, Slot slots,
                  std::uint64_t version) {
    Entry entry;
    entry.kind = kind;
    entry.serial = serial;
    entry.version = version;
    entry.slot = SlotOf(gid, slots);
    entry.gid = gid;
    entry.spec = "spec of " + gid + std::string(1, '\0') + "\xff";
    entry.state = "state " + std::to_string(version) + " of " + gid;
    entry.outcome = static_cast<std::uint8_t>(1 + serial % 2 + (serial % 3 == 0 ? 16 : 0));
    entry.finished_unix_ms = 1'800'000'000'000 + static_cast<std::int64_t>(serial % 1000);
    return entry;
  }
  // Transactions with these numbers begin; every third ends, every other third is changed.
  static void Fill(Log& log, Slot slots, int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string gid = "gid-" + std::to_string(i);
      const std::uint64_t serial = log.NextSerial(SlotOf(gid, slots));
      Append(log, {Of(EntryKind::kBegin, gid, serial, slots, 1)});
      if (i % 3 == 1) Append(log, {Of(EntryKind::kUpdate, gid, serial, slots, 2)});
      if (i % 3 == 2) Append(log, {Of(EntryKind::kEnd, gid, serial, slots, 2)});
    }
  }

  // As a start finds it.
  static Image Look(Log& log, int gids) {
    Image image;
    std::map<std::uint64_t, std::string> live;
    NoEvents events;
    auto recovered = Recover(log, events, [&](const LiveRow& row) {
      live[row.serial] = Words(row);
      return OkStatus();
    });
    EXPECT_TRUE(recovered.ok()) << recovered.status().ToString();
    if (!recovered.ok()) return image;
    image.recovered = *recovered;
    for (const auto& [serial, words] : live) image.live.push_back(words);
    for (std::uint64_t before = 0;;) {
      std::promise<Result<std::vector<FinishedRow>>> done;
      log.Scan(before, 7, [&](auto rows) { done.set_value(std::move(rows)); });
      const auto rows = done.get_future().get();
      EXPECT_TRUE(rows.ok()) << rows.status().ToString();
      if (!rows.ok() || rows->empty()) break;
      before = rows->back().serial;
      for (const FinishedRow& row : *rows)
        image.finished.insert(image.finished.begin(), Words(row));
    }
    for (int i = 0; i <= gids; ++i) {
      const std::string gid = "gid-" + std::to_string(i);
      std::promise<Result<Found>> done;
      log.Find(gid, [&](auto found) { done.set_value(std::move(found)); });
      auto found = done.get_future().get();
      EXPECT_TRUE(found.ok()) << found.status().ToString();
      if (found.ok()) image.found[gid] = *std::move(found);
    }
    return image;
  }

  // What a participant that prepared before is told rests on this: the same log, the same rows, and
  // every epoch in which something may have begun.
  static void ExpectSame(const Image& before, const Image& after) {
    EXPECT_EQ(before.recovered.log_id, after.recovered.log_id);
    EXPECT_EQ(before.live, after.live);
    EXPECT_EQ(before.finished, after.finished);
    EXPECT_LT(before.recovered.epoch, after.recovered.epoch);
    ASSERT_EQ(before.found.size(), after.found.size());
    for (const auto& [gid, found] : before.found) {
      const Found& now = after.found.at(gid);
      EXPECT_EQ(found.what, now.what) << gid;
      EXPECT_EQ(Words(found.row), Words(now.row)) << gid;
      ASSERT_NE(nullptr, now.epochs);
      for (const std::uint64_t epoch : *found.epochs) {
        EXPECT_TRUE(std::binary_search(now.epochs->begin(), now.epochs->end(), epoch)) << epoch;
      }
    }
  }

  // Three starts, forty transactions.
  Image FilledSqlite() {
    Image image;
    for (int start = 0; start < 3; ++start) {
      const auto log = Sqlite();
      if (log == nullptr) return image;
      image = Look(*log, 40);
      Fill(*log, 1, 20 * start, 20 * start + (start == 2 ? 0 : 20));
    }
    return image;
  }

  std::string folder_;
  PostgresServer* server_ = nullptr;
  std::string database_;
  MigrateOptions options_;
};

}  // namespace assent::log
