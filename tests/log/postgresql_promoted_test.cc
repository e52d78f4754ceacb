// A standby takes over between a look into the store and the commit behind it. The primary that was
// deposed shows what it had, and also what it never gave to the standby: nothing of that may be
// believed, because whoever commits elsewhere has not made it durable.

#include <gtest/gtest.h>

#include "coordinator/log/postgresql/row_checks.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

using test::PostgresServer;

// One log on a primary and its synchronous standby; a member finds whichever takes writes.
class Promoted : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(primary_.Start().ok());
    log_ = std::make_unique<PostgresTestLog>(primary_);
    standby_ = std::make_unique<PostgresServer>(test::PostgresOptions{.primary = &primary_});
    ASSERT_TRUE(standby_->Start().ok());
    ASSERT_TRUE(primary_.Set("synchronous_standby_names", "*").ok());
    store_ = std::make_unique<PostgresRowStore>(Member());
    ASSERT_TRUE(store_->Join().ok());
  }

  PostgresStoreOptions Member() {
    PostgresStoreOptions options = log_->Member();
    const std::string host = "127.0.0.1:";
    std::string& url = options.lane.connection.url;
    const std::string first = host + std::to_string(primary_.port());
    url.replace(url.find(first), first.size(),
                first + "," + host + std::to_string(standby_->port()));
    return options;
  }

  void TakeOver() {
    primary_.Kill();
    ASSERT_TRUE(standby_->Start().ok());
    ASSERT_TRUE(standby_->Promote().ok());
    ASSERT_TRUE(standby_->Set("synchronous_standby_names", "").ok());
  }

  // Seen at the primary, and nowhere else.
  void BeginUnreplicated() {
    ASSERT_TRUE(standby_->Stop().ok());
    (void)log_->Sql("SET synchronous_commit = local; " + Row("alone"));
  }

  static std::string Row(const std::string& gid, std::uint64_t serial = 7) {
    const std::string spec = "spec";
    const std::string state = "state";
    return "INSERT INTO live VALUES (0, " + std::to_string(serial) + ", 1, " +
           std::to_string(StateCheck(0, serial, 1, state)) + ", " +
           std::to_string(SpecCheck(0, serial, gid, spec)) + ", '" + gid + "', '" + state + "', '" +
           spec + "')";
  }

  Status Load(const Log::LiveVisitor& visit) {
    std::vector<DamagedSlot> damaged;
    return store_->Load({0}, visit, damaged);
  }

  PostgresServer primary_;
  std::unique_ptr<PostgresServer> standby_;
  std::unique_ptr<PostgresTestLog> log_;
  std::unique_ptr<PostgresRowStore> store_;
};

// It was loaded by a member that then sent its COMMIT, of which the promoted server knew nothing:
// the next owner found the transaction undecided, and aborted it.
TEST_F(Promoted, WhatWasLoadedElsewhereIsNotBelieved) {
  BeginUnreplicated();
  int visited = 0;
  const Status loaded = Load([&](const LiveRow& row) {
    EXPECT_EQ("alone", row.gid);
    ++visited;
    TakeOver();
    return OkStatus();
  });
  EXPECT_EQ(1, visited);
  EXPECT_EQ(Code::kInternal, loaded.code()) << loaded.ToString();
}

TEST_F(Promoted, WhatIsThereTooIsLoaded) {
  (void)log_->Sql(Row("both"));
  int visited = 0;
  const Status loaded = Load([&](const LiveRow&) {
    ++visited;
    TakeOver();
    return OkStatus();
  });
  EXPECT_TRUE(loaded.ok()) << loaded.ToString();
  EXPECT_EQ(1, visited);
}

// A start whose connection was lost while it loaded, and which was fenced when it had another one,
// found its successor's rows, and said that another server had taken over (74 in place of 75).
TEST_F(Promoted, WhoIsFencedWhileItLoadsIsToldSo) {
  (void)log_->Sql(Row("first"));
  (void)log_->Sql(
      "CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF (SELECT conn FROM lane l WHERE l.epoch = NEW.epoch AND l.lane = NEW.lane) > 1 THEN"
      " UPDATE lane SET fenced = true WHERE epoch = NEW.epoch; " +
      Row("successor", 8) +
      "; END IF; RETURN NULL; END $$; CREATE TRIGGER fence AFTER INSERT ON batch FOR EACH ROW"
      " EXECUTE FUNCTION fence()");
  const Status loaded = Load([&](const LiveRow&) {
    (void)log_->Sql("SELECT pg_terminate_backend(backend) FROM lane WHERE NOT fenced");
    return OkStatus();
  });
  EXPECT_EQ(Code::kFailedPrecondition, loaded.code()) << loaded.ToString();
  EXPECT_TRUE(store_->fenced());
}

// The member that had lost commits died with the primary. Another one, which had lost none, found
// nothing of a transaction that had been committed, and said ABORT, until its observer came by and
// raised the generation.
TEST_F(Promoted, NothingIsPresumedOfWhatAStandbyMayHaveLost) {
  ASSERT_TRUE(Load([](const LiveRow&) { return OkStatus(); }).ok());
  const Result<Found> before = store_->Find("later");
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(1u, before->epochs->size());
  TakeOver();
  const Result<Found> found = store_->Find("later");
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(Found::What::kAbsent, found->what);
  EXPECT_TRUE(found->epochs->empty());
}

// A participant was told ABORT, because nothing was found at the deposed primary; it had begun, and
// committed, at the other one.
TEST_F(Promoted, AbsentAtADeposedPrimaryIsNotAbsent) {
  ASSERT_TRUE(Load([](const LiveRow&) { return OkStatus(); }).ok());
  ASSERT_TRUE(store_->BeforeReads().ok());
  const Result<Found> found = store_->Find("later");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(Found::What::kAbsent, found->what);
  TakeOver();
  EXPECT_EQ(Code::kAborted, store_->AfterReads().code());
  ASSERT_TRUE(store_->BeforeReads().ok());
  ASSERT_TRUE(store_->Find("later").ok());
  EXPECT_TRUE(store_->AfterReads().ok());
}

}  // namespace
}  // namespace assent::log
