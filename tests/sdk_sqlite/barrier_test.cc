// The barrier: TCC and Saga branches over every order in which their operations can arrive
// (CORRECTNESS: T1-T5, T8, G2).

#include "tests/sdk_sqlite/store_fixture.h"

namespace assent::sqlite::test {
namespace {

using Kind = Reply::Kind;

constexpr char kStock[] =
    "CREATE TABLE IF NOT EXISTS stock(sku TEXT PRIMARY KEY, available INT, reserved INT, sold INT);"
    "INSERT INTO stock VALUES('A', 10, 0, 0) ON CONFLICT DO NOTHING;"
    "CREATE TABLE IF NOT EXISTS ran(what TEXT)";

// Freezes, consumes and releases one piece; notes each run in table `ran`.
void RegisterStock(Store& store) {
  const auto move = [](const char* name, const char* sql) {
    return [name, sql](Db& db, const Call& call) {
      db.Exec("INSERT INTO ran VALUES(?)", name);
      if (db.Exec(sql, call.payload) == 0) return Reply::Refused("no stock of " + call.payload);
      return Reply::Done(std::string(name) + "!");
    };
  };
  store.Tcc(
      "act",
      {.try_ = move("try",
                    "UPDATE stock SET available = available - 1, reserved = reserved + 1 "
                    "WHERE sku = ? AND available > 0"),
       .confirm = move("confirm",
                       "UPDATE stock SET reserved = reserved - 1, sold = sold + 1 WHERE sku = ?"),
       .cancel = move("cancel",
                      "UPDATE stock SET reserved = reserved - 1, available = available + 1 "
                      "WHERE sku = ?")});
  store.Saga("ship",
             {.action = move("action",
                             "UPDATE stock SET available = available - 1, sold = sold + 1 "
                             "WHERE sku = ? AND available > 0"),
              .compensate = move("compensate",
                                 "UPDATE stock SET available = available + 1, sold = sold - 1 "
                                 "WHERE sku = ?")});
}

class BarrierTest : public StoreTest {
 protected:
  void SetUp() override { Open(kStock, RegisterStock); }
  std::string Stock() {
    return Sql("SELECT available || '/' || reserved || '/' || sold FROM stock WHERE sku = 'A'");
  }
  std::string Ran() {
    return Sql("SELECT ifnull(group_concat(what), '') FROM (SELECT what FROM ran ORDER BY rowid)");
  }

  Branch tcc_{.protocol = Protocol::kTcc, .action = "act", .payload = "A"};
  Branch saga_{.protocol = Protocol::kSaga, .action = "ship", .payload = "A"};
};

TEST_F(BarrierTest, TryThenConfirm) {
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)), Reply::Done("try!"));
  EXPECT_EQ(Stock(), "9/1/0");
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kConfirm)), Reply::Done("confirm!"));
  EXPECT_EQ(Stock(), "9/0/1");
}

TEST_F(BarrierTest, TryThenCancel) {
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)), Reply::Done("try!"));
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kCancel)), Reply::Done("cancel!"));
  EXPECT_EQ(Stock(), "10/0/0");
}

TEST_F(BarrierTest, ADuplicateGetsTheFirstReplyAndHasNoEffect) {
  for (const Operation operation : {Operation::kTry, Operation::kConfirm}) {
    const Reply first = Ask(store(), tcc_.To(operation));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(store(), tcc_.To(operation)), first);
  }
  EXPECT_EQ(Stock(), "9/0/1");
  EXPECT_EQ(Ran(), "try,confirm");
}

TEST_F(BarrierTest, ADuplicateAfterReopeningGetsTheFirstReply) {
  const Reply first = Ask(store(), tcc_.To(Operation::kTry));
  Open(kStock, RegisterStock);
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)), first);
  EXPECT_EQ(Stock(), "9/1/0");
}

TEST_F(BarrierTest, ARefusalIsKeptThoughWhatItWroteIsNot) {
  tcc_.payload = "nothing of it";
  const Reply first = Ask(store(), tcc_.To(Operation::kTry));
  EXPECT_EQ(first, Reply::Refused("no stock of nothing of it"));
  EXPECT_EQ(Ran(), "") << "the refused handler's writes are undone";
  // Stock that arrives later changes nothing: the answer was final (seata deletes its fence row
  // here).
  ASSERT_EQ(Sql("INSERT INTO stock VALUES('nothing of it', 5, 0, 0)"), "");
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)), first);
  EXPECT_EQ(Inspect().barrier_rows, 1);
}

