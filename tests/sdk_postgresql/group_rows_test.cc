// The barrier's rows of a group are written together: as each would be alone, and all or none.

#include <atomic>

#include "participant-sdk/cpp/postgresql/barrier_rows.h"
#include "tests/sdk_postgresql/group_fixture.h"

namespace assent::postgresql::test {
namespace {

using barrier::State;
using internal::Answer;
using internal::Connection;
using internal::RowWrite;
using Kind = Reply::Kind;

constexpr std::size_t kBusy = limits::kMinConnectionsCount;  // writes that kept the threads busy

class GroupRowsTest : public GroupTest {
 protected:
  Options MakeOptions() {
    Options options = GroupTest::MakeOptions();
    options.connections = limits::kMinConnectionsCount;
    return options;
  }
  // Runs `sql` elsewhere while the second operation of the fifth branch runs for the first time.
  void OpenDisturbed(Operation disturbed, const std::string& sql) {
    const auto adding = [this, disturbed, sql](Db& db, const Call& call) {
      db.Exec("UPDATE account SET held = held + 1 WHERE id = $1", std::stoi(call.gid.substr(1)));
      if (call.operation == disturbed && call.gid == "g5" && !is_disturbed_.exchange(true))
        Sql(sql);
      return Reply::Done(std::string(Name(call.operation)));
    };
    Open(MakeOptions(),
         [&adding](Store& store) { store.Saga("act", {.action = adding, .compensate = adding}); });
  }
  std::vector<Reply> AskTen(Operation operation) {
    return AskInOneGroup(Calls(10, operation, Protocol::kSaga));
  }
  std::string Held() {
    return Sql("SELECT string_agg(held::text, '' ORDER BY id) FROM account WHERE id <= 10");
  }

 private:
  std::atomic<bool> is_disturbed_ = false;
};

TEST_F(GroupRowsTest, ARowThatSomebodyElseMovesUndoesTheGroup) {
  OpenDisturbed(Operation::kCompensate, "UPDATE assent_barrier SET state = 7 WHERE gid = 'g5'");
  (void)AskTen(Operation::kAction);
  EXPECT_EQ(Held(), "1111111111");
  for (const Reply& reply : AskTen(Operation::kCompensate)) EXPECT_EQ(reply.kind, Kind::kDone);
  EXPECT_EQ(Held(), "2222122222") << "each once, and the fifth, when it ran again, not at all";
  EXPECT_EQ(Inspect().undone, 10U);
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier WHERE state = 6"), "9");
}

TEST_F(GroupRowsTest, ARowThatSomebodyElseDropsUndoesTheGroup) {
  OpenDisturbed(Operation::kCompensate, "DELETE FROM assent_barrier WHERE gid = 'g5'");
  (void)AskTen(Operation::kAction);
  for (const Reply& reply : AskTen(Operation::kCompensate)) EXPECT_EQ(reply.kind, Kind::kDone);
  EXPECT_EQ(Held(), "2222122222");
  EXPECT_EQ(Inspect().undone, 10U);
  EXPECT_EQ(Sql("SELECT action || state || orphan FROM assent_barrier WHERE gid = 'g5'"), "act70")
      << "a tombstone, and nothing of the row that had been proposed";
}

TEST_F(GroupRowsTest, ARowThatSomebodyElseMakesUndoesTheGroup) {
  OpenDisturbed(Operation::kAction,
                "INSERT INTO assent_barrier VALUES('g5', 'b1', 3, 'act', 2, 1, 'theirs', '', '', "
                "7, 3, 0, 0)");
  const std::vector<Reply> replies = AskTen(Operation::kAction);
  for (std::size_t i = 0; i < replies.size(); ++i)
    EXPECT_EQ(replies[i], Reply::Done(i == 4 ? "theirs" : "ACTION")) << i;
  EXPECT_EQ(Held(), "1111011111");
  EXPECT_EQ(Inspect().undone, 10U);
}

TEST_F(GroupRowsTest, RowsOfAllKindsAreWrittenTogether) {
  OpenAccounts(MakeOptions());
  const auto call = [](const std::string& gid, Operation operation, const char* payload) {
    return Branch{.gid = gid, .payload = payload}.To(operation);
  };
  (void)AskInOneGroup({call("g1", Operation::kTry, "1 -1"), call("g2", Operation::kTry, "2 -1"),
                       call("g3", Operation::kTry, "3 -1"), call("g4", Operation::kTry, "4 -1")});
  EXPECT_EQ(Inspect().groups, kBusy + 1);
  const std::vector<Reply> replies = AskInOneGroup({
      call("g1", Operation::kConfirm, "1 -1"),    // moves on
      call("g2", Operation::kConfirm, "2 -1"),    //
      call("g3", Operation::kCancel, "3 -1"),     //
      call("g4", Operation::kConfirm, "999 -1"),  // refused, of which nothing is kept
      call("g5", Operation::kTry, "5 -1"),        // new
      call("g6", Operation::kTry, "6 -101"),      // refused
      call("g7", Operation::kCancel, "7 -1"),     // a tombstone
  });
  EXPECT_EQ(Inspect().groups, 2 * (kBusy + 1));
  std::string kinds;
  for (const Reply& reply : replies) kinds += std::to_string(static_cast<int>(reply.kind));
  EXPECT_EQ(kinds, "1113131") << "done and refused";
  EXPECT_EQ(Sql("SELECT string_agg(gid || ':' || state || ':' || convert_from(result, 'UTF8') || "
                "':' || convert_from(second_result, 'UTF8') || ':' || orphan, ' ' ORDER BY gid) "
                "FROM assent_barrier"),
            "g1:5:moved 1 -1:moved 1 -1:0 g2:5:moved 2 -1:moved 2 -1:0 g3:6:moved 3 -1:moved 3 "
            "-1:0 g4:2:moved 4 -1::0 g5:2:moved 5 -1::0 g6:1:::0 g7:7:::0");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier WHERE protocol = 2 AND action = 'act' AND "
                "coordinator_id = 7 AND began_epoch = 3 AND touched_ms = 1000000000"),
            "7");
}

