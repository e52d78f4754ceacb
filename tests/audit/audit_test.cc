// The record of what people do, over both stores: a real file, and a real PostgreSQL.

#include "coordinator/audit/audit.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/audit/postgres_store.h"
#include "coordinator/log/sqlite/sqlite_connection.h"
#include "tests/service/inbox.h"
#include "tests/support/postgresql.h"
#include "tests/support/process.h"

namespace assent::audit {
namespace {

using service::Inbox;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Where the record of a test is.
class Place {
 public:
  virtual ~Place() = default;
  virtual OpenStore Opener() = 0;
};
class InFile final : public Place {
 public:
  OpenStore Opener() override { return InSqlite(dir_.path() + "/audit.db"); }

 private:
  test::TempDir dir_;
};
class InTable final : public Place {
 public:
  InTable() : database_(server().NewDatabase()) { server().Sql(database_, "CREATE SCHEMA assent"); }
  OpenStore Opener() override { return InPostgres({.url = server().Url(database_)}, 7); }
  static test::PostgresServer& server() { return test::PostgresServer::OfThisBinary(); }

 private:
  const std::string database_;
};
std::unique_ptr<Place> MakeFile() { return std::make_unique<InFile>(); }
std::unique_ptr<Place> MakeTable() { return std::make_unique<InTable>(); }

// A record that answers at once.
class Record {
 public:
  explicit Record(AuditOptions options) : audit_(std::move(options)) {}

  Result<EntryId> Begin(const std::string& verb, const std::string& gid) {
    audit_.Begin({.verb = verb,
                  .gid = gid,
                  .branch_id = "b1",
                  .detail = "COMMIT",
                  .who = "ann",
                  .reason = "it's \"late\"\n",
                  .address = "10.0.0.1:99"},
                 [this](const Result<EntryId>& id) { begun_.Put(id); });
    return begun_.Take();
  }
  std::vector<Entry> Read(Query query = {}) {
    if (query.max_rows == 0) query.max_rows = 100;
    audit_.Read(query, [this](const auto& entries) { found_.Put(entries); });
    return found_.Take().value();
  }
  std::vector<std::string> Gids(const Query& query = {}) {
    std::vector<std::string> gids;
    for (const Entry& entry : Read(query)) gids.push_back(entry.deed.gid);
    return gids;
  }
  Audit& audit() { return audit_; }

 private:
  Inbox<Result<EntryId>> begun_;
  Inbox<Result<std::vector<Entry>>> found_;
  Audit audit_;
};

class AuditStores : public testing::TestWithParam<std::unique_ptr<Place> (*)()> {
 protected:
  AuditOptions Options() { return {.epoch = 7, .node = "a", .open = place_->Opener()}; }

  std::unique_ptr<Place> place_ = GetParam()();
};

INSTANTIATE_TEST_SUITE_P(Stores, AuditStores, testing::Values(&MakeFile, &MakeTable),
                         [](const auto& store) {
                           return store.index == 0 ? "SQLite" : "PostgreSQL";
                         });

TEST_P(AuditStores, WhatWasAskedForIsThereBeforeItIsDoneAndWhatCameOfItBehind) {
  Record record(Options());
  const EntryId id = record.Begin("resolve", "g").value();
  EXPECT_EQ(id.epoch, 7U);
  std::vector<Entry> entries = record.Read();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].id, id);
  EXPECT_EQ(entries[0].node, "a");
  EXPECT_EQ(entries[0].deed.verb, "resolve");
  EXPECT_EQ(entries[0].deed.gid, "g");
  EXPECT_EQ(entries[0].deed.branch_id, "b1");
  EXPECT_EQ(entries[0].deed.detail, "COMMIT");
  EXPECT_EQ(entries[0].deed.who, "ann");
  EXPECT_EQ(entries[0].deed.reason, "it's \"late\"\n");
  EXPECT_EQ(entries[0].deed.address, "10.0.0.1:99");
  EXPECT_FALSE(entries[0].ended);

