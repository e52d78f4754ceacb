// The record as a chain: what is changed, removed, moved or cut off is found, in a real file and in
// a real PostgreSQL; and what strangers do is counted.

#include "coordinator/audit/chain.h"

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/audit/audit.h"
#include "coordinator/audit/postgres_store.h"
#include "coordinator/log/sqlite/sqlite_connection.h"
#include "tests/service/inbox.h"
#include "tests/support/postgresql.h"
#include "tests/support/process.h"

namespace assent::audit {
namespace {

using service::Inbox;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<Row> Chain(int count) {
  std::vector<Row> rows;
  Head head;
  for (int i = 1; i <= count; ++i) {
    Row row = AskedRow({.id = {1000 + i, 7, static_cast<std::uint64_t>(i)},
                        .deed = {.verb = "abort", .gid = "g" + std::to_string(i), .who = "ann"}});
    Seal(row.chain, row, head);
    rows.push_back(row);
  }
  return rows;
}

std::vector<std::string> FaultsOf(const std::vector<Row>& rows,
                                  const std::vector<std::string>& expected = {}) {
  Verifier verifier;
  for (const std::string& one : expected) EXPECT_TRUE(verifier.Expect(one).ok());
  for (const Row& row : rows) verifier.Take(row);
  verifier.Finish();
  return verifier.faults();
}

TEST(AuditChain, FitsAsItWasWritten) {
  EXPECT_THAT(FaultsOf(Chain(5)), IsEmpty());
  EXPECT_THAT(FaultsOf({}), IsEmpty());
}

TEST(AuditChain, EveryFieldOfARowCounts) {
  using Change = void (*)(Row&);
  const Change changes[] = {
      [](Row& r) { r.kind = Kind::kOld; },
      [](Row& r) { ++r.at_unix_ms; },
      [](Row& r) { ++r.about.at_unix_ms; },
      [](Row& r) { ++r.about.epoch; },
      [](Row& r) { ++r.about.number; },
      [](Row& r) { r.node = "b"; },
      [](Row& r) { r.deed.verb = "retry"; },
      [](Row& r) { r.deed.gid = "g"; },
      [](Row& r) { r.deed.branch_id = "1"; },
      [](Row& r) { r.deed.detail = "x"; },
      [](Row& r) { r.deed.who = "bob"; },
      [](Row& r) { r.deed.claims = "bob"; },
      [](Row& r) { r.deed.reason = "x"; },
      [](Row& r) { r.deed.address = "x"; },
      [](Row& r) { r.before = "x"; },
      [](Row& r) { r.code = 0; },
      [](Row& r) { r.said = "x"; },
      [](Row& r) { r.times = 1; },
      [](Row& r) { r.hash[0] = static_cast<char>(r.hash[0] ^ 1); },
  };
  for (const std::size_t at : {0U, 2U, 4U}) {
    for (const Change change : changes) {
      std::vector<Row> rows = Chain(5);
      change(rows[at]);
      EXPECT_EQ(FaultsOf(rows).size(), 1U) << at;
    }
  }
  // Text that moves from one field to the next is another row.
  std::vector<Row> rows = Chain(2);
  rows[1].deed.verb += rows[1].deed.gid;
  rows[1].deed.gid.clear();
  EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr("deeds 2: was changed")));
}

TEST(AuditChain, WhatIsMissingMovedOrTwiceIsNamed) {
  std::vector<Row> rows = Chain(5);
  rows.erase(rows.begin() + 2);
  EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr("deeds 3: is missing")));
  rows = Chain(5);
  std::swap(rows[1], rows[2]);
  EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr("deeds 2: is missing")));
  rows = Chain(5);
  std::swap(rows[1].deed, rows[2].deed);
  EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr("deeds 2: was changed")));
  rows = Chain(5);
  rows.erase(rows.begin());
  EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr("nothing says that it was retired")));
  rows = Chain(5);
  rows.push_back(rows[3]);
  EXPECT_THAT(FaultsOf(rows), IsEmpty()) << "two exports may overlap";
  rows.back().hash = NoHash();
  EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr("deeds 4: is there twice, and they differ")));
}

// The hash of the true row was believed.
TEST(AuditChain, AForgedCopyThatHasTheTrueHashIsFound) {
  for (const std::size_t of : {std::size_t{0}, std::size_t{3}}) {
    std::vector<Row> rows = Chain(5);
    rows.push_back(rows[of]);
    rows.back().deed.who = "mallory";
    EXPECT_THAT(FaultsOf(rows), ElementsAre(HasSubstr(" " + std::to_string(of + 1) +
                                                      ": is there twice, and they differ")));
  }
}

