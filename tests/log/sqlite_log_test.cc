// What the SQLite log does beyond conformance: grouping, its queue of reads, its end, its options.

#include "coordinator/log/sqlite/sqlite_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/log/forged_row.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

using testing::HasSubstr;

class SqliteLogTest : public testing::Test {
 protected:
  SqliteLogTest() {
    options_.path = folder_.File("assent.db");
    options_.reserve_bytes = 0;
    options_.unix_now_ms = [] { return std::int64_t{2000}; };
  }

  std::unique_ptr<LogClient> Start() {
    auto opened = SqliteLog::Open(options_);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    auto log = std::make_unique<LogClient>(*std::move(opened));
    EXPECT_TRUE(log->Recover().ok());
    return log;
  }

  // Holds the log's thread in a callback until the returned promise is set.
  std::promise<void> Hold(LogClient& log) {
    std::promise<void> release;
    std::promise<void> held;
    log.log().Find("nobody", [&held, released = release.get_future().share()](auto) {
      held.set_value();
      released.wait();
    });
    held.get_future().wait();
    return release;
  }

  TempFolder folder_{/*in_memory=*/true};
  SqliteOptions options_;
};

TEST_F(SqliteLogTest, WhatHasQueuedIsOneCommit) {
  std::vector<CommitReport> reports;
  options_.on_commit = [&](const CommitReport& report) { reports.push_back(report); };
  auto log = Start();
  std::promise<void> release = Hold(*log);
  std::vector<std::future<AppendResult>> results;
  for (std::uint64_t serial = 1; serial <= 100; ++serial) {
    const std::string gid = "g" + std::to_string(serial);
    results.push_back(log->AppendLater(Batch(Begin(serial, gid))));
    results.push_back(log->AppendLater(Batch(Update(serial, 2, gid, "x"), End(serial, 3, gid))));
  }
  release.set_value();
  for (auto& result : results) EXPECT_TRUE(result.get().status.ok());
  EXPECT_EQ(log->log().GetStats().commits, 1u);
  EXPECT_EQ(log->log().GetStats().records, 300u);
  log.reset();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].batches, 200u);
  EXPECT_EQ(reports[0].entries, 300u);
  EXPECT_GE(reports[0].total, reports[0].durable);
}

// No build writes it; whoever did stopped the log as soon as the unfinished one ended, at every
// start.
TEST_F(SqliteLogTest, AnEndWhoseSerialIsTakenIsSetAsideAndNothingElse) {
  Start()->Append(Batch(Begin(1, "a"), Begin(2, "b"), End(2, 2, "b")));
  GiveFinishedTheSerialOfLive(options_.path);
  for (std::uint64_t version = 2; version <= 3; ++version) {
    auto log = Start();
    ASSERT_EQ(log->replayed().size(), 1u);
    EXPECT_EQ(log->replayed()[0].version, version - 1);
    const std::uint64_t other = version + 10;
    const AppendResult result =
        log->Append(Batch(End(1, version, "a"), Begin(other, "c" + std::to_string(other)),
                          End(other, 2, "c" + std::to_string(other))));
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    ASSERT_EQ(result.refused.size(), 1u);
    EXPECT_EQ(result.refused[0].index, 0u);
    EXPECT_EQ(result.refused[0].status.code(), Code::kAlreadyExists);
    EXPECT_THAT(result.refused[0].status.message(), HasSubstr("a finished one has this serial"));
    EXPECT_EQ(log->Find("b").value().serial, 1u);
  }
  // A version that is not there is a second writer's, whatever else is taken.
  const Status stale = Start()->Append(Batch(End(1, 9, "a"))).status;
  EXPECT_EQ(stale.code(), Code::kUnknownOutcome) << stale.ToString();
  EXPECT_THAT(stale.message(), HasSubstr("there is no such row"));
  // Once a person has forgotten the other, it ends.
  auto log = Start();
  EXPECT_TRUE(log->Append(Batch(Forget("b"))).refused.empty());
  EXPECT_TRUE(log->Append(Batch(End(1, 4, "a"))).refused.empty());
  EXPECT_EQ(log->Find("a").value().serial, 1u);
}