  record.audit().End({id, "COMMITTING", Code::kFailedPrecondition, "no"});
  entries = record.Read();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_TRUE(entries[0].ended);
  EXPECT_EQ(entries[0].before, "COMMITTING");
  EXPECT_EQ(entries[0].code, Code::kFailedPrecondition);
  EXPECT_EQ(entries[0].said, "no");
}

TEST_P(AuditStores, ALoginIsOnRecordAndNobodyWaitsForIt) {
  Record record(Options());
  record.audit().Note(Kind::kLogin, {.verb = "login", .who = "ann", .claims = "the boss"},
                      Code::kOk, "");
  const std::vector<Entry> entries = record.Read();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].deed.verb, "login");
  EXPECT_EQ(entries[0].deed.who, "ann");
  EXPECT_EQ(entries[0].deed.claims, "the boss");
  EXPECT_TRUE(entries[0].ended);
}

TEST_P(AuditStores, WhatNoStoreTakesIsMadeFitForIt) {
  Record record(Options());
  const EntryId id = record.Begin(std::string("a\0b\xff", 4), std::string(5000, 'g')).value();
  record.audit().End({id, std::string(1, '\0'), Code::kOk, "\xc3"});
  const std::vector<Entry> entries = record.Read();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].deed.verb, "a?b?");
  EXPECT_EQ(entries[0].deed.gid, std::string(1024, 'g'));
  EXPECT_EQ(entries[0].before, "?");
  EXPECT_EQ(entries[0].said, "?");
}

TEST_P(AuditStores, ItIsThereAfterARestart) {
  {
    Record record(Options());
    const EntryId id = record.Begin("abort", "g1").value();
    record.audit().End({id, "", Code::kOk, "done"});
    ASSERT_TRUE(record.Begin("abort", "g2").ok());
  }
  Record record(Options());
  const std::vector<Entry> entries = record.Read();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_FALSE(entries[0].ended);  // it was under way
  EXPECT_TRUE(entries[1].ended);   // written when it was closed, at the latest
}

TEST_P(AuditStores, WhatIsAnothersSaysSo) {
  Record record(Options());
  const EntryId id = record.Begin("abort", "g").value();
  record.audit().End({.id = id, .code = Code::kElsewhere});
  EXPECT_EQ(record.Read().front().code, Code::kElsewhere);
}

TEST_P(AuditStores, PagesAreNewestFirstAndOfOneTransactionOrSinceAMoment) {
  Record record(Options());
  std::vector<EntryId> ids;
  for (const char* gid : {"g1", "g2", "g1", "g3"})
    ids.push_back(record.Begin("retry", gid).value());
  EXPECT_THAT(record.Gids(), ElementsAre("g3", "g1", "g2", "g1"));
  EXPECT_THAT(record.Gids({.max_rows = 2}), ElementsAre("g3", "g1"));
  EXPECT_THAT(record.Gids({.before = ids[2], .max_rows = 2}), ElementsAre("g2", "g1"));
  EXPECT_THAT(record.Gids({.gid = "g1"}), ElementsAre("g1", "g1"));
  EXPECT_THAT(record.Gids({.gid = "g1", .before = ids[2]}), ElementsAre("g1"));
  EXPECT_THAT(record.Gids({.since_unix_ms = ids[3].at_unix_ms + 1}), IsEmpty());
  EXPECT_THAT(record.Gids({.gid = "nobody"}), IsEmpty());
}

TEST_P(AuditStores, TheOldestGoWhenThereAreTooMany) {
  {
    Record record(Options());
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(record.Begin("retry", std::to_string(i)).ok());
  }
  AuditOptions options = Options();
  options.epoch = 8;  // of the next start
  options.max_rows_count = 3;
  Record record(options);  // it looks when it begins
  EXPECT_THAT(record.Gids(), ElementsAre("4", "3", "2"));
}

