// Rows of many slots: loaded, damaged, given away, found by whoever asks, removed when they are
// old; and what the statements cost.

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/postgresql/lane_sql.h"
#include "tests/log/log_rig.h"
#include "tests/log/postgresql_member.h"

namespace assent::log {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using test::PostgresServer;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr Slot kSlots = 4;

// Of a slot, with serials that rise in the order of the calls.
std::string GidIn(Slot slot, const std::string& name) {
  for (int i = 0;; ++i) {
    std::string gid = name + "-" + std::to_string(i);
    if (SlotOf(gid, kSlots) == slot) return gid;
  }
}

class PostgresRows : public testing::Test {
 protected:
  std::unique_ptr<PostgresRowStore> Open(PostgresStoreOptions options, bool loads = true) {
    auto store = std::make_unique<PostgresRowStore>(std::move(options));
    joined_ = store->Join().value();
    if (loads) {
      const Status status = Load(*store, {0, 1, 2, 3});
      EXPECT_TRUE(status.ok()) << status.ToString();
    }
    return store;
  }
  Status Load(PostgresRowStore& store, const std::vector<Slot>& slots) {
    rows_.clear();
    damaged_.clear();
    return store.Load(
        slots,
        [this](const LiveRow& row) {
          rows_.push_back(row.gid);
          return OkStatus();
        },
        damaged_);
  }
  Status Write(PostgresRowStore& store, std::vector<Entry> batch) {
    for (Entry& entry : batch) entry.slot = SlotOf(entry.gid, kSlots);
    outcome_ = GroupOutcome();
    return store.Write({&batch}, unwritten_, outcome_);
  }
  std::string Refused() const {
    std::string text;
    for (const RefusedEntry& entry : outcome_.refused.at(0))
      text +=
          std::to_string(entry.index) + (entry.status.code() == Code::kAlreadyExists ? "! " : "? ");
    return text;
  }