// An open file that has no name any more takes every commit, and the next start finds none of them.
TEST_F(SqliteLogTest, AFileThatWasDeletedOrReplacedEndsTheLog) {
  const auto remove = [](const std::string& path) { std::filesystem::remove(path); };
  const auto replace = [](const std::string& path) {
    std::filesystem::copy_file(path, path + ".copy");
    std::filesystem::rename(path + ".copy", path);
  };
  for (const std::string name : {"assent.db", "assent.db-wal"}) {
    for (const std::function<void(const std::string&)>& change :
         {std::function<void(const std::string&)>(remove),
          std::function<void(const std::string&)>(replace)}) {
      TempFolder folder(/*in_memory=*/true);
      options_.path = folder.File("assent.db");
      auto log = Start();
      EXPECT_TRUE(log->Append(Batch(Begin(1, "kept"))).status.ok());
      change(folder.File(name));
      const Status lost = log->Append(Batch(Begin(2, "lost"))).status;
      EXPECT_EQ(lost.code(), Code::kUnknownOutcome) << name;
      EXPECT_THAT(lost.message(), HasSubstr(name + ": deleted or replaced"));
      EXPECT_EQ(log->Append(Batch(Begin(3, "later"))).status.code(), Code::kUnavailable) << name;
    }
  }
}

TEST_F(SqliteLogTest, AGroupIsBoundedButNeverSplitsABatch) {
  options_.max_group_entries = 10;
  std::vector<std::size_t> sizes;
  options_.on_commit = [&](const CommitReport& report) { sizes.push_back(report.entries); };
  auto log = Start();
  std::promise<void> release = Hold(*log);
  std::uint64_t serial = 0;
  const auto batch_of = [&](std::size_t entries) {
    std::vector<Entry> batch;
    while (batch.size() < entries) {
      ++serial;
      batch.push_back(Begin(serial, "g" + std::to_string(serial)));
    }
    return batch;
  };
  std::vector<std::future<AppendResult>> results;
  for (const std::size_t entries : {4, 4, 4, 25, 1, 9, 1}) {
    results.push_back(log->AppendLater(batch_of(entries)));
  }
  release.set_value();
  for (auto& result : results) EXPECT_TRUE(result.get().status.ok());
  log.reset();
  EXPECT_THAT(sizes, testing::ElementsAre(8, 4, 25, 10, 1));
}

TEST_F(SqliteLogTest, TooManyReadsAreRefused) {
  options_.max_queued_reads = 3;
  auto log = Start();
  std::promise<void> release = Hold(*log);
  std::vector<std::future<Code>> codes;
  for (int i = 0; i < 5; ++i) {
    auto promise = std::make_shared<std::promise<Code>>();
    codes.push_back(promise->get_future());
    log->log().Find(
        "x", [promise](const Result<Found>& row) { promise->set_value(row.status().code()); });
  }
  release.set_value();
  std::vector<Code> answers;
  for (auto& code : codes) answers.push_back(code.get());
  EXPECT_THAT(answers, testing::ElementsAre(Code::kOk, Code::kOk, Code::kOk,
                                            Code::kResourceExhausted, Code::kResourceExhausted));
  EXPECT_EQ(log->Find("x").status().code(), Code::kNotFound);
}

// A reaction to the last answers, while the log is already ending, is written too.
TEST_F(SqliteLogTest, WhatIsAppendedFromTheLastCallbackIsWritten) {
  auto log = Start();
  std::promise<void> release = Hold(*log);
  Status second = Internal("not answered");
  Log& raw = log->log();
  raw.Append(Batch(Begin(1, "a")), [&](const AppendResult&) {
    raw.Append(Batch(Begin(2, "b")), [&](const AppendResult& result) { second = result.status; });
  });
  std::thread ending([&log] { log.reset(); });
  release.set_value();
  ending.join();
  EXPECT_TRUE(second.ok()) << second.ToString();
  EXPECT_EQ(Start()->replayed().size(), 2u);
}