TEST(AuditChain, ACutEndAndAnotherChainAreFoundByAHashThatWasKept) {
  std::vector<Row> rows = Chain(5);
  const std::string hash = Hex(rows[4].hash);
  for (const std::string& head : {hash, "5:" + hash, "deeds:5:" + hash})
    EXPECT_THAT(FaultsOf(rows, {head}), IsEmpty()) << head;
  rows.pop_back();
  EXPECT_THAT(FaultsOf(rows), IsEmpty()) << "this is what the chain alone cannot show";
  EXPECT_THAT(FaultsOf(rows, {hash}), ElementsAre(HasSubstr("no row has the hash")));
  EXPECT_THAT(FaultsOf(rows, {"deeds:5:" + hash}), ElementsAre(HasSubstr("deeds 5: is missing")));
  rows.clear();
  Head head;
  for (Row row : Chain(5)) {  // all of it made anew, by who can write all of it
    row.deed.who = "bob";
    Seal("deeds", row, head);
    rows.push_back(row);
  }
  EXPECT_THAT(FaultsOf(rows), IsEmpty());
  EXPECT_THAT(FaultsOf(rows, {"deeds:5:" + hash}), ElementsAre(HasSubstr("is another row than")));
  for (const char* wrong : {"", "x", "deeds:5:ab", "deeds:x:", "0"})
    EXPECT_FALSE(Verifier().Expect(wrong).ok()) << wrong;
  EXPECT_FALSE(Verifier().Expect("deeds:0:" + hash).ok());
}

TEST(AuditChain, AChainThatIsRemovedWholeIsMissedByTheOneBehindIt) {
  std::vector<Row> rows = Chain(3);
  Row link{.kind = Kind::kLink, .deed = {.detail = "deeds"}, .said = Hex(rows[2].hash), .times = 3};
  Head head;
  Seal("deeds-8", link, head);
  rows.push_back(link);
  EXPECT_THAT(FaultsOf(rows), IsEmpty());
  EXPECT_THAT(FaultsOf({link}), ElementsAre(HasSubstr("deeds 3: is missing: deeds-8 1 says")));
}

// ---- In stores ----------------------------------------------------------------------------------

class Place {
 public:
  virtual ~Place() = default;
  virtual OpenStore Opener(std::uint64_t epoch) = 0;
  virtual void Sql(const std::string& sql) = 0;
  virtual bool one_chain() const = 0;
  // As an older version made it.
  virtual void MakeFormat1() = 0;
};
std::string Format1() {
  std::ifstream file(std::string(ASSENT_SOURCE) + "/tests/audit/testdata/audit-1.sql");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("CREATE TABLE audit"));
  return text.str();
}
class InFile final : public Place {
 public:
  OpenStore Opener(std::uint64_t) override { return InSqlite(path_); }
  // As somebody with the file does it, who knows of the triggers.
  void Sql(const std::string& sql) override {
    log::SqliteConnection db;
    ASSERT_EQ(db.Open(path_, {}), 0);
    EXPECT_EQ(db.Execute("DROP TRIGGER IF EXISTS audit_no_update"), 0);
    EXPECT_EQ(db.Execute("DROP TRIGGER IF EXISTS audit_no_delete"), 0);
    EXPECT_EQ(db.Execute(sql), 0) << sql;
  }
  bool one_chain() const override { return true; }
  void MakeFormat1() override {
    log::SqliteConnection db;
    ASSERT_EQ(db.Open(path_, {}), 0);
    ASSERT_EQ(db.Execute(Format1()), 0);
    ASSERT_EQ(db.Execute("PRAGMA user_version = 1"), 0);
  }
  const std::string& path() const { return path_; }

 private:
  test::TempDir dir_;
  const std::string path_ = dir_.path() + "/audit.db";
};
class InTable final : public Place {
 public:
  InTable() : database_(server().NewDatabase()) { server().Sql(database_, "CREATE SCHEMA assent"); }
  OpenStore Opener(std::uint64_t epoch) override {
    return InPostgres({.url = server().Url(database_)}, epoch);
  }
  void Sql(const std::string& sql) override {
    server().Sql(database_, "SET search_path TO assent; " + sql);
  }
  bool one_chain() const override { return false; }
  void MakeFormat1() override {
    std::string sql = Format1();
    sql = sql.substr(sql.find("CREATE TABLE audit"));
    sql = sql.substr(0, sql.rfind("COMMIT"));
    for (std::size_t at = 0; (at = sql.find(" INTEGER", at)) != std::string::npos;)
      sql.replace(at, 8, " bigint");
    if (const std::size_t at = sql.find(" WITHOUT ROWID"); at != std::string::npos)
      sql.erase(at, 14);
    Sql(sql);
  }
  static test::PostgresServer& server() { return test::PostgresServer::OfThisBinary(); }

