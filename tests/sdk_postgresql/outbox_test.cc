// The outbox in PostgreSQL: the suite over a user's own connection, Publish in handlers, and what
// is PostgreSQL's own: notices, and a server that goes away.

#include <libpq-fe.h>

#include <assent/outbox_postgresql.h>

#include "tests/sdk/check_back_suite.h"
#include "tests/sdk/outbox_suite.h"
#include "tests/sdk_postgresql/store_fixture.h"

namespace assent::postgresql::test {
namespace {

using assent::test::CheckBackHarness;
using assent::test::CheckBackSuite;
using assent::test::MapCoordinator;
using assent::test::Order;
using assent::test::OutboxHarness;
using assent::test::OutboxSuite;
using assent::test::PostgresServer;

class User {
 public:
  explicit User(const std::string& url) : connection_(PQconnectdb(url.c_str())) {}
  ~User() { PQfinish(connection_); }
  User(const User&) = delete;
  User& operator=(const User&) = delete;
  PGconn* raw() { return connection_; }
  bool Run(const char* sql) {
    PGresult* const result = PQexec(connection_, sql);
    const ExecStatusType how = PQresultStatus(result);
    PQclear(result);
    return how == PGRES_COMMAND_OK || how == PGRES_TUPLES_OK;
  }

 private:
  PGconn* const connection_;
};

class Harness final : public OutboxHarness {
 public:
  Harness() { EXPECT_EQ(Outbox().CreateTable(user_.raw()).ToString(), "OK"); }

  std::unique_ptr<OutboxTable> Table() override {
    return OpenOutboxTable(
        {.connection = server_.Url(database_), .lock_timeout = std::chrono::milliseconds(200)});
  }
  Status Publish(const Transaction& transaction, const PublishOptions& options, End end,
                 const OutboxOptions& outbox) override {
    const Outbox out(outbox);
    if (end == End::kNone) return out.Publish(user_.raw(), transaction, options);
    EXPECT_TRUE(user_.Run("BEGIN"));
    const Status status = out.Publish(user_.raw(), transaction, options);
    EXPECT_TRUE(user_.Run(end == End::kCommit ? "COMMIT" : "ROLLBACK"));
    return status;
  }
  std::string Sql(const std::string& sql) override { return server_.Sql(database_, sql); }
  std::shared_ptr<void> Lock() override {
    EXPECT_TRUE(user_.Run("BEGIN; LOCK TABLE assent_outbox"));
    return std::shared_ptr<void>(this, [this](void*) { user_.Run("COMMIT"); });
  }

 private:
  PostgresServer& server_ = PostgresServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
  User user_{server_.Url(database_)};
};

std::unique_ptr<OutboxHarness> Make() { return std::make_unique<Harness>(); }

INSTANTIATE_TEST_SUITE_P(Postgresql, OutboxSuite, ::testing::Values(&Make));

class CheckBack final : public CheckBackHarness {
 public:
  CheckBack() {
    Result<std::unique_ptr<Store>> opened = Store::Open({.connection = server_.Url(database_)});
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(*opened);
    store_->Saga("placed", postgresql::CheckBack({.patience = std::chrono::seconds(10)}));
  }
  Resource& store() override { return *store_; }
  bool Run(const char* sql) override { return user_.Run(sql); }
  Status Enlist(const Transaction& message) override {
    return postgresql::Enlist(user_.raw(), message);
  }

