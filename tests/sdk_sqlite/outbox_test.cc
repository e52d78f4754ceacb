// The outbox in SQLite: the suite over a user's own connection, and Publish in handlers.

#include <sqlite3.h>

#include <assent/outbox_sqlite.h>

#include "tests/sdk/outbox_suite.h"
#include "tests/sdk_sqlite/store_fixture.h"

namespace assent::sqlite::test {
namespace {

using assent::test::Order;
using assent::test::OutboxHarness;
using assent::test::OutboxSuite;

class Harness final : public OutboxHarness {
 public:
  Harness() : path_(dir_.path() + "/orders.db"), outsider_(path_) {
    EXPECT_EQ(sqlite3_open(path_.c_str(), &db_), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db_, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_busy_timeout(db_, 10'000);
    EXPECT_EQ(Outbox().CreateTable(db_).ToString(), "OK");
  }
  ~Harness() override { sqlite3_close(db_); }

  std::unique_ptr<OutboxTable> Table() override {
    return OpenOutboxTable({.path = path_, .busy_timeout = std::chrono::milliseconds(200)});
  }
  Status Publish(const Transaction& transaction, const PublishOptions& options, End end,
                 const OutboxOptions& outbox) override {
    const Outbox out(outbox);
    if (end == End::kNone) return out.Publish(db_, transaction, options);
    EXPECT_EQ(sqlite3_exec(db_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
    const Status status = out.Publish(db_, transaction, options);
    const char* const sql = end == End::kCommit ? "COMMIT" : "ROLLBACK";
    EXPECT_EQ(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    return status;
  }
  std::string Sql(const std::string& sql) override {
    std::string result = outsider_.Run(sql);
    while (result.find("database is locked") != std::string::npos) result = outsider_.Run(sql);
    return result;
  }
  std::shared_ptr<void> Lock() override {
    outsider_.Run("BEGIN IMMEDIATE");
    return std::shared_ptr<void>(this, [this](void*) { outsider_.Run("COMMIT"); });
  }

 private:
  assent::test::TempDir dir_;
  const std::string path_;
  Outsider outsider_;
  sqlite3* db_ = nullptr;
};

std::unique_ptr<OutboxHarness> Make() { return std::make_unique<Harness>(); }

INSTANTIATE_TEST_SUITE_P(Sqlite, OutboxSuite, ::testing::Values(&Make));

class OutboxInHandlersTest : public StoreTest {
 protected:
  // The action "act" publishes under its payload, and answers as `reply` says.
  void OpenPublishing(OutboxOptions options, Reply reply) {
    const Outbox outbox(options);
    Options store = MakeOptions("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY)");
    store.setup = [outbox, inner = store.setup](Db& db) {
      inner(db);
      outbox.CreateTable(db);
    };
    const DbHandler act = [this, outbox, reply](Db& db, const Call& call) {
      said_ = outbox.Publish(db, Order(call.payload));
      return reply;
    };
    const DbHandler nothing = [](Db&, const Call&) { return Reply::Done(); };
    Open(std::move(store), [&](Store& to) {
      to.Tcc("act", {act, nothing, nothing});
      to.TwoPhase("act", act);
      to.AutoSaga("auto", act);
    });
  }
  std::string Rows() { return Sql("SELECT count(*) FROM assent_outbox"); }

  Status said_;
};

TEST_F(OutboxInHandlersTest, ItIsOfTheHandlersLocalTransaction) {
  OpenPublishing({}, Reply::Done());
  EXPECT_EQ(Ask(store(), Branch{.payload = "p1"}.To(Operation::kTry)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Sql("SELECT gid || kind || due_unix_ms FROM assent_outbox"), "p110");
  // The barrier has it: once.
  EXPECT_EQ(Ask(store(), Branch{.payload = "p1"}.To(Operation::kTry)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(OutboxInHandlersTest, ARefusalPublishesNothing) {
  OpenPublishing({}, Reply::Refused("no"));
  EXPECT_EQ(Ask(store(), Branch{.payload = "p1"}.To(Operation::kTry)).kind, Reply::Kind::kRefused);
  EXPECT_TRUE(said_.ok());
  EXPECT_EQ(Rows(), "0");
}

TEST_F(OutboxInHandlersTest, WhatCannotBePublishedIsABusinessNo) {
  OpenPublishing({}, Reply::Done());
  const Reply reply = Ask(store(), Branch{.payload = "not a gid"}.To(Operation::kTry));
  EXPECT_EQ(reply.kind, Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kInvalidArgument);
  ASSERT_EQ(Ask(store(), Branch{"g2", "b", Protocol::kTcc, "act", "p1"}.To(Operation::kTry)).kind,
            Reply::Kind::kDone);
  EXPECT_EQ(Ask(store(), Branch{"g3", "b", Protocol::kTcc, "act", "p1"}.To(Operation::kTry)).kind,
            Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kAlreadyExists);
}

TEST_F(OutboxInHandlersTest, AFullOutboxIsRetryLater) {
  OpenPublishing({.max_waiting_count = 1}, Reply::Done());
  ASSERT_EQ(Ask(store(), Branch{"g1", "b", Protocol::kTcc, "act", "p1"}.To(Operation::kTry)).kind,
            Reply::Kind::kDone);
  OpenPublishing({.max_waiting_count = 1}, Reply::Done());
  EXPECT_EQ(Ask(store(), Branch{"g2", "b", Protocol::kTcc, "act", "p2"}.To(Operation::kTry)).kind,
            Reply::Kind::kRetryLater);
  EXPECT_EQ(said_.code(), Code::kResourceExhausted);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(OutboxInHandlersTest, WhatIsRecordedCannotPublish) {
  OpenPublishing({}, Reply::Done());
  const Branch two{"g1", "b", Protocol::kTwoPhase, "act", "p1"};
  EXPECT_EQ(Ask(store(), two.To(Operation::kPrepare)).kind, Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kFailedPrecondition);
  const Branch saga{"g2", "b", Protocol::kSaga, "auto", "p1"};
  EXPECT_EQ(Ask(store(), saga.To(Operation::kAction)).kind, Reply::Kind::kRefused);
  EXPECT_EQ(Rows(), "0");
}

TEST_F(OutboxInHandlersTest, AWriteOfTheServicesOwnPublishesToo) {
  const Outbox outbox;
  OpenPublishing({}, Reply::Done());
  EXPECT_TRUE(store().Local([&](Db& db) { return outbox.Publish(db, Order("p1")); }).ok());
  EXPECT_EQ(Rows(), "1");
}

}  // namespace
}  // namespace assent::sqlite::test