  PostgresServer& server_ = PostgresServer::OfThisBinary();
  PostgresTestLog log_{server_, kSlots};
  Joined joined_;
  std::vector<std::string> rows_;
  std::vector<DamagedSlot> damaged_;
  Unwritten unwritten_;
  GroupOutcome outcome_;
};

// ---- Loading ------------------------------------------------------------------------------------

TEST_F(PostgresRows, ADamagedRowCostsItsSlotAlone) {
  const std::string good = GidIn(0, "good");
  const std::string first = GidIn(2, "first");
  const std::string bad = GidIn(2, "bad");
  const std::string last = GidIn(3, "last");
  auto store = Open(log_.Member());
  ASSERT_TRUE(
      Write(*store, Batch(Begin(1, good), Begin(2, first), Begin(3, bad), Begin(4, last))).ok());
  const std::vector<std::string> faults = {"state = 'other'", "spec = ''",
                                           "version = 2",     "gid = 'x' || gid",
                                           "state_crc = 0",   "spec_crc = spec_crc + 1"};
  for (const std::string& fault : faults) {
    SCOPED_TRACE(fault);
    log_.Sql("CREATE TABLE whole AS SELECT * FROM live");
    log_.Sql("UPDATE live SET " + fault + " WHERE serial = 3");
    store = Open(log_.Member(), false);
    EXPECT_TRUE(Load(*store, {0, 1, 2, 3}).ok());
    EXPECT_THAT(rows_, ElementsAre(good, first, last));
    ASSERT_EQ(damaged_.size(), 1u);
    EXPECT_EQ(damaged_[0].slot, 2);
    EXPECT_THAT(damaged_[0].why, AllOf(HasSubstr("slot 2, serial 3"), HasSubstr("checksum")));
    // The others are served; this one is not written to.
    EXPECT_TRUE(Write(*store, Batch(Update(1, 2, good, "x"))).ok());
    EXPECT_EQ(Write(*store, Batch(Update(2, 2, first, "x"))).code(), Code::kFailedPrecondition);
    log_.Sql("DELETE FROM live; INSERT INTO live SELECT * FROM whole; DROP TABLE whole");
  }
}

TEST_F(PostgresRows, AFinishedRowThatIsDamagedIsNotShown) {
  const std::string gid = GidIn(1, "g");
  auto store = Open(log_.Member());
  ASSERT_TRUE(Write(*store, Batch(Begin(1, gid))).ok());
  ASSERT_TRUE(Write(*store, Batch(End(1, 2, gid))).ok());
  EXPECT_EQ(store->Find(gid).value().row.spec, "spec of " + gid);
  for (const char* fault : {"outcome = 7", "spec = 'other'", "finished_unix_ms = 1", "slot = 2"}) {
    log_.Sql("CREATE TABLE whole AS SELECT * FROM finished");
    log_.Sql(std::string("UPDATE finished SET ") + fault);
    EXPECT_EQ(store->Find(gid).status().code(), Code::kDataLoss) << fault;
    EXPECT_EQ(store->Scan(0, 10).status().code(), Code::kDataLoss) << fault;
    log_.Sql("DELETE FROM finished; INSERT INTO finished SELECT * FROM whole; DROP TABLE whole");
  }
}

// Nobody can take back what he has been shown: it goes on behind the last row.
TEST_F(PostgresRows, ALoadGoesOnWhenTheConnectionIsLost) {
  auto store = Open(log_.Member());
  std::vector<Entry> batch;
  for (std::uint64_t serial = 1; serial <= 3000; ++serial) {
    batch.push_back(Begin(serial, "g" + std::to_string(serial), std::string(2000, 's')));
  }
  ASSERT_TRUE(Write(*store, batch).ok());
  store = Open(log_.Member(), false);
  std::set<std::string> seen;
  std::size_t shown = 0;
  const auto visit = [&](const LiveRow& row) {
    if (++shown == 10 || shown == 1500)
      log_.Sql("SELECT pg_terminate_backend(backend) FROM lane WHERE NOT fenced");
    EXPECT_TRUE(seen.insert(row.gid).second) << row.gid;
    return OkStatus();
  };
  const Status status = store->Load({0, 1, 2, 3}, visit, damaged_);
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(shown, 3000u);
}

// ---- Giving slots away --------------------------------------------------------------------------

TEST_F(PostgresRows, ASlotIsGivenToWhoAsked) {
  const std::string gid = GidIn(2, "g");
  auto options = log_.Member();
  auto store = Open(options);
  const std::uint64_t serial = store->NextSerial(2);
  ASSERT_TRUE(Write(*store, Batch(Begin(serial, gid))).ok());
  log_.Sql("UPDATE slot SET wanted = 77 WHERE id = 2");
  // All or none.
  EXPECT_EQ(store->Release({1, 2}).code(), Code::kFailedPrecondition);
  EXPECT_TRUE(Load(*store, {1, 2}).ok());
  EXPECT_TRUE(Write(*store, Batch(Update(serial, 2, gid, "x"))).ok());
  EXPECT_TRUE(store->Release({2}).ok());
  EXPECT_EQ(log_.Sql("SELECT owner || ' ' || slot_epoch || ' ' || wanted FROM slot WHERE id = 2"),
            "77 2 0");
  EXPECT_EQ(log_.Sql("SELECT serial_floor_ms FROM slot WHERE id = 2"),
            std::to_string(MsOfSerial(serial)));
  EXPECT_FALSE(options.slots->Has(2));
  EXPECT_EQ(Write(*store, Batch(Update(serial, 3, gid, "y"))).code(), Code::kFailedPrecondition);
  EXPECT_EQ(store->Release({2}).code(), Code::kFailedPrecondition);
}

// ---- Finding ------------------------------------------------------------------------------------

TEST_F(PostgresRows, WhatIsFoundIsOfEverySlotAndSaysWhoOwnsIt) {
  const std::string live = GidIn(2, "live");
  const std::string done = GidIn(3, "done");
  auto store = Open(log_.Member());
  ASSERT_TRUE(Write(*store, Batch(Begin(1, live), Begin(2, done), End(2, 2, done))).ok());
  log_.Sql("UPDATE slot SET owner = 77 WHERE id > 1");
  Found found = store->Find(live).value();
  EXPECT_EQ(found.what, Found::What::kLive);
  EXPECT_EQ(found.owner, 77u);
  EXPECT_EQ(store->Find(done).value().what, Found::What::kFinished);
  found = store->Find("never").value();
  EXPECT_EQ(found.what, Found::What::kAbsent);
  EXPECT_THAT(*found.epochs, ElementsAre(joined_.epoch));
}

// What began in an epoch that is not of this generation is not presumed about.
TEST_F(PostgresRows, TheEpochsAreThoseOfTheSnapshot) {
  auto store = Open(log_.Member());
  EXPECT_THAT(*store->Find("never").value().epochs, ElementsAre(joined_.epoch));
  const std::string next = std::to_string(joined_.epoch + (1U << 24));
  const std::string join =
      "UPDATE log SET starts = starts + 1; INSERT INTO member VALUES (" + next + ", ";
  log_.Sql(join + "1, 'b', '', '', 0, 0, false, false, null, null)");
  EXPECT_EQ(store->Find("never").value().epochs->size(), 2u);
  log_.Sql("UPDATE log SET generation = 2");
  EXPECT_TRUE(store->Find("never").ok());
  log_.Sql("UPDATE member SET generation = 2 WHERE epoch = " + next +
           "; UPDATE log SET starts = starts + 1");
  EXPECT_THAT(*store->Find("never").value().epochs, ElementsAre(joined_.epoch + (1U << 24)));
}

TEST_F(PostgresRows, ALongListComesInPages) {
  auto store = Open(log_.Member());
  std::vector<Entry> batch;
  for (std::uint64_t serial = 1; serial <= 120; ++serial) {
    const std::string gid = "g" + std::to_string(serial);
    batch.push_back(Begin(serial, gid));
    batch.push_back(End(serial, 2, gid));
  }
  ASSERT_TRUE(Write(*store, batch).ok());
  const std::vector<FinishedRow> page = store->Scan(0, 110).value();
  ASSERT_EQ(page.size(), 110u);
  EXPECT_EQ(page.front().serial, 120u);
  EXPECT_EQ(page.back().serial, 11u);
  EXPECT_EQ(store->Scan(11, 110).value().size(), 10u);
}

// ---- What is refused ----------------------------------------------------------------------------

TEST_F(PostgresRows, RefusedBeginsAndForgottenRowsInOneGroup) {
  auto store = Open(log_.Member());
  ASSERT_TRUE(
      Write(*store, Batch(Begin(1, "a"), End(1, 2, "a"), Begin(2, "b"), Begin(3, "b"))).ok());
  ASSERT_TRUE(Write(*store, Batch(Begin(4, "a"), Forget("a"), Update(4, 2, "a", "x"), Begin(5, "a"),
                                  Forget("a"), End(5, 2, "a"), Begin(6, "a")))
                  .ok());
  // 4 came while "a" was there; 5 when it was not; 6 when 5 had ended.
  EXPECT_EQ(Refused(), "0! 2? 4? 6! ");
  EXPECT_THAT(outcome_.never_begun, testing::UnorderedElementsAre(4u, 6u));
  EXPECT_EQ(store->Find("a").value().row.serial, 5u);
  // Two ends of one gid: the later stays, and so it does while it is tried again.
  ASSERT_TRUE(Write(*store, Batch(End(2, 2, "b"), End(3, 2, "b"), Begin(7, "c"))).ok());
  EXPECT_EQ(Refused(), "1! ");
  ASSERT_TRUE(Write(*store, Batch(Begin(8, "d"), End(3, 3, "b"), End(7, 2, "c"))).ok());
  EXPECT_EQ(Refused(), "1! ");
  EXPECT_EQ(store->Find("c").value().what, Found::What::kFinished);
  ASSERT_TRUE(Write(*store, Batch(Forget("b"), End(3, 4, "b"))).ok());
  EXPECT_EQ(Refused(), "");
  EXPECT_EQ(store->Find("b").value().row.serial, 3u);
}

TEST_F(PostgresRows, AFaultIsNamed) {
  auto store = Open(log_.Member());
  ASSERT_TRUE(Write(*store, Batch(Begin(1, "a"), Begin(2, "b"), Begin(3, "c"))).ok());
  Status status = Write(*store, Batch(Update(1, 2, "a", "x"), Update(2, 3, "b", "x")));
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("transaction b, serial 2, version 3"), HasSubstr("with version 2")));
  const std::string y = GidIn(SlotOf("c", kSlots), "y");
  status = Write(*store, Batch(Begin(9, "z"), Begin(3, y)));
  EXPECT_THAT(status.message(), AllOf(HasSubstr("transaction " + y + ", serial 3"),
                                      HasSubstr("a row with this serial")));
  // Nothing of either is there, and the lane goes on.
  EXPECT_TRUE(Write(*store, Batch(Update(1, 2, "a", "x"), Begin(9, "z"))).ok());
}

