// The outbox in MariaDB: the suite over a user's own connection, Publish in handlers, and a server
// that goes away.

#include <mysql.h>

#include <assent/outbox_mariadb.h>

#include "tests/sdk/check_back_suite.h"
#include "tests/sdk/outbox_suite.h"
#include "tests/sdk_mariadb/mariadb_server.h"
#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

using assent::test::CheckBackHarness;
using assent::test::CheckBackSuite;
using assent::test::MapCoordinator;
using assent::test::Order;
using assent::test::OutboxHarness;
using assent::test::OutboxSuite;

class User {
 public:
  explicit User(const Server& server) : mysql_(mysql_init(nullptr)) {
    EXPECT_NE(mysql_real_connect(mysql_, server.host.c_str(), server.user.c_str(), nullptr,
                                 server.database.c_str(), server.port, nullptr, 0),
              nullptr)
        << mysql_error(mysql_);
  }
  ~User() { mysql_close(mysql_); }
  User(const User&) = delete;
  User& operator=(const User&) = delete;
  MYSQL* raw() { return mysql_; }
  bool Run(const char* sql) { return mysql_query(mysql_, sql) == 0; }

 private:
  MYSQL* const mysql_;
};

class Harness final : public OutboxHarness {
 public:
  Harness() { EXPECT_EQ(Outbox().CreateTable(user_.raw()).ToString(), "OK"); }

  std::unique_ptr<OutboxTable> Table() override {
    return OpenOutboxTable(
        {.server = server_.Address(database_), .lock_timeout = std::chrono::seconds(1)});
  }
  Status Publish(const Transaction& transaction, const PublishOptions& options, End end,
                 const OutboxOptions& outbox) override {
    const Outbox out(outbox);
    if (end == End::kNone) return out.Publish(user_.raw(), transaction, options);
    EXPECT_TRUE(user_.Run("START TRANSACTION"));
    const Status status = out.Publish(user_.raw(), transaction, options);
    EXPECT_TRUE(user_.Run(end == End::kCommit ? "COMMIT" : "ROLLBACK"));
    return status;
  }
  std::string Sql(const std::string& sql) override { return server_.Sql(database_, sql); }
  std::shared_ptr<void> Lock() override {
    EXPECT_TRUE(user_.Run("LOCK TABLES assent_outbox WRITE"));
    return std::shared_ptr<void>(this, [this](void*) { user_.Run("UNLOCK TABLES"); });
  }

 private:
  MariaServer& server_ = MariaServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
  User user_{server_.Address(database_)};
};

std::unique_ptr<OutboxHarness> Make() { return std::make_unique<Harness>(); }

INSTANTIATE_TEST_SUITE_P(Mariadb, OutboxSuite, ::testing::Values(&Make));

class CheckBack final : public CheckBackHarness {
 public:
  CheckBack() {
    Result<std::unique_ptr<Store>> opened = Store::Open({.server = server_.Address(database_)});
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(*opened);
    store_->Saga("placed", mariadb::CheckBack({.patience = std::chrono::seconds(10)}));
  }
  Resource& store() override { return *store_; }
  bool Run(const char* sql) override { return user_.Run(sql); }
  Status Enlist(const Transaction& message) override {
    return mariadb::Enlist(user_.raw(), message);
  }

 private:
  MariaServer& server_ = MariaServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
  User user_{server_.Address(database_)};
  std::unique_ptr<Store> store_;
};

std::unique_ptr<CheckBackHarness> MakeCheckBack() { return std::make_unique<CheckBack>(); }

INSTANTIATE_TEST_SUITE_P(Mariadb, CheckBackSuite, ::testing::Values(&MakeCheckBack));

class MariadbOutboxTest : public StoreTest {
 protected:
  MariadbOutboxTest() {
    EXPECT_TRUE(outbox_.CreateTable(user_.raw()).ok());
    const DbHandler act = [this](Db& db, const Call& call) {
      said_ = outbox_.Publish(db, Order(call.payload));
      return reply_;
    };
    const DbHandler nothing = [](Db&, const Call&) { return Reply::Done(); };
    Options options = MakeOptions();
    options.undo_tables = {"account"};
    Open(std::move(options), [&](Store& to) {
      to.Tcc("act", {act, nothing, nothing});
      to.TwoPhase("act", act);
      to.AutoSaga("auto", act);
    });
  }
  std::string Rows() { return Sql("SELECT COUNT(*) FROM assent_outbox"); }

  User user_{server().Address(database())};
  const Outbox outbox_;
  Reply reply_ = Reply::Done();
  Status said_;
};

