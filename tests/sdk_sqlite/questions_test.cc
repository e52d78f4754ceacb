// What the store asks the coordinator about, and what it does with the answers.

#include <set>

#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

class QuestionsTest : public TwoPhaseFixture {
 protected:
  void SetUp() override {
    OpenSql(
        "CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, v); INSERT INTO t VALUES('a', 1) ON "
        "CONFLICT DO NOTHING");
  }
  std::string Asked(std::size_t limit = 100) {
    std::string text;
    for (const HeldBranch& branch : store().Questions(limit)) text += branch.gid + " ";
    return text;
  }
  void Answer(const std::string& gid, Verdict verdict, bool finished) {
    store().Answer({gid, "b1", 7, 3}, verdict, finished);
    ASSERT_EQ(store().Local([](Db&) { return OkStatus(); }), OkStatus());  // behind it in the queue
  }
  void Pass(std::chrono::milliseconds time) { now_ms_ += time.count(); }
};

TEST_F(QuestionsTest, APreparedBranchIsAskedAboutAfterAWhile) {
  ASSERT_EQ(Prepare("g1", "UPDATE t SET v = 2").kind, Kind::kDone);
  EXPECT_EQ(Asked(), "");
  Pass(std::chrono::milliseconds(4999));
  EXPECT_EQ(Asked(), "");
  Pass(std::chrono::milliseconds(1));
  EXPECT_EQ(Asked(), "g1 ");
  EXPECT_EQ(Asked(), "g1 ") << "until it is answered";
  const std::vector<HeldBranch> held = store().Questions(1);
  ASSERT_EQ(held.size(), 1U);
  EXPECT_EQ(held[0].branch_id, "b1");
  EXPECT_EQ(held[0].coordinator_id, 7U);
  EXPECT_EQ(held[0].began_epoch, 3U);
}

// Once ages were counted by wall time: a clock that was eight days ahead for a second, or at the
// next start, made every row old, and a late TRY found no barrier. What counts is for how long the
// store has been seen open; the machine's steady clock begins anywhere in each life.
TEST_F(QuestionsTest, AgeIsCountedByObservedTimeAlone) {
  const auto again = [this](std::chrono::milliseconds jump) {
    Close();
    now_ms_ += jump.count();
    SetUp();
  };
  ASSERT_EQ(Try("g1", "SELECT 1").kind, Kind::kDone);
  const Branch branch{"g1", "b1", Protocol::kTcc, "sql", {}};
  ASSERT_EQ(Ask(store(), branch.To(Operation::kConfirm)).kind, Kind::kDone);
  for (const auto jump : {std::chrono::hours(192), -std::chrono::hours(400)}) {
    again(jump);
    EXPECT_EQ(Asked(), "") << "no time has been observed";
    Answer("g1", Verdict::kCommit, true);
    EXPECT_EQ(Inspect().barrier_rows, 1);
  }
  // Three lives of 25 minutes each.
  for (int life = 0; life < 3; ++life) {
    EXPECT_EQ(Asked(), "") << "after " << life << " lives";
    Pass(std::chrono::minutes(25));
    Answer("nobody", Verdict::kCommit, true);  // the time goes to the file with any group
    if (life < 2) again(std::chrono::hours(life == 0 ? 1000 : -500));
  }
  EXPECT_EQ(Asked(), "g1 ");
  Answer("g1", Verdict::kCommit, true);
  EXPECT_EQ(Inspect().barrier_rows, 0);
}

// Two processes have the file open: time passes once for both.
TEST_F(QuestionsTest, TwoStoresAgreeOnTheTime) {
  Options options = MakeOptions("SELECT 1");
  std::int64_t other_ms = 5;
  options.steady_ms = [&] { return other_ms; };
  const std::unique_ptr<Store> other = std::move(*Store::Open(options));
  ASSERT_EQ(Try("g1", "SELECT 1").kind, Kind::kDone);
  const Branch branch{"g1", "b1", Protocol::kTcc, "sql", {}};
  ASSERT_EQ(Ask(store(), branch.To(Operation::kConfirm)).kind, Kind::kDone);
  for (int minute = 0; minute < 59; ++minute) {
    Pass(std::chrono::minutes(1));
    other_ms += 60'000;
    Answer("nobody", Verdict::kCommit, true);
    ASSERT_EQ(other->Local([](Db&) { return OkStatus(); }), OkStatus());
  }
  EXPECT_EQ(Asked(), "");
  EXPECT_EQ(other->Questions(100).size(), 0U);
  Pass(std::chrono::minutes(1));
  EXPECT_EQ(Asked(), "g1 ");
}