 private:
  const std::string database_;
};
std::unique_ptr<Place> MakeFile() { return std::make_unique<InFile>(); }
std::unique_ptr<Place> MakeTable() { return std::make_unique<InTable>(); }

class AuditChains : public testing::TestWithParam<std::unique_ptr<Place> (*)()> {
 protected:
  // A start of a coordinator that does so many things.
  void Live(std::uint64_t epoch, int deeds, std::size_t max_rows = kMaxRowsCount) {
    Inbox<Result<EntryId>> begun;
    Audit audit({.epoch = epoch,
                 .node = "a",
                 .open = place_->Opener(epoch),
                 .max_rows_count = max_rows,
                 .on_head = [this](const std::string& chain, std::uint64_t number,
                                   const std::string& hash) {
                   heads_.push_back(chain + ":" + std::to_string(number) + ":" + hash);
                 }});
    for (int i = 0; i < deeds; ++i) {
      audit.Begin({.verb = "abort", .gid = "g" + std::to_string(i), .who = "ann"},
                  [&](const Result<EntryId>& id) { begun.Put(id); });
      const Result<EntryId> id = begun.Take();
      ASSERT_TRUE(id.ok()) << id.status().ToString();
      audit.End({*id, "ACTIVE", Code::kOk, "done"});
    }
  }
  std::vector<Row> Rows() {
    const auto store = place_->Opener(99)();
    EXPECT_TRUE(store.ok());
    std::vector<Row> rows;
    const std::vector<Span> spans = (*store)->Chains("", 100).value();
    for (const Span& span : spans) {
      std::uint64_t after = 0;
      for (;;) {  // two at a time: pages go on
        const std::vector<Row> page = (*store)->Rows(span.chain, after, 2).value();
        if (page.empty()) break;
        after = page.back().number;
        rows.insert(rows.end(), page.begin(), page.end());
      }
      EXPECT_EQ(after, span.last);
      EXPECT_EQ(rows.back().hash, span.last_hash);
    }
    return rows;
  }
  std::string First(std::uint64_t epoch) const {
    return place_->one_chain() ? "deeds" : "deeds-" + std::to_string(epoch);
  }

  std::unique_ptr<Place> place_ = GetParam()();
  std::vector<std::string> heads_;  // told on the thread of an Audit that is gone
};

INSTANTIATE_TEST_SUITE_P(Stores, AuditChains, testing::Values(&MakeFile, &MakeTable),
                         [](const auto& store) {
                           return store.index == 0 ? "SQLite" : "PostgreSQL";
                         });

TEST_P(AuditChains, EachDeedAndWhatCameOfItIsARowAndStartsGoOn) {
  Live(7, 2);
  Live(8, 1);
  const std::vector<Row> rows = Rows();
  EXPECT_THAT(FaultsOf(rows), IsEmpty());
  EXPECT_EQ(rows.size(), place_->one_chain() ? 6U : 7U);  // with the link of the second start
  EXPECT_THAT(FaultsOf(rows, heads_), IsEmpty());
  ASSERT_FALSE(heads_.empty());
  EXPECT_THAT(heads_.back(), HasSubstr(First(8) + ":"));
}

TEST_P(AuditChains, AByteThatIsChangedARowThatIsGoneAndTwoThatAreSwappedAreFound) {
  Live(7, 3);
  const std::string where = " WHERE chain = '" + First(7) + "' AND number = ";
  place_->Sql("UPDATE audit_rows SET who = 'bnn'" + where + "3");
  EXPECT_THAT(FaultsOf(Rows()), ElementsAre(HasSubstr(First(7) + " 3: was changed")));
  place_->Sql("UPDATE audit_rows SET who = 'ann'" + where + "3");
  EXPECT_THAT(FaultsOf(Rows()), IsEmpty());
  for (const auto& [from, to] : {std::pair(2, 100), std::pair(4, 2), std::pair(100, 4)})
    place_->Sql("UPDATE audit_rows SET number = " + std::to_string(to) + where +
                std::to_string(from));
  EXPECT_THAT(FaultsOf(Rows()), ElementsAre(HasSubstr(First(7) + " 2: was changed")));
  place_->Sql("DELETE FROM audit_rows" + where + "4");
  place_->Sql("UPDATE audit_rows SET number = 4" + where + "2");
  EXPECT_THAT(FaultsOf(Rows()), ElementsAre(HasSubstr(First(7) + " 2: is missing")));
}

TEST_P(AuditChains, ACutEndIsFoundByWhatTheLogHasKept) {
  Live(7, 3);
  place_->Sql("DELETE FROM audit_rows WHERE number > 4");
  EXPECT_THAT(FaultsOf(Rows()), IsEmpty());
  EXPECT_THAT(FaultsOf(Rows(), heads_), Contains(HasSubstr(First(7) + " 6: is missing")));
}