TEST_F(MariadbOutboxTest, ItIsOfTheHandlersLocalTransaction) {
  EXPECT_EQ(Ask(store(), Branch{.payload = "p1"}.To(Operation::kTry)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "1");
  reply_ = Reply::Refused("no");
  EXPECT_EQ(Ask(store(), Branch{.gid = "g2", .payload = "p2"}.To(Operation::kTry)).kind,
            Reply::Kind::kRefused);
  EXPECT_TRUE(said_.ok());
  EXPECT_EQ(Rows(), "1");
}

TEST_F(MariadbOutboxTest, WhatCannotBePublishedIsABusinessNo) {
  EXPECT_EQ(Ask(store(), Branch{.payload = "not a gid"}.To(Operation::kTry)).kind,
            Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kInvalidArgument);
  ASSERT_EQ(Ask(store(), Branch{.gid = "g2", .payload = "p1"}.To(Operation::kTry)).kind,
            Reply::Kind::kDone);
  EXPECT_EQ(Ask(store(), Branch{.gid = "g3", .payload = "p1"}.To(Operation::kTry)).kind,
            Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kAlreadyExists);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(MariadbOutboxTest, ATwoPhaseBranchPublishesWhenItCommits) {
  const Branch two{.protocol = Protocol::kTwoPhase, .payload = "p1"};
  EXPECT_EQ(Ask(store(), two.To(Operation::kPrepare)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "0");
  EXPECT_EQ(Ask(store(), two.To(Operation::kCommit)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(MariadbOutboxTest, AnAutomaticStepCannotPublish) {
  const Branch saga{.protocol = Protocol::kSaga, .action = "auto", .payload = "p1"};
  EXPECT_EQ(Ask(store(), saga.To(Operation::kAction)).kind, Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kFailedPrecondition);
  EXPECT_EQ(Rows(), "0");
}

// A turn reads those that it takes, by index, whatever lies behind.
TEST_F(MariadbOutboxTest, ATurnOverManyRowsReadsAFew) {
  Sql("INSERT INTO assent_outbox(gid, kind, ordering_key, request, created_unix_ms, parked_reason, "
      "due_unix_ms) SELECT CONCAT('g', seq), IF(seq % 4 = 0, 9, 1), CASE seq % 4 WHEN 1 THEN 'one "
      "key' WHEN 2 THEN CONCAT('k', seq) END, 'x', 0, IF(seq % 4 = 3, 'look', NULL), IF(seq % 4 IN "
      "(2, 3), 9223372036854775807, 0) FROM seq_1_to_100000");
  const auto reads = [&] {
    return std::stoll(
        Sql("SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME "
            "LIKE 'HANDLER_READ_%'"));
  };
  const auto table = OpenOutboxTable({.server = server().Address(database())});
  ASSERT_TRUE(table->Count(1).ok());
  const auto before = reads();
  std::size_t taken = 0;
  for (int turn = 0; turn < 3; ++turn) {
    const auto batch = table->Take(
        {.max_plain_count = 256, .max_keyed_count = 256, .lease = std::chrono::hours(1)});
    ASSERT_TRUE(batch.ok()) << batch.status().ToString();
    taken += batch->rows.size();
  }
  // The first of the one key.
  EXPECT_LE(taken, 1U);
  EXPECT_LT(reads() - before, 3 * 8 * static_cast<long long>(assent::limits::kMaxKeysPerTurnCount));
}

TEST_F(MariadbOutboxTest, AServerThatGoesAwayIsWaitedFor) {
  MariaServer own;
  ASSERT_TRUE(own.Start().ok());
  const std::string database = own.NewDatabase();
  const auto publish = [&](const std::string& gid) {
    User user(own.Address(database));
    EXPECT_TRUE(outbox_.CreateTable(user.raw()).ok());
    EXPECT_TRUE(user.Run("START TRANSACTION"));
    EXPECT_TRUE(outbox_.Publish(user.raw(), Order(gid)).ok());
    EXPECT_TRUE(user.Run("COMMIT"));
  };
  publish("g1");
  const auto coordinator = std::make_shared<MapCoordinator>();
  Relay relay(Client(std::shared_ptr<Connection>(coordinator)),
              OpenOutboxTable({.server = own.Address(database)}),
              {.log = [](const std::string&) {}});
  ASSERT_TRUE(assent::test::Until([&] { return coordinator->accepted().size() == 1; }));
  own.Kill();
  ASSERT_TRUE(assent::test::Until([&] { return relay.Stats().database_errors > 0; }));
  ASSERT_TRUE(own.Start().ok());
  publish("g2");
  ASSERT_TRUE(assent::test::Until([&] { return coordinator->accepted().size() == 2; }));
}

}  // namespace
}  // namespace assent::mariadb::test