TEST_F(GroupRowsTest, ABranchesSecondOperationIsInALaterGroup) {
  OpenAccounts(MakeOptions());
  const Branch branch{.payload = "1 -40"};
  const Branch other{.gid = "g2", .payload = "2 -40"};
  for (const Reply& reply :
       AskInOneGroup({branch.To(Operation::kTry), other.To(Operation::kTry),
                      branch.To(Operation::kTry), branch.To(Operation::kConfirm)}))
    EXPECT_EQ(reply.kind, Kind::kDone) << reply.reason;
  EXPECT_EQ(Inspect().groups, kBusy + 3);
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Balance(2), "60/40");
}

// Values travel inside of the text of an array, which has signs of its own.
TEST_F(GroupRowsTest, AnyBytesAndAnyTextComeBack) {
  std::string all_bytes;
  for (int c = 0; c < 256; ++c) all_bytes += static_cast<char>(c);
  const std::vector<std::string> odd = {
      "",
      "NULL",
      "{}",
      "{a,b}",
      "\"quoted\"",
      R"(back\slash)",
      R"(\x41\\)",
      R"(\"\\")",
      "two\nlines\t",
      " blank ",
      "'it''s",
      "${1}",
      "gr\u00fc\u00df \u20ac",
  };
  Open(MakeOptions(), [&](Store& store) {
    const auto answer = [&](Db& /*db*/, const Call& call) {
      const std::size_t number = std::stoul(call.gid.substr(1)) - 1;
      if (number == 0) return Reply::Done(all_bytes);
      if (number <= odd.size()) return Reply::Done(odd[number - 1]);
      return Reply::Refused(odd[number - 1 - odd.size()]);
    };
    store.Saga("act", {.action = answer, .compensate = answer});
  });
  const int count = 1 + 2 * static_cast<int>(odd.size());
  const auto ask = [&](Operation operation) {
    return AskInOneGroup(Calls(count, operation, Protocol::kSaga));
  };
  const std::vector<Reply> acted = ask(Operation::kAction);
  EXPECT_EQ(acted[0].result, all_bytes);
  for (std::size_t i = 0; i < odd.size(); ++i) {
    EXPECT_EQ(acted[1 + i], Reply::Done(odd[i]));
    EXPECT_EQ(acted[1 + odd.size() + i].kind, Kind::kRefused);
  }
  EXPECT_EQ(Inspect().groups, kBusy + 1);
  EXPECT_EQ(ask(Operation::kAction), acted) << "as it was kept";
  const std::vector<Reply> undone = ask(Operation::kCompensate);
  EXPECT_EQ(undone[0].result, all_bytes);
  EXPECT_EQ(ask(Operation::kCompensate), undone);
}