// Rows that an earlier version stamped with wall time begin to age when this one opens the file.
TEST_F(QuestionsTest, AFileOfFormat1IsTakenOver) {
  ASSERT_EQ(Try("g1", "SELECT 1").kind, Kind::kDone);
  const Branch branch{"g1", "b1", Protocol::kTcc, "sql", {}};
  ASSERT_EQ(Ask(store(), branch.To(Operation::kConfirm)).kind, Kind::kDone);
  ASSERT_EQ(Prepare("g2", "UPDATE t SET v = 2").kind, Kind::kDone);
  Close();
  Sql("ALTER TABLE assent_prepared DROP COLUMN began_unix_ms");
  Sql("UPDATE assent_barrier SET touched_ms = 1700000000000");
  Sql("UPDATE assent_meta SET value = 1 WHERE key = 'format'");
  Sql("DELETE FROM assent_meta WHERE key = 'clock_ms'");
  SetUp();
  EXPECT_EQ(Sql("SELECT value FROM assent_meta WHERE key = 'format'"), "2");
  EXPECT_EQ(Asked(), "g2 ") << "prepared in an earlier life";
  EXPECT_EQ(Commit("g2"), Reply::Done());
  Pass(std::chrono::hours(1));
  EXPECT_EQ(Asked(), "g1 g2 ");
}

TEST_F(QuestionsTest, AllPreparedBranchesAreAskedAboutAfterAStart) {
  ASSERT_EQ(Prepare("g1", "UPDATE t SET v = 2").kind, Kind::kDone);
  ASSERT_EQ(Prepare("g2", "INSERT INTO t VALUES('b', 2)").kind, Kind::kDone);
  SetUp();
  EXPECT_EQ(Asked(), "g1 g2 ");
  ASSERT_EQ(Prepare("g3", "INSERT INTO t VALUES('c', 2)").kind, Kind::kDone);
  EXPECT_EQ(Asked(), "g1 g2 ") << "not one of this life";
}

TEST_F(QuestionsTest, VerdictsFinishPreparedWork) {
  ASSERT_EQ(Prepare("g1", "UPDATE t SET v = 2").kind, Kind::kDone);
  ASSERT_EQ(Prepare("g2", "INSERT INTO t VALUES('b', 2)").kind, Kind::kDone);
  ASSERT_EQ(Prepare("g3", "INSERT INTO t VALUES('c', 2)").kind, Kind::kDone);
  ASSERT_EQ(Prepare("g4", "INSERT INTO t VALUES('d', 2)").kind, Kind::kDone);
  Answer("g1", Verdict::kCommit, false);
  Answer("g2", Verdict::kAbort, true);
  Answer("g3", Verdict::kUndecided, false);
  Answer("g4", Verdict::kCannotTell, false);
  EXPECT_EQ(Sql("SELECT group_concat(id || v) FROM t"), "a2");
  EXPECT_EQ(Inspect().prepared, 2);
  // The coordinator's own command comes all the same.
  EXPECT_EQ(Commit("g1"), Reply::Done());
  EXPECT_EQ(Rollback("g2"), Reply::Done());
}

TEST_F(QuestionsTest, AnswersForUnknownBranchesDoNothing) {
  Answer("nobody", Verdict::kCommit, true);
  EXPECT_EQ(Inspect().barrier_rows, 0);
}