// ---- Retention ----------------------------------------------------------------------------------

TEST_F(PostgresRows, RowsGoWhenTheClusterHasKeptThemForTheirTime) {
  auto options = log_.Member();
  options.retention_age = 1000ms;
  options.retention_interval = 0ms;
  options.pinned_outcomes = {9};
  auto store = Open(options);
  const std::string mine = GidIn(0, "mine");
  const std::string pinned = GidIn(0, "pinned");
  const std::string others = GidIn(3, "others");
  const std::string young = GidIn(0, "young");
  const std::string late = GidIn(0, "late");
  const auto there = [&] {
    return log_.Sql("SELECT string_agg(gid, ' ' ORDER BY serial) FROM finished");
  };
  ASSERT_TRUE(
      Write(*store, Batch(Begin(1, late), Begin(2, mine), Begin(3, pinned), Begin(4, others)))
          .ok());
  options.slots->SetAge(100);
  ASSERT_TRUE(Write(*store, Batch(End(2, 2, mine), End(3, 2, pinned, 9), End(4, 2, others))).ok());
  log_.Sql("UPDATE slot SET wanted = 77 WHERE id = 3");
  ASSERT_TRUE(store->Release({3}).ok());
  options.slots->SetAge(1100);
  EXPECT_FALSE(store->UpkeepIdle().value());
  EXPECT_EQ(there(), mine + " " + pinned + " " + others);
  ASSERT_TRUE(Write(*store, Batch(Begin(5, young), End(5, 2, young))).ok());
  // Idle, in a commit of its own; what is not ours to remove stays.
  options.slots->SetAge(1101);
  while (store->UpkeepIdle().value()) {
  }
  EXPECT_EQ(there(), pinned + " " + others + " " + young);
  // Busy, in a group of others.
  options.slots->SetAge(2200);
  ASSERT_TRUE(Write(*store, Batch(End(1, 2, late))).ok());
  ASSERT_TRUE(Write(*store, {}).ok());
  EXPECT_EQ(there(), late + " " + pinned + " " + others);
  Stats stats;
  store->Describe(stats);
  EXPECT_EQ(stats.finished_rows, 3u);
}