TEST_F(BarrierTest, CancelAfterARefusedTryRunsNothing) {
  tcc_.payload = "none";
  ASSERT_EQ(Ask(store(), tcc_.To(Operation::kTry)).kind, Kind::kRefused);
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kCancel)), Reply::Done());
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kCancel)), Reply::Done());
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kConfirm)).kind, Kind::kRefused);
  EXPECT_EQ(Ran(), "");
}

TEST_F(BarrierTest, CancelWithoutTryIsDoneAndRefusesTheLateTryForGood) {
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kCancel)), Reply::Done());
  EXPECT_EQ(Ran(), "");
  const Reply late = Ask(store(), tcc_.To(Operation::kTry));
  EXPECT_EQ(late, Reply::Refused("cancelled before it was tried"));
  Open(kStock, RegisterStock);
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)), late);
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kConfirm)), Reply::Refused("already cancelled"));
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kCancel)), Reply::Done());
  EXPECT_EQ(Stock(), "10/0/0");
  EXPECT_EQ(Ran(), "");
}

TEST_F(BarrierTest, ConfirmWithoutTryIsRefusedAndLeavesNothing) {
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kConfirm)), Reply::Refused("nothing tried"));
  EXPECT_EQ(Inspect().barrier_rows, 0);
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)), Reply::Done("try!"))
      << "the try may still come";
}

TEST_F(BarrierTest, NeverBothConfirmAndCancel) {
  ASSERT_EQ(Ask(store(), tcc_.To(Operation::kTry)).kind, Kind::kDone);
  ASSERT_EQ(Ask(store(), tcc_.To(Operation::kConfirm)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kCancel)), Reply::Refused("already confirmed"));
  Branch other = tcc_;
  other.gid = "g2";
  ASSERT_EQ(Ask(store(), other.To(Operation::kTry)).kind, Kind::kDone);
  ASSERT_EQ(Ask(store(), other.To(Operation::kCancel)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), other.To(Operation::kConfirm)), Reply::Refused("already cancelled"));
  EXPECT_EQ(Stock(), "9/0/1");
  // A late duplicate of the try still gets its first answer, and no effect.
  EXPECT_EQ(Ask(store(), other.To(Operation::kTry)), Reply::Done("try!"));
  EXPECT_EQ(Stock(), "9/0/1");
}

TEST_F(BarrierTest, SagaActionAndCompensation) {
  EXPECT_EQ(Ask(store(), saga_.To(Operation::kAction)), Reply::Done("action!"));
  EXPECT_EQ(Ask(store(), saga_.To(Operation::kAction)), Reply::Done("action!"));
  EXPECT_EQ(Stock(), "9/0/1");
  EXPECT_EQ(Ask(store(), saga_.To(Operation::kCompensate)), Reply::Done("compensate!"));
  EXPECT_EQ(Ask(store(), saga_.To(Operation::kCompensate)), Reply::Done("compensate!"));
  EXPECT_EQ(Stock(), "10/0/0");
  EXPECT_EQ(Ran(), "action,compensate");
}

TEST_F(BarrierTest, CompensationWithoutActionLeavesATombstone) {
  EXPECT_EQ(Ask(store(), saga_.To(Operation::kCompensate)), Reply::Done());
  EXPECT_EQ(Ask(store(), saga_.To(Operation::kAction)),
            Reply::Refused("compensated before it was executed"));
  EXPECT_EQ(Ran(), "");
}

// gids that are prefixes of one another, and branch ids that could be glued to look alike (dtm's
// BoltDB store lost such branches).
TEST_F(BarrierTest, BranchesAreToldApart) {
  const std::vector<std::pair<std::string, std::string>> ids = {
      {"g", "11"}, {"g1", "1"}, {"g11", ""}, {"g", "1"}};
  for (const auto& [gid, branch_id] : ids) {
    Branch branch = tcc_;
    branch.gid = gid;
    branch.branch_id = branch_id;
    EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)), Reply::Done("try!"));
  }
  EXPECT_EQ(Stock(), "6/4/0");
  EXPECT_EQ(Inspect().barrier_rows, 4);
}