// T9: a row goes only when nothing about its transaction can still arrive, and not before it has
// aged.
TEST_F(QuestionsTest, BarrierRowsGoWhenFinishedAndOld) {
  ASSERT_EQ(Try("g1", "SELECT 1").kind, Kind::kDone);
  Branch branch{"g1", "b1", Protocol::kTcc, "sql", {}};
  ASSERT_EQ(Ask(store(), branch.To(Operation::kConfirm)).kind, Kind::kDone);
  Answer("g1", Verdict::kCommit, true);
  EXPECT_EQ(Inspect().barrier_rows, 1) << "finished, but young";
  EXPECT_EQ(Asked(), "");
  Pass(std::chrono::hours(1));
  EXPECT_EQ(Asked(), "g1 ");
  Answer("g1", Verdict::kCommit, false);
  EXPECT_EQ(Inspect().barrier_rows, 1) << "old, but not finished";
  Answer("g1", Verdict::kCannotTell, true);
  EXPECT_EQ(Inspect().barrier_rows, 1);
  Answer("g1", Verdict::kCommit, true);
  EXPECT_EQ(Inspect().barrier_rows, 0);
  EXPECT_EQ(Asked(), "");
}

TEST_F(QuestionsTest, TombstonesAndChangesetsGoAsWell) {
  ASSERT_EQ(Rollback("g1"), Reply::Done());
  ASSERT_EQ(Act("g2", "UPDATE t SET v = 5").kind, Kind::kDone);
  Pass(std::chrono::hours(2));
  EXPECT_EQ(Asked(), "g1 g2 ");
  Answer("g1", Verdict::kAbort, true);
  Answer("g2", Verdict::kCommit, true);
  EXPECT_EQ(Inspect().barrier_rows, 0);
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo"), "0");
  EXPECT_EQ(Sql("SELECT v FROM t"), "5");
}

// Touching a row keeps it: a row that is young again when the answer comes stays.
TEST_F(QuestionsTest, AnAnswerThatComesLateFindsTheRowTouched) {
  ASSERT_EQ(Act("g1", "UPDATE t SET v = 5").kind, Kind::kDone);
  Pass(std::chrono::hours(1));
  ASSERT_EQ(Asked(), "g1 ");
  ASSERT_EQ(Compensate("g1"), Reply::Done());
  Answer("g1", Verdict::kAbort, true);
  EXPECT_EQ(Inspect().barrier_rows, 1);
}

// Frozen, and nobody will ever confirm or cancel: kept, counted, no longer asked about.
TEST_F(QuestionsTest, AnOrphanIsForAPerson) {
  ASSERT_EQ(Try("g1", "UPDATE t SET v = 5").kind, Kind::kDone);
  Pass(std::chrono::hours(1));
  Answer("g1", Verdict::kAbort, true);
  EXPECT_EQ(Inspect().orphans, 1);
  EXPECT_EQ(Asked(), "");
  EXPECT_EQ(Sql("SELECT v FROM t"), "5");
  Branch branch{"g1", "b1", Protocol::kTcc, "sql", {}};
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCancel)), Reply::Done())
      << "if it comes after all, it works";
}

// seata 6478: retries starved behind finished rows. Every branch has its turn, whatever stands
// before it.
TEST_F(QuestionsTest, EverybodyHasATurn) {
  std::set<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    const std::string id = std::to_string(i);
    ASSERT_EQ(Prepare("p" + id, "INSERT INTO t VALUES('" + id + "', 0)").kind, Kind::kDone);
    ASSERT_EQ(Rollback("r" + id).kind, Kind::kDone);
    expected.insert("p" + id);
    expected.insert("r" + id);
  }
  Pass(std::chrono::hours(1));
  for (const std::size_t limit :
       {std::size_t{1}, std::size_t{3}, std::size_t{8}, std::size_t{100}}) {
    std::set<std::string> seen;
    for (int round = 0; round < 60; ++round) {
      const std::vector<HeldBranch> held = store().Questions(limit);
      EXPECT_LE(held.size(), limit);
      std::set<std::string> once;
      for (const HeldBranch& branch : held) {
        seen.insert(branch.gid);
        EXPECT_TRUE(once.insert(branch.gid).second) << branch.gid << " twice in one answer";
      }
    }
    if (limit == 1) {
      EXPECT_GE(seen.size(), 20U) << "prepared ones come first";
    } else {
      EXPECT_EQ(seen, expected) << "limit " << limit;
    }
  }
  EXPECT_TRUE(store().Questions(0).empty());
}

}  // namespace
}  // namespace assent::sqlite::test
