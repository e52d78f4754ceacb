// The outbox in SQLite: the suite over a user's own connection, and Publish in handlers.

#include <sqlite3.h>

#include <assent/outbox_sqlite.h>

#include "tests/sdk/check_back_suite.h"
#include "tests/sdk/outbox_suite.h"
#include "tests/sdk_sqlite/store_fixture.h"

namespace assent::sqlite::test {
namespace {

using assent::test::CheckBackHarness;
using assent::test::CheckBackSuite;
using assent::test::Order;
using assent::test::OutboxHarness;
using assent::test::OutboxSuite;

class User {
 public:
  explicit User(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    EXPECT_TRUE(Run("PRAGMA journal_mode=WAL"));
    sqlite3_busy_timeout(db_, 10'000);
  }
  ~User() { sqlite3_close(db_); }
  User(const User&) = delete;
  User& operator=(const User&) = delete;
  sqlite3* raw() { return db_; }
  bool Run(const char* sql) {
    return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
  }

 private:
  sqlite3* db_ = nullptr;
};

class Harness final : public OutboxHarness {
 public:
  Harness() : path_(dir_.path() + "/orders.db"), outsider_(path_), user_(path_) {
    EXPECT_EQ(Outbox().CreateTable(user_.raw()).ToString(), "OK");
  }

  std::unique_ptr<OutboxTable> Table() override {
    return OpenOutboxTable({.path = path_, .busy_timeout = std::chrono::milliseconds(200)});
  }
  Status Publish(const Transaction& transaction, const PublishOptions& options, End end,
                 const OutboxOptions& outbox) override {
    const Outbox out(outbox);
    if (end == End::kNone) return out.Publish(user_.raw(), transaction, options);
    EXPECT_TRUE(user_.Run("BEGIN IMMEDIATE"));
    const Status status = out.Publish(user_.raw(), transaction, options);
    EXPECT_TRUE(user_.Run(end == End::kCommit ? "COMMIT" : "ROLLBACK"));
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
  User user_;
};

std::unique_ptr<OutboxHarness> Make() { return std::make_unique<Harness>(); }

INSTANTIATE_TEST_SUITE_P(Sqlite, OutboxSuite, ::testing::Values(&Make));

class CheckBack final : public CheckBackHarness {
 public:
  CheckBack() {
    Result<std::unique_ptr<Store>> opened = Store::Open({.path = path_});
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(*opened);
    store_->Saga("placed", sqlite::CheckBack({.patience = std::chrono::seconds(10)}));
  }
  Resource& store() override { return *store_; }
  bool Run(const char* sql) override { return user_.Run(sql); }
  Status Enlist(const Transaction& message) override {
    return sqlite::Enlist(user_.raw(), message);
  }
  bool Begin() override { return Run("BEGIN IMMEDIATE"); }

 private:
  assent::test::TempDir dir_;
  const std::string path_ = dir_.path() + "/orders.db";
  User user_{path_};
  std::unique_ptr<Store> store_;
};

std::unique_ptr<CheckBackHarness> MakeCheckBack() { return std::make_unique<CheckBack>(); }

INSTANTIATE_TEST_SUITE_P(Sqlite, CheckBackSuite, ::testing::Values(&MakeCheckBack));

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
