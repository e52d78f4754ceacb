// What is kept prepared: seen by nobody, committed or rolled back once, also after a crash at each
// of the moments at which the database and the barrier's row say different things.

#include <future>

#include "tests/sdk_postgresql/store_fixture.h"
#include "tests/support/tcp_gate.h"

namespace assent::postgresql::test {
namespace {

using Kind = Reply::Kind;

Branch Debit(const std::string& gid = "g1", int id = 1) {
  return {.gid = gid, .protocol = Protocol::kTwoPhase, .payload = std::to_string(id) + " -40"};
}

class TwoPhaseTest : public StoreTest {
 protected:
  std::string Prepared() {
    return Sql(
        "SELECT coalesce(string_agg(gid, ',' ORDER BY gid), '') FROM pg_prepared_xacts WHERE "
        "database = current_database()");
  }
  void TearDown() override {
    Close();
    // Or the server could prepare no more for the next test.
    for (std::string name; !(name = Sql("SELECT gid FROM pg_prepared_xacts WHERE database = "
                                        "current_database() LIMIT 1"))
                                .empty();)
      Sql("ROLLBACK PREPARED '" + name + "'");
  }
};

TEST_F(TwoPhaseTest, PreparedWorkIsUnseenUntilItIsCommitted) {
  OpenAccounts();
  const Reply prepared = Ask(store(), Debit().To(Operation::kPrepare));
  EXPECT_EQ(prepared, Reply::Done("moved 1 -40"));
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(Prepared(), "assent/g1/b1");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)), prepared);
  EXPECT_EQ(Inspect().prepared, 1);
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)), Reply::Refused("already committed"));
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Sql("SELECT (SELECT count(*) FROM assent_marker) + (SELECT count(*) FROM assent_age)"),
            "0");
}

TEST_F(TwoPhaseTest, ARollbackLeavesNothingAndTheLatePrepareIsRefused) {
  OpenAccounts();
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2").To(Operation::kRollback)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2").To(Operation::kPrepare)),
            Reply::Refused("rolled back before it was prepared"));
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Ask(store(), Debit("g3").To(Operation::kCommit)),
            Reply::Refused("HAZARD: not prepared here"));
}

TEST_F(TwoPhaseTest, ARefusalAndAReadLeaveNothingPrepared) {
  Open([](Store& store) {
    RegisterAccounts(store);
    store.TwoPhase("look", [](Db& db, const Call&) {
      return Reply::Done(db.Get<std::string>("SELECT free FROM account WHERE id = 1").value_or(""));
    });
    store.TwoPhase("temporary", [](Db& db, const Call&) {
      db.Exec("CREATE TEMPORARY TABLE scratch(x int)");
      return Reply::Done();
    });
  });
  const Branch poor{.protocol = Protocol::kTwoPhase, .payload = "1 -101"};
  EXPECT_EQ(Ask(store(), poor.To(Operation::kPrepare)), Reply::Refused("not enough"));
  const Branch look{.gid = "g2", .protocol = Protocol::kTwoPhase, .action = "look"};
  const Reply looked = Ask(store(), look.To(Operation::kPrepare));
  EXPECT_EQ(looked, Reply::DoneReadOnly("100"));
  EXPECT_EQ(Ask(store(), look.To(Operation::kPrepare)), looked);
  EXPECT_EQ(Ask(store(), look.To(Operation::kCommit)).kind, Kind::kDone);
  const Branch temporary{.gid = "g3", .protocol = Protocol::kTwoPhase, .action = "temporary"};
  const Reply refused = Ask(store(), temporary.To(Operation::kPrepare));
  EXPECT_EQ(refused.kind, Kind::kRefused) << "no promise that cannot be kept";
  EXPECT_NE(refused.reason.find("temporary"), std::string::npos) << refused.reason;
  EXPECT_EQ(Prepared(), "");
}

TEST_F(TwoPhaseTest, OnePhaseIsOneLocalTransaction) {
  OpenAccounts();
  Call call = Debit().To(Operation::kPrepare);
  call.one_phase = true;
  EXPECT_EQ(Ask(store(), call).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), call).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)), Reply::Refused("already committed"));
}