TEST_P(AuditChains, WhatIsRetiredIsNoFaultAndWhatIsRemovedByHandIs) {
  Live(7, 5);
  Live(8, 1, 4);
  std::vector<Row> rows = Rows();
  EXPECT_THAT(FaultsOf(rows), IsEmpty());
  EXPECT_LT(rows.size(), 9U);
  EXPECT_GT(rows.front().number, 1U);
  place_->Sql("DELETE FROM audit_rows WHERE chain = '" + First(7) +
              "' AND number = " + std::to_string(rows.front().number));
  EXPECT_THAT(FaultsOf(Rows()), Contains(HasSubstr("nothing says that it was retired")));
}

TEST_P(AuditChains, WhatWasGivenTwiceIsThereOnce) {
  std::vector<Row> rows = {AskedRow({.id = {1, 7, 1}, .deed = {.verb = "abort"}})};
  std::vector<Row> first = rows;
  ASSERT_TRUE(place_->Opener(7)().value()->Append(first).ok());
  rows.push_back(EndingRow({.id = {1, 7, 1}}, 2));
  ASSERT_TRUE(place_->Opener(7)().value()->Append(rows).ok());
  EXPECT_EQ(Rows().size(), 2U);
  EXPECT_THAT(FaultsOf(Rows()), IsEmpty());
}

TEST_P(AuditChains, WhatIsOlderThanTheChainGoesIntoItAsItIs) {
  place_->MakeFormat1();
  Inbox<Result<std::vector<Entry>>> found;
  {
    Audit audit({.epoch = 29630416, .open = place_->Opener(29630416)});
    audit.Read({.max_rows = 10}, [&](const auto& entries) { found.Put(entries); });
    const std::vector<Entry> entries = found.Take().value();
    ASSERT_EQ(entries.size(), 5U);
    EXPECT_FALSE(entries[0].ended);
    EXPECT_EQ(entries[1].deed.gid, "nobody");
    EXPECT_EQ(entries[1].code, Code::kNotFound);
    EXPECT_EQ(entries[4].deed.reason, "it's \"late\"");
    EXPECT_EQ(entries[4].id.epoch, 29630415U);
    EXPECT_EQ(entries[4].kind, Kind::kOld);
  }
  EXPECT_EQ(Rows().size(), 5U);
  EXPECT_THAT(FaultsOf(Rows()), IsEmpty());
}

// They are kept apart, so that none of what counts goes for them.
TEST_P(AuditChains, StrangersPushOutNothingThatPeopleDid) {
  Live(7, 2);
  {
    Audit audit({.epoch = 8,
                 .open = place_->Opener(8),
                 .max_refused_rows_count = 1,
                 .visits_window = std::chrono::milliseconds(1)});
    for (int i = 0; i < 2000; ++i) {
      audit.Note(Kind::kRefused, {.verb = "refused", .address = std::to_string(i % 7)},
                 Code::kUnauthenticated, "no");
    }
  }
  { Audit audit({.epoch = 9, .open = place_->Opener(9), .max_refused_rows_count = 1}); }
  std::size_t deeds = 0;
  for (const Row& row : Rows()) deeds += row.kind == Kind::kDeed ? 1 : 0;
  EXPECT_EQ(deeds, 2U);
  EXPECT_THAT(FaultsOf(Rows()), IsEmpty());
}

TEST(AuditFileChain, RowsAreNeitherChangedNorRemoved) {
  InFile file;
  std::vector<Row> rows = {AskedRow({.id = {1, 7, 1}, .deed = {.verb = "abort"}})};
  const auto store = file.Opener(7)();
  ASSERT_TRUE((*store)->Append(rows).ok());
  log::SqliteConnection db;
  ASSERT_EQ(db.Open(file.path(), {}), 0);
  EXPECT_NE(db.Execute("UPDATE audit_rows SET who = 'x'"), 0);
  EXPECT_NE(db.Execute("DELETE FROM audit_rows"), 0);
}

TEST(AuditFileChain, IsReadWhileSomebodyHasItAndAsACopy) {
  InFile file;
  std::vector<Row> rows = {AskedRow({.id = {1, 7, 1}, .deed = {.verb = "abort"}})};
  const auto count = [&] {
    int found = 0;
    EXPECT_TRUE(WalkSqlite(file.path(), [&](const Row&) { ++found; }).ok());
    return found;
  };
  auto store = file.Opener(7)().value();
  ASSERT_TRUE(store->Append(rows).ok());
  EXPECT_EQ(count(), 1);
  store.reset();
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(WalkSqlite(file.path() + "x", [](const Row&) {}).code(), Code::kNotFound);
}

}  // namespace
}  // namespace assent::audit