// A store that answers what the test wants.
class Wilful final : public Store {
 public:
  struct Will {
    Mutex mutex;
    bool opens ASSENT_GUARDED_BY(mutex) = true;
    bool writes ASSENT_GUARDED_BY(mutex) = true;
    int generation ASSENT_GUARDED_BY(mutex) = 0;  // those opened in an earlier one are lost
    std::vector<Row> rows ASSENT_GUARDED_BY(mutex);
  };
  explicit Wilful(Will& will) : will_(will) {
    const MutexLock lock(will_.mutex);
    generation_ = will_.generation;
  }
  Status Append(std::vector<Row>& rows) override {
    const MutexLock lock(will_.mutex);
    if (!will_.writes) return Unavailable("the disk is full");
    if (generation_ != will_.generation) return Unavailable("the connection is lost");
    will_.rows.insert(will_.rows.end(), rows.begin(), rows.end());
    return OkStatus();
  }
  Status TryToWrite() override {
    const MutexLock lock(will_.mutex);
    return will_.writes ? OkStatus() : Unavailable("the disk is full");
  }
  Result<std::vector<Span>> Chains(const std::string&, std::size_t) override {
    return std::vector<Span>();
  }
  Result<std::vector<Row>> Rows(const std::string&, std::uint64_t, std::size_t) override {
    return std::vector<Row>();
  }
  Result<std::vector<Entry>> Read(const Query&) override { return std::vector<Entry>(); }
  Status Retire(std::string_view, std::size_t, std::int64_t) override { return OkStatus(); }

 private:
  Will& will_;
  int generation_ = 0;
};

class AuditTrouble : public testing::Test {
 protected:
  AuditOptions Options() {
    return {.open = [this]() -> Result<std::unique_ptr<Store>> {
              MutexLock lock(will_.mutex);
              if (!will_.opens) return Unavailable("nobody there");
              lock.Unlock();
              return std::unique_ptr<Store>(std::make_unique<Wilful>(will_));
            },
            .on_trouble = [this](const std::string& why) { trouble_.Put(why); }};
  }
  void Set(bool opens, bool writes) {
    const MutexLock lock(will_.mutex);
    will_.opens = opens;
    will_.writes = writes;
  }
  std::size_t Ended() {
    const MutexLock lock(will_.mutex);
    return static_cast<std::size_t>(
        std::count_if(will_.rows.begin(), will_.rows.end(),
                      [](const Row& row) { return row.kind == Kind::kEnding; }));
  }

  Wilful::Will will_;
  Inbox<std::string> trouble_;
};