 private:
  assent::test::PostgresServer& server_ = assent::test::PostgresServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
  User user_{server_.Url(database_)};
  std::unique_ptr<Store> store_;
};

std::unique_ptr<CheckBackHarness> MakeCheckBack() { return std::make_unique<CheckBack>(); }

INSTANTIATE_TEST_SUITE_P(Postgresql, CheckBackSuite, ::testing::Values(&MakeCheckBack));

class PostgresqlOutboxTest : public StoreTest {
 protected:
  PostgresqlOutboxTest() {
    EXPECT_TRUE(user_.Run("SET client_min_messages = warning"));
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
  std::string Rows() { return Sql("SELECT count(*) FROM assent_outbox"); }
  std::unique_ptr<OutboxTable> Table() {
    return OpenOutboxTable({.connection = server().Url(database())});
  }

  User user_{server().Url(database())};
  const Outbox outbox_;
  Reply reply_ = Reply::Done();
  Status said_;
};

TEST_F(PostgresqlOutboxTest, ItIsOfTheHandlersLocalTransaction) {
  EXPECT_EQ(Ask(store(), Branch{.payload = "p1"}.To(Operation::kTry)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "1");
  reply_ = Reply::Refused("no");
  EXPECT_EQ(Ask(store(), Branch{.gid = "g2", .payload = "p2"}.To(Operation::kTry)).kind,
            Reply::Kind::kRefused);
  EXPECT_TRUE(said_.ok());
  EXPECT_EQ(Rows(), "1");
}

TEST_F(PostgresqlOutboxTest, WhatCannotBePublishedIsABusinessNo) {
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

// Who is asked about it tells what he sees.
TEST_F(PostgresqlOutboxTest, WhatIsEnlistedIsDurable) {
  Transaction message;
  message.CheckBack("orders", "placed").Saga("shipping", "book");
  for (const std::string set : {"off", "local"}) {
    ASSERT_TRUE(user_.Run(("SET synchronous_commit = " + set + "; BEGIN").c_str()));
    ASSERT_EQ(Enlist(user_.raw(), message.Gid("g-" + set)).ToString(), "OK");
    PGresult* const shown = PQexec(user_.raw(), "SHOW synchronous_commit");
    EXPECT_STREQ(PQgetvalue(shown, 0, 0), set == "off" ? "on" : "local");
    PQclear(shown);
    ASSERT_TRUE(user_.Run("COMMIT"));
  }
}

TEST_F(PostgresqlOutboxTest, ATwoPhaseBranchPublishesWhenItCommits) {
  const Branch two{.protocol = Protocol::kTwoPhase, .payload = "p1"};
  EXPECT_EQ(Ask(store(), two.To(Operation::kPrepare)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "0");
  EXPECT_EQ(Ask(store(), two.To(Operation::kCommit)).kind, Reply::Kind::kDone);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(PostgresqlOutboxTest, AnAutomaticStepCannotPublish) {
  const Branch saga{.protocol = Protocol::kSaga, .action = "auto", .payload = "p1"};
  EXPECT_EQ(Ask(store(), saga.To(Operation::kAction)).kind, Reply::Kind::kRefused);
  EXPECT_EQ(said_.code(), Code::kFailedPrecondition);
  EXPECT_EQ(Rows(), "0");
}

TEST_F(PostgresqlOutboxTest, APublishWakesARelayThatSleeps) {
  const auto coordinator = std::make_shared<MapCoordinator>();
  Relay relay(Client(std::shared_ptr<Connection>(coordinator)), Table(),
              {.idle_poll = std::chrono::hours(1), .log = [](const std::string&) {}});
  // It listens when it has looked for the second time.
  int published = 0;
  ASSERT_TRUE(assent::test::Until([&] {
    EXPECT_TRUE(user_.Run("BEGIN"));
    EXPECT_TRUE(outbox_.Publish(user_.raw(), Order("n" + std::to_string(++published))).ok());
    EXPECT_TRUE(user_.Run("COMMIT"));
    return coordinator->accepted().size() > 3;
  }));
}

TEST_F(PostgresqlOutboxTest, AConnectionThatCannotPublishSaysWhy) {
  ASSERT_TRUE(user_.Run("BEGIN"));
  ASSERT_FALSE(user_.Run("SELECT nonsense"));
  EXPECT_EQ(outbox_.Publish(user_.raw(), Order("g1")).code(), Code::kFailedPrecondition);
  ASSERT_TRUE(user_.Run("ROLLBACK; SET client_encoding = LATIN1; BEGIN"));
  ASSERT_EQ(outbox_.Publish(user_.raw(), Order("g1"), {.ordering_key = "\xc3\xa4"}).ToString(),
            "OK");
  ASSERT_TRUE(user_.Run("COMMIT"));
  EXPECT_EQ(Sql("SELECT ordering_key FROM assent_outbox"), "\xc3\xa4");
  ASSERT_EQ(PQenterPipelineMode(user_.raw()), 1);
  EXPECT_EQ(outbox_.Publish(user_.raw(), Order("g2")).code(), Code::kFailedPrecondition);
}

// 99,000 rows that wait behind the first of their key, or for a person, or are of another kind: a
// turn reads those that it takes, by index.
TEST_F(PostgresqlOutboxTest, ATurnOverManyRowsReadsAFew) {
  Sql("INSERT INTO assent_outbox(gid, kind, ordering_key, request, parked_reason, due_unix_ms) "
      "SELECT 'g' || i, CASE i % 4 WHEN 0 THEN 9 ELSE 1 END, CASE i % 4 WHEN 1 THEN 'one key' WHEN "
      "2 THEN 'k' || i END, 'x', CASE i % 4 WHEN 3 THEN 'look' END, CASE i % 4 WHEN 2 THEN "
      "9223372036854775807 ELSE 0 END FROM generate_series(1, 99000) i");
  ASSERT_TRUE(user_.Run("BEGIN"));
  ASSERT_TRUE(outbox_.Publish(user_.raw(), Order("plain")).ok());
  ASSERT_TRUE(user_.Run("COMMIT"));
  const auto reads = [&] {
    return std::stoll(
        Sql("SELECT pg_stat_get_tuples_returned(c.oid) + "
            "(SELECT sum(pg_stat_get_tuples_returned(indexrelid)) FROM pg_index WHERE "
            "indrelid = c.oid) FROM pg_class c WHERE relname = 'assent_outbox'"));
  };
  const auto table = Table();
  ASSERT_TRUE(table->Count(1).ok());
  (void)Sql("SELECT pg_stat_force_next_flush()");
  const auto before = reads();
  std::size_t taken = 0;
  for (int turn = 0; turn < 3; ++turn) {
    const auto batch = table->Take(
        {.max_plain_count = 256, .max_keyed_count = 256, .lease = std::chrono::hours(1)});
    ASSERT_TRUE(batch.ok()) << batch.status().ToString();
    taken += batch->rows.size();
  }
  EXPECT_EQ(taken, 1U);
  // The session tells what it has read when it ends.
  const auto plain =
      Sql("SELECT count(*) FROM assent_outbox WHERE due_unix_ms > 0 AND gid = 'plain'");
  EXPECT_EQ(plain, "1");
  ASSERT_TRUE(assent::test::Until([&] { return reads() > before; }));
  EXPECT_LT(reads() - before, 3 * 4 * static_cast<long long>(assent::limits::kMaxKeysPerTurnCount));
}

// A publisher needs INSERT and SELECT, a relay UPDATE and DELETE too: neither owns the table.
TEST_F(PostgresqlOutboxTest, APublisherNeedsLessThanARelay) {
  const std::string publisher = "publisher_of_" + database();
  const std::string relay = "relay_of_" + database();
  Sql("CREATE ROLE " + publisher + " LOGIN; CREATE ROLE " + relay + " LOGIN");
  Sql("GRANT INSERT, SELECT ON assent_outbox TO " + publisher +
      "; GRANT INSERT, SELECT, UPDATE, DELETE ON assent_outbox TO " + relay);
  User user(server().Url(database(), publisher));
  ASSERT_TRUE(user.Run("BEGIN"));
  ASSERT_EQ(outbox_.Publish(user.raw(), Order("g1")).ToString(), "OK");
  ASSERT_TRUE(user.Run("COMMIT"));
  EXPECT_FALSE(user.Run("DELETE FROM assent_outbox"));
  const auto refused = OpenOutboxTable({.connection = server().Url(database(), publisher)})
                           ->Take({.max_plain_count = 1, .lease = std::chrono::hours(1)});
  EXPECT_NE(refused.status().message().find("permission denied"), std::string::npos)
      << refused.status().ToString();
  const auto coordinator = std::make_shared<MapCoordinator>();
  const Relay relays(Client(std::shared_ptr<Connection>(coordinator)),
                     OpenOutboxTable({.connection = server().Url(database(), relay)}),
                     {.log = [](const std::string&) {}});
  ASSERT_TRUE(assent::test::Until([&] { return Rows() == "0"; }));
  EXPECT_EQ(coordinator->accepted(), std::vector<std::string>{"g1"});
}

TEST_F(PostgresqlOutboxTest, AServerThatGoesAwayIsWaitedFor) {
  PostgresServer own;
  ASSERT_TRUE(own.Start().ok());
  const std::string database = own.NewDatabase();
  const auto publish = [&](const std::string& gid) {
    User user(own.Url(database));
    EXPECT_TRUE(outbox_.CreateTable(user.raw()).ok());
    EXPECT_TRUE(user.Run("BEGIN"));
    EXPECT_TRUE(outbox_.Publish(user.raw(), Order(gid)).ok());
    EXPECT_TRUE(user.Run("COMMIT"));
  };
  publish("g1");
  const auto coordinator = std::make_shared<MapCoordinator>();
  Relay relay(Client(std::shared_ptr<Connection>(coordinator)),
              OpenOutboxTable({.connection = own.Url(database)}),
              {.log = [](const std::string&) {}});
  ASSERT_TRUE(assent::test::Until([&] { return coordinator->accepted().size() == 1; }));
  own.Kill();
  ASSERT_TRUE(assent::test::Until([&] { return relay.Stats().database_errors > 0; }));
  ASSERT_TRUE(own.Start().ok());
  publish("g2");
  ASSERT_TRUE(assent::test::Until([&] { return coordinator->accepted().size() == 2; }));
}

}  // namespace
}  // namespace assent::postgresql::test