TEST_F(TwoPhaseTest, AfterARestartPreparedWorkIsAskedAboutAndEnded) {
  OpenAccounts();
  for (const char* gid : {"g1", "g2", "g3"})
    EXPECT_EQ(Ask(store(), Debit(gid, gid[1] - '0').To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_TRUE(store().Questions(10).size() == 3U) << "the first round asks about all";
  EXPECT_TRUE(store().Questions(10).empty()) << "then about old ones";
  now_ms_ += 6000;
  EXPECT_EQ(store().Questions(10).size(), 3U);
  now_ms_ -= 6000;
  server().Kill();
  ASSERT_TRUE(server().Start().ok());
  OpenAccounts();
  const std::vector<HeldBranch> asked = store().Questions(10);
  ASSERT_EQ(asked.size(), 3U);
  EXPECT_EQ(asked[0].gid, "g1");
  EXPECT_EQ(asked[0].branch_id, "b1");
  EXPECT_EQ(asked[0].coordinator_id, 7U);
  EXPECT_EQ(asked[0].began_epoch, 3U);
  store().Answer(asked[0], Verdict::kCommit, false);
  store().Answer(asked[1], Verdict::kAbort, false);
  store().Answer(asked[2], Verdict::kUndecided, false);
  EXPECT_TRUE(assent::test::WaitUntil([&] { return Prepared() == "assent/g3/b1"; },
                                      std::chrono::seconds(10)))
      << Prepared();
  EXPECT_EQ(Ask(store(), Debit("g1", 1).To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2", 2).To(Operation::kRollback)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Balance(2), "100/0");
}

TEST_F(TwoPhaseTest, OthersPreparedWorkIsLeftAlone) {
  OpenAccounts();
  for (const char* name : {"somebody", "assent/nothing", "assent/a b/c"}) {
    (void)server().TrySql(
        database(), std::string("BEGIN; UPDATE account SET held = 1 WHERE id = ") +
                        std::to_string(10 + std::string(name).size()) + "; PREPARE TRANSACTION '" +
                        name + "'");
  }
  EXPECT_EQ(Prepared(), "assent/a b/c,assent/nothing,somebody");
  now_ms_ += 100'000;
  EXPECT_TRUE(store().Questions(10).empty());
}

TEST_F(TwoPhaseTest, WhatWasEndedBehindOurBackIsAHazard) {
  OpenAccounts();
  EXPECT_EQ(Ask(store(), Debit("g1", 1).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2", 2).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g3", 3).To(Operation::kPrepare)).kind, Kind::kDone);
  Sql("ROLLBACK PREPARED 'assent/g1/b1'");
  Sql("COMMIT PREPARED 'assent/g2/b1'");
  Sql("COMMIT PREPARED 'assent/g3/b1'");
  const Reply lost = Ask(store(), Debit("g1", 1).To(Operation::kCommit));
  EXPECT_EQ(lost.kind, Kind::kRefused);
  EXPECT_TRUE(lost.reason.starts_with("HAZARD: ")) << lost.reason;
  const Reply kept = Ask(store(), Debit("g2", 2).To(Operation::kRollback));
  EXPECT_TRUE(kept.reason.starts_with("HAZARD: ")) << kept.reason;
  EXPECT_EQ(Ask(store(), Debit("g3", 3).To(Operation::kCommit)), Reply::Done())
      << "as it was decided";
}

// The connection is cut at a named point, once.
class CutTest : public TwoPhaseTest {
 protected:
  void OpenThroughGate(std::string at) {
    Options options = MakeOptions();
    options.connection = ThroughGate();
    options.at_point = [this, at = std::move(at)](std::string_view point) {
      if (point == at && !std::exchange(cut_, true)) {
        gate_.HoldRequestsAfter(0);
        gate_.CutClients();
      }
    };
    OpenAccounts(std::move(options));
  }
  std::string ThroughGate() {
    return "host=127.0.0.1 dbname=" + database() + " user=" + Server::kUser +
           " port=" + std::to_string(gate_.port());
  }
  assent::test::TcpGate gate_{server().port()};
  bool cut_ = false;
};

TEST_F(CutTest, PreparedAndNobodyWasTold) {
  OpenThroughGate("prepare:prepared");
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt);
  EXPECT_EQ(Prepared(), "assent/g1/b1");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "0");
  gate_.Deliver();
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/0") << "once";
}

TEST_F(CutTest, PreparedAndNobodyWasToldAndThenItIsRolledBack) {
  OpenThroughGate("prepare:prepared");
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt);
  gate_.Deliver();
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)).kind, Kind::kDone);
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kRefused);
}