TEST_F(AuditTrouble, WhatCannotBeRecordedMayNotBeDoneAndTheTroubleIsToldOnce) {
  Set(false, true);
  Record record(Options());
  EXPECT_EQ(trouble_.Take(), "nobody there");
  EXPECT_EQ(record.Begin("abort", "g").status(),
            FailedPrecondition(
                "the record of what people do cannot be kept: nobody there; nothing was done"));
  EXPECT_EQ(record.Begin("abort", "g").status(),
            FailedPrecondition(
                "the record of what people do cannot be kept: nobody there; nothing was done"));
  Set(true, false);
  EXPECT_EQ(record.Begin("abort", "g").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(trouble_.size(), 0U);
  Set(true, true);
  EXPECT_EQ(trouble_.Take(), "");  // by itself
  EXPECT_TRUE(record.Begin("abort", "g").ok());
}

// A database that was restarted while nobody did anything: whoever is first is served.
TEST_F(AuditTrouble, AStoreThatWasLostAndIsThereAgainIsUsedAtOnce) {
  Record record(Options());
  const EntryId id = record.Begin("abort", "g1").value();
  {
    const MutexLock lock(will_.mutex);
    ++will_.generation;
  }
  record.audit().End({id, "", Code::kOk, "done"});
  EXPECT_TRUE(record.Begin("abort", "g2").ok());
  EXPECT_EQ(Ended(), 1U);
  EXPECT_EQ(trouble_.size(), 0U);
}

TEST_F(AuditTrouble, WhatCameOfItIsAddedWhenTheStoreIsBack) {
  Record record(Options());
  const EntryId id = record.Begin("abort", "g").value();
  Set(true, false);
  record.audit().End({id, "", Code::kOk, "done"});
  EXPECT_EQ(trouble_.Take(), "the disk is full");
  EXPECT_EQ(Ended(), 0U);
  Set(true, true);
  EXPECT_EQ(trouble_.Take(), "");
  EXPECT_EQ(Ended(), 1U);
}

// Each look at the record on a full disk was told as the end of the trouble.
TEST_F(AuditTrouble, AStoreThatCanOnlyBeReadIsNotBack) {
  Record record(Options());
  Set(true, false);
  EXPECT_EQ(record.Begin("abort", "g").status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(record.Read(), IsEmpty());
  EXPECT_EQ(record.Begin("abort", "g").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(trouble_.size(), 1U);
  EXPECT_EQ(trouble_.Take(), "the disk is full");
  Set(true, true);
  EXPECT_EQ(trouble_.Take(), "");
  EXPECT_TRUE(record.Begin("abort", "g").ok());
}

TEST_F(AuditTrouble, ThereIsRoomForSoManyAtOnceAndForNoneAfterItsEnd) {
  Inbox<Status> answers;
  Mutex held;  // the store, while the test looks
  AuditOptions options = Options();
  options.open = [&held, open = options.open] {
    const MutexLock lock(held);
    return open();
  };
  const auto begin = [&](Audit& audit) {
    audit.Begin({.verb = "retry"}, [&](const auto& id) { answers.Put(id.status()); });
  };
  {
    MutexLock lock(held);
    Audit audit(std::move(options));
    for (std::size_t i = 0; i < kMaxWaitingCount; ++i) begin(audit);
    EXPECT_EQ(answers.size(), 0U);
    begin(audit);
    EXPECT_EQ(answers.Take().code(), Code::kResourceExhausted);
    lock.Unlock();
    audit.Close();
    EXPECT_EQ(answers.size(), kMaxWaitingCount);
    begin(audit);
    EXPECT_EQ(answers.size(), kMaxWaitingCount + 1);
  }
}

TEST(AuditTable, AConnectionThatWasEndedIsOpenedAgain) {
  const std::string database = InTable::server().NewDatabase();
  InTable::server().Sql(database, "CREATE SCHEMA assent");
  Record record({.epoch = 1,
                 .open = InPostgres(
                     {.url = InTable::server().Url(database), .application_name = "audited"}, 1)});
  ASSERT_TRUE(record.Begin("abort", "g1").ok());
  const std::string end =
      "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = "
      "'audited'";
  EXPECT_EQ(InTable::server().Sql(database, end), "t");
  EXPECT_TRUE(record.Begin("abort", "g2").ok());
  EXPECT_EQ(InTable::server().Sql(database, end), "t");
  EXPECT_THAT(record.Gids(), ElementsAre("g2", "g1"));
}

TEST(AuditTable, OneThatIsDroppedIsSaidAndMadeAnew) {
  const std::string database = InTable::server().NewDatabase();
  InTable::server().Sql(database, "CREATE SCHEMA assent");
  Inbox<std::string> trouble;
  Record record({.epoch = 1,
                 .open = InPostgres({.url = InTable::server().Url(database)}, 1),
                 .on_trouble = [&](const std::string& why) { trouble.Put(why); }});
  ASSERT_TRUE(record.Begin("abort", "g1").ok());
  InTable::server().Sql(database, "DROP TABLE assent.audit_rows");
  EXPECT_TRUE(record.Begin("abort", "g2").ok());
  EXPECT_THAT(trouble.Take(), HasSubstr("table audit_rows was dropped"));
  EXPECT_EQ(trouble.Take(), "");
  EXPECT_THAT(record.Gids(), ElementsAre("g2"));
}

// A file, and what is done to it while it is in use.
class AuditFileInUse : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(record_.Begin("abort", "g1").ok()); }
  void ExpectTold(const std::string& words) {
    EXPECT_THAT(trouble_.Take(), HasSubstr(words));
    EXPECT_EQ(trouble_.Take(), "");  // another one is begun at once
    EXPECT_EQ(trouble_.size(), 0U);
  }

  const test::TempDir dir_;
  const std::string path_ = dir_.path() + "/audit.db";
  Inbox<std::string> trouble_;
  Record record_{{.epoch = 1,
                  .open = InSqlite(path_),
                  .on_trouble = [this](const std::string& why) { trouble_.Put(why); }}};
};

// What was asked for went on being written into it, where nobody would ever find it.
TEST_F(AuditFileInUse, IsDeleted) {
  std::filesystem::remove(path_);
  EXPECT_TRUE(record_.Begin("abort", "g2").ok());
  ExpectTold("audit.db: deleted or replaced while in use");
  EXPECT_THAT(record_.Gids(), ElementsAre("g2"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(AuditFileInUse, IsDeletedWithAllThatIsBesideIt) {
  for (const char* beside : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + beside);
  EXPECT_THAT(record_.Gids(), IsEmpty());  // also who only looks is told
  ExpectTold("audit.db: deleted or replaced while in use");
  EXPECT_TRUE(record_.Begin("abort", "g2").ok());
  EXPECT_THAT(record_.Gids(), ElementsAre("g2"));
}

// Nothing of the one before gets into it.
TEST_F(AuditFileInUse, IsReplaced) {
  const std::string other = dir_.path() + "/other.db";
  ASSERT_TRUE(Record({.epoch = 9, .open = InSqlite(other)}).Begin("abort", "before").ok());
  std::filesystem::rename(other, path_);
  EXPECT_TRUE(record_.Begin("abort", "g2").ok());
  ExpectTold("audit.db: deleted or replaced while in use");
  EXPECT_THAT(record_.Gids(), ElementsAre("g2", "before"));
}

TEST_F(AuditFileInUse, LosesItsWriteAheadLog) {
  std::filesystem::remove(path_ + "-wal");
  EXPECT_TRUE(record_.Begin("abort", "g2").ok());
  ExpectTold("audit.db-wal: deleted or replaced while in use");
  EXPECT_THAT(record_.Gids(), ElementsAre("g2", "g1"));  // it was open: nothing is lost
}

// Who copies the folder of a daemon that has stopped copies one file.
TEST(AuditFile, IsItsOwnersAloneAndWholeAfterAnOrderlyEnd) {
  const test::TempDir dir;
  const std::string path = dir.path() + "/audit.db";
  ASSERT_TRUE(Record({.epoch = 1, .open = InSqlite(path)}).Begin("abort", "g").ok());
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(path).permissions(), perms::owner_read | perms::owner_write);
  std::filesystem::remove(path + "-wal");
  EXPECT_THAT(Record({.epoch = 2, .open = InSqlite(path)}).Gids(), ElementsAre("g"));
}

TEST(AuditFile, ANewerOneOneForReadingAndADamagedOneAreNamed) {
  const test::TempDir dir;
  const std::string path = dir.path() + "/audit.db";
  {
    log::SqliteConnection db;
    ASSERT_EQ(db.Open(path, {}), 0);
    ASSERT_EQ(db.Execute("PRAGMA user_version = 3"), 0);
  }
  EXPECT_THAT(InSqlite(path)().status().message(), HasSubstr("a newer version made it"));
  // A later format of SQLite's own: it can be read only, as a file of another user.
  std::fstream(path).seekp(18) << '\3';
  EXPECT_THAT(InSqlite(path)().status().message(),
              HasSubstr("the user that assentd runs as has to be able to write it"));
  std::ofstream(path, std::ios::trunc) << std::string(8192, 'x');
  EXPECT_THAT(InSqlite(path)().status().message(),
              HasSubstr("move the file away, and a new one is made"));
  std::filesystem::remove(path);
  EXPECT_TRUE(InSqlite(path)().ok());
}

}  // namespace
}  // namespace assent::audit