// The rows alone, over a connection of the test's own.
class RowWritesTest : public StoreTest {
 protected:
  void SetUp() override {
    Reconnect();
    ASSERT_EQ(internal::MakeTables(*connection_), OkStatus());
    Sql("ALTER TABLE assent_barrier SET (autovacuum_enabled = false)");
  }
  // Without what it has prepared.
  void Reconnect() {
    using std::chrono_literals::operator""s;
    auto opened = Connection::Open({server().Url(database()), 10s, 10s, 20s, 10s});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    connection_ = std::move(*opened);
    ASSERT_TRUE(connection_->Run("SET plan_cache_mode = force_generic_plan").ok());
  }
  // Moves so many branches from state to state; the first that failed.
  Answer Write(int first, int count, State was, State state) {
    std::vector<Call> calls;
    for (int i = first; i < first + count; ++i)
      calls.push_back(Branch{.gid = "g" + std::to_string(i)}.To(Operation::kTry));
    const Reply reply = Reply::Done("result");
    std::vector<RowWrite> rows;
    for (const Call& call : calls) rows.push_back({&call, was, state, &reply});
    internal::AddWrites(*connection_, rows, std::nullopt);
    std::vector<Answer> answers = connection_->Exchange();
    EXPECT_EQ(answers.size(), 1U);
    return std::move(answers.front());
  }
  void MakeManyRows() {
    Sql("INSERT INTO assent_barrier SELECT 'many' || i, 'b1', 2, 'act', 2, 1, '', '', '', 7, 3, 0, "
        "0 FROM generate_series(1, 50000) i");
  }
  // What it has looked at row by row.
  std::string ReadInOrder() {
    const Answer answer = connection_->Query(
        "SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(oid)), 0), "
        "coalesce(sum(pg_stat_get_xact_numscans(oid)), 0) FROM pg_class WHERE relname = "
        "'assent_barrier'");
    EXPECT_TRUE(answer.ok()) << answer.message;
    return std::string(answer.table.Text(0, 0)) + " in " + std::string(answer.table.Text(0, 1));
  }
  // The plans of both statements, as they were prepared.
  std::string Plans() {
    const Answer found = connection_->Query(
        "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement "
        "LIKE '%INTO assent_barrier%unnest%' AND statement NOT LIKE '%pg_prepared%'");
    EXPECT_EQ(found.table.rows(), 2);
    std::string plans;
    for (int i = 0; i < found.table.rows(); ++i) {
      std::string sql = "EXPLAIN EXECUTE " + std::string(found.table.Text(i, 0)) + "(";
      for (std::int64_t k = found.table.Int(i, 1); k > 1; --k) sql += "'{}', ";
      const Answer plan = connection_->Run(sql + "NULL)");
      EXPECT_TRUE(plan.ok()) << plan.message;
      for (int line = 0; line < plan.table.rows(); ++line)
        plans.append(plan.table.Text(line, 0)).append("\n");
    }
    return plans;
  }
  // In one transaction, whose counts nobody sets back.
  void ExpectByKeyAlone() {
    ASSERT_TRUE(connection_->Run("BEGIN").ok());
    const std::string before = ReadInOrder();
    EXPECT_TRUE(Write(1, 40, State::kNone, State::kDone).ok());
    EXPECT_TRUE(Write(1, 40, State::kDone, State::kFinished).ok());
    EXPECT_EQ(ReadInOrder(), before);
    ASSERT_TRUE(connection_->Run("ROLLBACK").ok());
    const std::string plans = Plans();
    EXPECT_EQ(plans.find("Seq Scan"), std::string::npos) << plans;
    EXPECT_EQ(plans.find("Join"), std::string::npos) << plans;
    EXPECT_NE(plans.find("Conflict Arbiter Indexes: assent_barrier_pkey"), std::string::npos)
        << plans;
  }

  std::unique_ptr<Connection> connection_;
};

TEST_F(RowWritesTest, AreFoundByTheKeyWhateverThePlannerBelieves) {
  // Plans that were made of an empty table stay when it has grown.
  ExpectByKeyAlone();
  MakeManyRows();
  ExpectByKeyAlone();
  // Made of a table with many rows that has not been looked at.
  Reconnect();
  ExpectByKeyAlone();
  // Of one that was empty when it was.
  Sql("TRUNCATE assent_barrier");
  Sql("VACUUM ANALYZE assent_barrier");
  Reconnect();
  ExpectByKeyAlone();
  MakeManyRows();
  ExpectByKeyAlone();
}

TEST_F(RowWritesTest, AllOrNone) {
  ASSERT_TRUE(Write(1, 9, State::kNone, State::kDone).ok());
  const auto states = [this] {
    return Sql("SELECT string_agg(state::text, '' ORDER BY gid) FROM assent_barrier");
  };
  EXPECT_FALSE(Write(2, 9, State::kDone, State::kFinished).ok()) << "the tenth is not there";
  EXPECT_EQ(states(), "222222222");
  EXPECT_EQ(Write(9, 2, State::kNone, State::kDone).failure, internal::Failure::kConstraint);
  EXPECT_EQ(states(), "222222222");
  Sql("UPDATE assent_barrier SET state = 6 WHERE gid = 'g4'");
  EXPECT_FALSE(Write(1, 9, State::kDone, State::kFinished).ok()) << "the fourth has moved on";
  EXPECT_EQ(states(), "222622222");
  EXPECT_TRUE(Write(5, 5, State::kDone, State::kFinished).ok());
  EXPECT_EQ(states(), "222655555");
  // One that a person was to look at is moved like the others, and stays marked.
  Sql("UPDATE assent_barrier SET orphan = 1 WHERE gid = 'g1'");
  EXPECT_TRUE(Write(1, 3, State::kDone, State::kUndone).ok());
  EXPECT_EQ(states() + Sql("SELECT sum(orphan) FROM assent_barrier"), "6666555551");
}

}  // namespace
}  // namespace assent::postgresql::test