TEST_F(CutTest, PreparedAndNobodyWasToldAndTheCoordinatorIsAsked) {
  OpenThroughGate("prepare:prepared");
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt);
  gate_.Deliver();
  Options options = MakeOptions();
  options.ask_after = std::chrono::milliseconds(1);
  OpenAccounts(std::move(options));
  const std::vector<HeldBranch> asked = store().Questions(10);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].gid, "g1");
  store().Answer(asked[0], Verdict::kCommit, false);
  EXPECT_EQ(store().Local([](Db&) { return OkStatus(); }), OkStatus());
  EXPECT_EQ(Prepared(), "assent/g1/b1") << "promised to nobody: cannot have been committed by us";
  store().Answer(asked[0], Verdict::kAbort, true);
  EXPECT_TRUE(
      assent::test::WaitUntil([&] { return Prepared().empty(); }, std::chrono::seconds(10)));
}

TEST_F(CutTest, CommittedAndNotWrittenDown) {
  OpenThroughGate("settle:settled");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kCommit)), std::nullopt);
  EXPECT_EQ(Balance(1), "60/0");
  gate_.Deliver();
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)), Reply::Refused("already committed"));
  EXPECT_EQ(Balance(1), "60/0");
}

TEST_F(CutTest, RolledBackAndNotWrittenDown) {
  OpenThroughGate("settle:settled");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kRollback)), std::nullopt);
  gate_.Deliver();
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)), Reply::Done());
  EXPECT_EQ(Balance(1), "100/0");
}

// COMMIT of a group: the server has it, and its answer is lost; or it never came.
TEST_F(CutTest, ACommitWithoutAnAnswerIsAnsweredByNobody) {
  OpenThroughGate("group:before-commit");
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(TryAsk(store(), branch.To(Operation::kTry)), std::nullopt);
  EXPECT_EQ(Inspect().unknown, 1U);
  gate_.Deliver();
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/40");
}

TEST_F(CutTest, ACommitWhoseAnswerIsLostIsFoundByTheNext) {
  OpenThroughGate("nowhere");
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(Ask(store(), Branch{.gid = "g0", .payload = "2 -1"}.To(Operation::kTry)).kind,
            Kind::kDone);
  gate_.HoldAnswers();
  auto asked = std::async([&] { return TryAsk(store(), branch.To(Operation::kTry)); });
  gate_.CutClients();
  (void)asked.get();
  gate_.Deliver();
  EXPECT_EQ(Ask(store(), branch.To(Operation::kTry)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/40");
}

// A server that has gone silent without a word.
TEST_F(CutTest, ASilentServerCountsAsGone) {
  Options options = MakeOptions();
  options.connection = ThroughGate();
  options.lock_timeout = options.statement_timeout = std::chrono::milliseconds(500);
  options.answer_within = std::chrono::milliseconds(1500);
  options.at_point = [this](std::string_view point) {
    if (point == "group:before-commit" && !std::exchange(cut_, true)) gate_.HoldAnswers();
  };
  OpenAccounts(std::move(options));
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(TryAsk(store(), branch.To(Operation::kTry)), std::nullopt) << "nobody knows";
  const Reply second = Ask(store(), branch.To(Operation::kTry));
  EXPECT_EQ(second.kind, Kind::kDone) << "on a new connection: " << second.reason;
  EXPECT_EQ(Balance(1), "60/40");
}

TEST(NoPreparedTransactions, TwoPhaseIsRefusedAtStartWithWhatToDo) {
  assent::test::PostgresOptions settings;
  settings.settings["max_prepared_transactions"] = "0";
  assent::test::PostgresServer server(settings);
  ASSERT_TRUE(server.Start().ok());
  Options options;
  options.connection = server.Url(server.NewDatabase());
  options.setup = [](Db& db) { db.ExecScript(kMakeAccounts); };
  const auto store = Store::Open(options);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  (*store)->Saga("act", {.action = [](Db&, const Call&) { return Reply::Done(); },
                         .compensate = [](Db&, const Call&) { return Reply::Done(); }});
  EXPECT_EQ((*store)->Registration(), OkStatus()) << "who prepares nothing needs no setting";
  (*store)->TwoPhase("act", [](Db&, const Call&) { return Reply::Done(); });
  EXPECT_EQ((*store)->Registration().code(), Code::kFailedPrecondition);
  const std::string words = (*store)->Registration().message();
  EXPECT_NE(words.find("max_prepared_transactions"), std::string::npos) << words;
  EXPECT_NE(words.find("restart PostgreSQL"), std::string::npos) << words;
}

}  // namespace
}  // namespace assent::postgresql::test