TEST_F(BarrierTest, AnotherActionOrProtocolUnderTheSameIdsIsALie) {
  ASSERT_EQ(Ask(store(), tcc_.To(Operation::kTry)).kind, Kind::kDone);
  const Reply reply = Ask(store(), saga_.To(Operation::kCompensate));
  EXPECT_EQ(reply.kind, Kind::kRefused);
  EXPECT_EQ(reply.reason, "HAZARD: this branch was seen as tcc act, not saga ship");
  EXPECT_EQ(Stock(), "9/1/0");
}

TEST_F(BarrierTest, AnOperationOfAnotherProtocolIsRefused) {
  Call call = tcc_.To(Operation::kPrepare);
  EXPECT_EQ(Ask(store(), call), Reply::Refused("not an operation of a tcc branch"));
}

TEST_F(BarrierTest, IllFormedIdsAreRefused) {
  for (const std::string& gid : {std::string(), std::string(65, 'g')}) {
    tcc_.gid = gid;
    EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)),
              Reply::Refused("gid or branch id is empty or too long"));
  }
  EXPECT_EQ(Inspect().barrier_rows, 0);
}

TEST_F(BarrierTest, AnUnknownActionIsNotNow) {
  tcc_.action = "what";
  EXPECT_EQ(Ask(store(), tcc_.To(Operation::kTry)).kind, Kind::kRetryLater);
  EXPECT_EQ(Inspect().barrier_rows, 0);
}

}  // namespace

// Handlers that fail in each way they can.
class FailingHandlerTest : public StoreTest {
 protected:
  // Opens with handlers that write a row and then end as `end` says.
  void OpenWith(DbHandler end) {
    const DbHandler handler = [end](Db& db, const Call& call) {
      db.Exec("INSERT INTO t VALUES(?)", call.gid);
      return end(db, call);
    };
    const DbHandler done = [](Db&, const Call&) { return Reply::Done(); };
    Open("CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY)", [&](Store& store) {
      store.Tcc("act", {.try_ = handler, .confirm = handler, .cancel = handler});
      store.Tcc("easy", {.try_ = done, .confirm = handler, .cancel = handler});
    });
  }
  std::string Count() { return Sql("SELECT count(*) FROM t"); }
};

TEST_F(FailingHandlerTest, RetryLaterLeavesNoTrace) {
  int calls = 0;
  OpenWith([&](Db&, const Call&) {
    return ++calls == 1 ? Reply::RetryLater("busy", std::chrono::milliseconds(5))
                        : Reply::Done("second");
  });
  EXPECT_EQ(Ask(store(), Branch{}.To(Operation::kTry)),
            Reply::RetryLater("busy", std::chrono::milliseconds(5)));
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(Inspect().barrier_rows, 0);
  EXPECT_EQ(Ask(store(), Branch{}.To(Operation::kTry)), Reply::Done("second"));
  EXPECT_EQ(Count(), "1");
}

TEST_F(FailingHandlerTest, AnExceptionIsRetryLater) {
  OpenWith([](Db&, const Call&) -> Reply { throw std::runtime_error("oops"); });
  EXPECT_EQ(Ask(store(), Branch{}.To(Operation::kTry)),
            Reply::RetryLater("the handler threw: oops"));
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(Inspect().barrier_rows, 0);
  OpenWith([](Db&, const Call&) -> Reply { throw 42; });
  EXPECT_EQ(Ask(store(), Branch{}.To(Operation::kTry)), Reply::RetryLater("the handler threw"));
}

TEST_F(FailingHandlerTest, AViolatedConstraintIsARefusal) {
  OpenWith([](Db& db, const Call& call) {
    db.Exec("INSERT INTO t VALUES(?)", call.gid);  // a second time
    return Reply::Done("not so");
  });
  const Reply reply = Ask(store(), Branch{}.To(Operation::kTry));
  EXPECT_EQ(reply, Reply::Refused("UNIQUE constraint failed: t.id"));
  EXPECT_EQ(Count(), "0");
}