// ---- Serials ------------------------------------------------------------------------------------

TEST(SlotTable, SerialsRiseWhateverTheClockDoes) {
  std::int64_t now = kSerialsBeginUnixMs + 1000;
  SlotTable table(1024, [&now] { return now; });
  EXPECT_EQ(table.Next(5), 0u) << "no beat has said how far";
  table.SetLimit(60'000);
  table.Assign({.slot = 5, .slot_epoch = 1}, 2000);
  const std::uint64_t first = table.Next(5);
  EXPECT_EQ(MsOfSerial(first), 2001) << "behind what the owner before may have given";
  EXPECT_EQ(first >> kSerialSlotShift & 1023, 5u);
  EXPECT_EQ(table.Next(5), first + 1);
  now += 5000;
  const std::uint64_t later = table.Next(5);
  EXPECT_EQ(MsOfSerial(later), 6000);
  now -= 3'600'000;
  std::uint64_t last = later;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t next = table.Next(5);
    ASSERT_GT(next, last);
    ASSERT_EQ(next >> kSerialSlotShift & 1023, 5u);
    last = next;
  }
  EXPECT_EQ(MsOfSerial(last), 6002);
  EXPECT_EQ(table.LastMs(5), 6002);
  // Never beyond what is durable.
  now += 7'200'000;
  const std::uint64_t end = table.Next(5);
  EXPECT_EQ(MsOfSerial(end), 60'000);
  int more = 0;
  while (table.Next(5) != 0) ++more;
  EXPECT_EQ(more, 4095);
  table.SetLimit(60'001);
  EXPECT_EQ(MsOfSerial(table.Next(5)), 60'001);
  table.NoteSerial(6, (std::uint64_t{50'000} << kSerialMsShift) | (6 << kSerialSlotShift));
  EXPECT_EQ(MsOfSerial(table.Next(6)), 60'001);
  EXPECT_TRUE(table.Has(5));
  table.Drop(5);
  for (Slot slot = 0; slot < table.slots_count(); ++slot) EXPECT_FALSE(table.Has(slot));
}

// ---- Statements ---------------------------------------------------------------------------------

// The plan to fear reads a table whole, or joins by a hash over one full of dead rows. It is chosen
// on a day nobody looks.
TEST_F(PostgresRows, NoStatementReadsATableWhole) {
  auto store = Open(log_.Member());
  auto connection = Connection::Open({.url = log_.url()}).value();
  for (const LaneStatement& statement : kLaneStatements)
    connection->AddPrepare(statement.name, statement.sql);
  connection->AddPrepare("load", kLoadSql);
  for (const Answer& answer : connection->Exchange()) ASSERT_TRUE(answer.ok()) << answer.message;
  const auto look = [&](const std::string& name, const std::string& sql) {
    int count = 0;
    while (sql.find("$" + std::to_string(count + 1)) != std::string::npos) ++count;
    std::string nulls;
    for (int i = 0; i < count; ++i) nulls += i == 0 ? "(NULL" : ", NULL";
    const Answer plan =
        connection->Run("EXPLAIN EXECUTE " + name + nulls + (count == 0 ? "" : ")"));
    ASSERT_TRUE(plan.ok()) << name << ": " << plan.message;
    std::string text;
    for (int row = 0; row < plan.rows.size(); ++row) text += plan.rows.Text(row, 0) + "\n";
    for (const char* table : {"live", "finished", "batch", "lane"})
      EXPECT_THAT(text, Not(HasSubstr(std::string("Seq Scan on ") + table))) << name;
    EXPECT_THAT(text, Not(testing::ContainsRegex("(Hash|Merge) (Anti |Semi |Left )?Join")))
        << name << "\n"
        << text;
  };
  for (const LaneStatement& statement : kLaneStatements) {
    const std::string sql = statement.sql;
    if (sql.find(' ') == std::string::npos || sql.substr(0, 5) == "BEGIN") continue;
    look(statement.name, sql);
  }
  look("load", kLoadSql);
}

}  // namespace
}  // namespace assent::log