// A page ends early rather than hold hundreds of megabytes; it always has a row if there is one.
TEST_F(SqliteLogTest, APageOfLargeRowsIsShort) {
  auto log = Start();
  for (std::uint64_t serial = 1; serial <= 12; ++serial) {
    const std::string gid = "g" + std::to_string(serial);
    Entry end = End(serial, 2, gid);
    end.spec.assign(3 << 20, 'x');
    ASSERT_TRUE(log->Append(Batch(Begin(serial, gid), std::move(end))).status.ok());
  }
  std::size_t rows = 0;
  std::size_t pages = 0;
  std::uint64_t before = 0;
  for (;;) {
    const auto page = log->Scan(before, 1000);
    ASSERT_TRUE(page.ok());
    if (page.value().empty()) break;
    rows += page.value().size();
    before = page.value().back().serial;
    ++pages;
  }
  EXPECT_EQ(rows, 12u);
  EXPECT_EQ(pages, 4u);
}

// An orderly end, and after a while an idle log too, leaves nothing in the WAL.
TEST_F(SqliteLogTest, AnIdleLogEmptiesItsWal) {
  options_.retention_interval = std::chrono::milliseconds(1);
  auto log = Start();
  ASSERT_TRUE(log->Append(Batch(Begin(1, "a"))).status.ok());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::filesystem::file_size(options_.path + "-wal") > 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  ASSERT_TRUE(log->Append(Batch(Begin(2, "b"))).status.ok());
  log.reset();
  EXPECT_EQ(std::filesystem::file_size(options_.path + "-wal"), 0u);
}

TEST_F(SqliteLogTest, TheFileIsForItsOwnerOnly) {
  Start();
  const auto others = std::filesystem::perms::group_all | std::filesystem::perms::others_all;
  for (const char* suffix : {"", "-wal", "-state"}) {
    const auto mode = std::filesystem::status(options_.path + suffix).permissions();
    EXPECT_EQ(mode & others, std::filesystem::perms::none) << suffix;
  }
}

TEST_F(SqliteLogTest, OptionsOutOfRangeAreNamed) {
  const std::vector<std::pair<const char*, std::function<void(SqliteOptions&)>>> wrong = {
      {"path", [](SqliteOptions& o) { o.path = ""; }},
      {"retention_age", [](SqliteOptions& o) { o.retention_age = std::chrono::hours(-1); }},
      {"retention_bytes", [](SqliteOptions& o) { o.retention_bytes = 1000; }},
      {"retention_interval", [](SqliteOptions& o) { o.retention_interval = {}; }},
      {"reserve_bytes", [](SqliteOptions& o) { o.reserve_bytes = 1 << 20; }},
      {"space_probe_interval", [](SqliteOptions& o) { o.space_probe_interval = {}; }},
      {"max_queued_entries", [](SqliteOptions& o) { o.max_queued_entries = 0; }},
      {"max_queued_bytes", [](SqliteOptions& o) { o.max_queued_bytes = 0; }},
      {"max_queued_reads", [](SqliteOptions& o) { o.max_queued_reads = 0; }},
      {"max_group_entries", [](SqliteOptions& o) { o.max_group_entries = 0; }},
      {"max_group_bytes", [](SqliteOptions& o) { o.max_group_bytes = 0; }},
      {"checkpoint_pages", [](SqliteOptions& o) { o.checkpoint_pages = 0; }},
      {"cache_bytes", [](SqliteOptions& o) { o.cache_bytes = 0; }},
  };
  EXPECT_TRUE(options_.Validate().ok());
  for (const auto& [field, spoil] : wrong) {
    SqliteOptions options = options_;
    spoil(options);
    const Status status = SqliteLog::Open(options).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << field;
    EXPECT_THAT(status.message(), HasSubstr(std::string("option ") + field + ":"));
  }
}

}  // namespace
}  // namespace assent::log