TEST_F(FailingHandlerTest, ABadStatementIsRetryLater) {
  OpenWith([](Db& db, const Call&) {
    db.Exec("INSERT INTO no_such_table VALUES(1)");
    EXPECT_EQ(db.Exec("INSERT INTO t VALUES('after the failure')"), 0);
    return Reply::Done();
  });
  const Reply reply = Ask(store(), Branch{}.To(Operation::kTry));
  EXPECT_EQ(reply.kind, Kind::kRetryLater);
  EXPECT_NE(reply.reason.find("no such table"), std::string::npos) << reply.reason;
  EXPECT_EQ(Count(), "0");
}

// There is no way but forward in the second phase: what fails there is asked again, and a refusal
// is not final.
TEST_F(FailingHandlerTest, ARefusalInTheSecondPhaseIsNotKept) {
  int calls = 0;
  OpenWith([&](Db&, const Call&) {
    return ++calls == 1 ? Reply::Refused("not yet") : Reply::Done("now");
  });
  Branch branch{.action = "easy"};
  ASSERT_EQ(Ask(store(), branch.To(Operation::kTry)), Reply::Done());
  EXPECT_EQ(Ask(store(), branch.To(Operation::kConfirm)), Reply::Refused("not yet"));
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(Ask(store(), branch.To(Operation::kConfirm)), Reply::Done("now"));
  EXPECT_EQ(Ask(store(), branch.To(Operation::kConfirm)), Reply::Done("now"));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(Count(), "1");
}

TEST_F(FailingHandlerTest, AViolatedConstraintInTheSecondPhaseIsRetryLater) {
  OpenWith([](Db& db, const Call& call) {
    db.Exec("INSERT INTO t VALUES(?)", call.gid);
    return Reply::Done();
  });
  Branch branch{.action = "easy"};
  ASSERT_EQ(Ask(store(), branch.To(Operation::kTry)), Reply::Done());
  EXPECT_EQ(Ask(store(), branch.To(Operation::kCancel)).kind, Kind::kRetryLater);
}

TEST_F(FailingHandlerTest, ADeferredForeignKeyIsCheckedBeforeTheGroupCommits) {
  Open(
      "CREATE TABLE IF NOT EXISTS p(id INTEGER PRIMARY KEY);"
      "CREATE TABLE IF NOT EXISTS c(id INTEGER PRIMARY KEY, p REFERENCES p DEFERRABLE INITIALLY "
      "DEFERRED)",
      [](Store& store) {
        store.Saga("act", {.action =
                               [](Db& db, const Call& call) {
                                 db.Exec("INSERT INTO c VALUES(NULL, 1)");
                                 if (call.payload == "parent too")
                                   db.Exec("INSERT INTO p VALUES(1)");
                                 return Reply::Done();
                               },
                           .compensate = [](Db&, const Call&) { return Reply::Done(); }});
      });
  Branch lone{.gid = "g1", .protocol = Protocol::kSaga};
  Branch whole{.gid = "g2", .protocol = Protocol::kSaga, .payload = "parent too"};
  const auto replies = AskAll(store(), {lone.To(Operation::kAction), whole.To(Operation::kAction)});
  EXPECT_EQ(replies[0], Reply::Refused("FOREIGN KEY constraint failed (deferred)"));
  EXPECT_EQ(replies[1], Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM c"), "1");
}

TEST_F(FailingHandlerTest, AnOverlongResultIsRefusedAndAnOverlongReasonIsCut) {
  OpenWith([](Db&, const Call& call) {
    return call.payload.empty() ? Reply::Done(std::string(256 * 1024 + 1, 'x'))
                                : Reply::Refused(std::string(2000, 'y'));
  });
  const Reply reply = Ask(store(), Branch{}.To(Operation::kTry));
  EXPECT_EQ(reply, Reply::Refused("the handler's result has 262145 bytes; the limit is 262144"));
  Branch second{.gid = "g2", .payload = "refuse"};
  const Reply refusal = Ask(store(), second.To(Operation::kTry));
  EXPECT_EQ(refusal.reason, std::string(1024, 'y'));
  EXPECT_EQ(Ask(store(), second.To(Operation::kTry)), refusal);
}

}  // namespace assent::sqlite::test
