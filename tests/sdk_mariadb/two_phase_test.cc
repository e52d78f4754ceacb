// What is kept prepared: seen by nobody, committed or rolled back once, also after a crash at each
// of the moments at which the database and the barrier's row say different things.

#include <future>
#include <latch>
#include <thread>

#include "tests/sdk_mariadb/store_fixture.h"
#include "tests/support/tcp_gate.h"

namespace assent::mariadb::test {
namespace {

using Kind = Reply::Kind;

Branch Debit(const std::string& gid = "g1", int id = 1) {
  return {.gid = gid, .protocol = Protocol::kTwoPhase, .payload = std::to_string(id) + " -40"};
}

class TwoPhaseTest : public StoreTest {
 protected:
  explicit TwoPhaseTest(MariaServer& server = MariaServer::OfThisBinary()) : StoreTest(server) {}
  // "g1/b1,g2/b1"
  std::string Prepared() {
    std::string names;
    for (const std::string& name : server().Recover())
      names += (names.empty() ? "" : ",") + name.substr(0, name.find(' '));
    return names;
  }
  void TearDown() override {
    Close();
    // Or it would be asked about in the next test. Their sessions may not have ended yet.
    const auto is_gone = [this] {
      for (const std::string& name : server().Recover())
        (void)server().TrySql("", "XA ROLLBACK " + name.substr(name.find(' ') + 1));
      return server().Recover().empty();
    };
    EXPECT_TRUE(assent::test::WaitUntil(is_gone, std::chrono::seconds(10)));
  }
};

TEST_F(TwoPhaseTest, PreparedWorkIsUnseenUntilItIsCommitted) {
  OpenAccounts();
  const Reply prepared = Ask(store(), Debit().To(Operation::kPrepare));
  EXPECT_EQ(prepared, Reply::Done("moved 1 -40"));
  EXPECT_EQ(Balance(1), "100/0");
  EXPECT_EQ(Prepared(), "g1/b1");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)), prepared);
  EXPECT_EQ(Inspect().prepared, 1);
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)), Reply::Refused("already committed"));
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_marker"), "0");
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
      return Reply::DoneReadOnly(
          db.Get<std::string>("SELECT free FROM account WHERE id = 1").value_or(""));
    });
    store.TwoPhase("lies", [](Db& db, const Call&) {
      db.Exec("UPDATE account SET free = free - 1 WHERE id = 2");
      return Reply::DoneReadOnly();
    });
    store.TwoPhase("tries", [](Db& db, const Call&) {
      EXPECT_FALSE(db.TryExec("UPDATE account SET free = -1 WHERE id = 3").ok());
      EXPECT_EQ(*db.TryExec("UPDATE account SET free = 1 WHERE id = 3"), 1);
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
  EXPECT_EQ(Prepared(), "");
  const Branch lies{.gid = "g3", .protocol = Protocol::kTwoPhase, .action = "lies"};
  EXPECT_EQ(Ask(store(), lies.To(Operation::kPrepare)).kind, Kind::kDone) << "it has written";
  EXPECT_EQ(Prepared(), "g3/b1");
  EXPECT_EQ(Ask(store(), lies.To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Balance(2), "99/0");
  const Branch tries{.gid = "g4", .protocol = Protocol::kTwoPhase, .action = "tries"};
  EXPECT_EQ(Ask(store(), tries.To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), tries.To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Balance(3), "1/0");
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
  // They ask again until it is done, which takes a moment where a session has ended.
  const auto are_settled = [&] {
    store().Answer(asked[0], Verdict::kCommit, false);
    store().Answer(asked[1], Verdict::kAbort, false);
    store().Answer(asked[2], Verdict::kUndecided, false);
    return Prepared() == "g3/b1";
  };
  EXPECT_TRUE(assent::test::WaitUntil(are_settled, std::chrono::seconds(20))) << Prepared();
  EXPECT_EQ(Ask(store(), Debit("g1", 1).To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2", 2).To(Operation::kRollback)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Balance(2), "100/0");
}

// The session that prepared it is alive, in another process: it is ended.
TEST_F(TwoPhaseTest, AnotherProcessSettlesWhatThisOneHasPrepared) {
  OpenAccounts();
  const auto other = Store::Open(MakeOptions());
  RegisterAccounts(**other);
  EXPECT_EQ(Ask(store(), Debit("g1", 1).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2", 2).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Insist(**other, Debit("g1", 1).To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Insist(**other, Debit("g2", 2).To(Operation::kRollback)), Reply::Done());
  EXPECT_EQ(Balance(1), "60/0");
  EXPECT_EQ(Balance(2), "100/0");
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Ask(store(), Debit("g3", 3).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g3", 3).To(Operation::kCommit)).kind, Kind::kDone);
}

// MariaDB may say OK to an XA COMMIT that does nothing, and then that there is no such name: what
// is prepared is there, and its marker locked. A local transaction that holds it goes for that.
TEST_F(TwoPhaseTest, NoWordOfXaIsBelievedWhileTheMarkerIsLocked) {
  OpenAccounts();
  Sql("INSERT INTO assent_barrier VALUES('g1', 'b1', " +
      std::to_string(static_cast<int>(Protocol::kTwoPhase)) +
      ", 'act', 4, 1, '', '', '', 7, 3, 0, "
      "0)");
  std::latch locked(1);
  std::latch seen(1);
  std::thread holder([&] {
    const auto theirs = Store::Open(MakeOptions());
    EXPECT_EQ((*theirs)->Local([&](Db& db) {
      db.Exec("INSERT INTO assent_marker VALUES('g1', 'b1')");
      locked.count_down();
      seen.wait();
      return OkStatus();
    }),
              OkStatus());
  });
  locked.wait();
  for (const Operation operation : {Operation::kCommit, Operation::kRollback}) {
    Reply reply;
    const auto is_told = [&] {
      reply = Ask(store(), Debit().To(operation));
      return reply.reason.find("still prepared") != std::string::npos;
    };
    EXPECT_TRUE(assent::test::WaitUntil(is_told, std::chrono::seconds(20))) << reply.reason;
    EXPECT_EQ(reply.kind, Kind::kRetryLater);
  }
  seen.count_down();
  holder.join();
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_marker"), "0");
}

TEST_F(TwoPhaseTest, MoreMayBePreparedThanSessionsAreKept) {
  OpenAccounts();
  const int count = static_cast<int>(limits::kMaxKeptSessionsCount) + 3;
  for (int id = 1; id <= count; ++id) {
    const Branch one = Debit("g" + std::to_string(id), id);
    EXPECT_EQ(Ask(store(), one.To(Operation::kPrepare)).kind, Kind::kDone);
  }
  EXPECT_EQ(Inspect().prepared, count);
  for (int id = 1; id <= count; ++id) {
    EXPECT_EQ(Insist(store(), Debit("g" + std::to_string(id), id).To(Operation::kCommit)),
              Reply::Done());
  }
  EXPECT_EQ(Sql("SELECT sum(free) FROM account"), std::to_string(20'000 - 40 * count));
  EXPECT_EQ(Prepared(), "");
}

// What another process has settled took the places of those that were kept, for ever: from then on
// each branch's session was closed, and settled late.
TEST_F(TwoPhaseTest, SessionsThatOthersHaveEndedMakeRoom) {
  OpenAccounts();
  const auto other = Store::Open(MakeOptions());
  ASSERT_TRUE(other.ok());
  RegisterAccounts(**other);
  const int count = static_cast<int>(limits::kMaxKeptSessionsCount);
  for (int id = 1; id <= count; ++id) {
    const Branch one = Debit("g" + std::to_string(id), id);
    ASSERT_EQ(Ask(store(), one.To(Operation::kPrepare)).kind, Kind::kDone);
    EXPECT_EQ(Insist(**other, one.To(Operation::kRollback)), Reply::Done());
  }
  EXPECT_EQ(Ask(store(), Debit("one-more").To(Operation::kPrepare)).kind, Kind::kDone);
  const std::string worker =
      "IS_USED_LOCK(CONCAT('assent/', LEFT(SHA2('one-more/b1', 256), 40), '/work'))";
  const auto has_ended = [&] { return Sql("SELECT " + worker + " IS NULL") == "1"; };
  EXPECT_FALSE(assent::test::WaitUntil(has_ended, std::chrono::milliseconds(300)));
  EXPECT_EQ(Insist(store(), Debit("one-more").To(Operation::kCommit)), Reply::Done());
}

TEST_F(TwoPhaseTest, OthersPreparedWorkIsLeftAlone) {
  Options options = MakeOptions();
  options.ask_after = std::chrono::milliseconds(1);
  OpenAccounts(std::move(options));
  int id = 10;
  for (const char* xid : {"'somebody'", "'g1','b1',7", "'a/b','c',16723"}) {
    Sql(std::string("XA START ") + xid + "; UPDATE account SET held = 1 WHERE id = " +
        std::to_string(++id) + "; XA END " + xid + "; XA PREPARE " + xid);
  }
  EXPECT_EQ(server().Recover().size(), 3U);
  now_ms_ += 100'000;
  (void)store().Questions(10);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(assent::test::WaitUntil(
      [&] { return std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(5); },
      std::chrono::seconds(5)));
  EXPECT_TRUE(store().Questions(10).empty());
}

TEST_F(TwoPhaseTest, WhatWasEndedBehindOurBackIsAHazard) {
  OpenAccounts();
  EXPECT_EQ(Ask(store(), Debit("g1", 1).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g2", 2).To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Ask(store(), Debit("g3", 3).To(Operation::kPrepare)).kind, Kind::kDone);
  // Their sessions have to end before anybody else can do anything.
  Close();
  server().Kill();
  ASSERT_TRUE(server().Start().ok());
  OpenAccounts();
  Sql("XA ROLLBACK 'g1','b1',16723");
  Sql("XA COMMIT 'g2','b1',16723");
  Sql("XA COMMIT 'g3','b1',16723");
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
  Options ThroughGate() {
    Options options = MakeOptions();
    options.server.port = gate_.port();
    return options;
  }
  void OpenThroughGate(std::string at) {
    Options options = ThroughGate();
    options.at_point = [this, at = std::move(at)](std::string_view point) {
      if (point == at && !std::exchange(cut_, true)) {
        gate_.HoldRequestsAfter(0);
        gate_.CutClients();
      }
    };
    OpenAccounts(std::move(options));
  }
  assent::test::TcpGate gate_{server().port()};
  bool cut_ = false;
};

TEST_F(CutTest, PreparedAndNobodyWasTold) {
  OpenThroughGate("prepare:prepared");
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt);
  EXPECT_EQ(Prepared(), "g1/b1");
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_barrier"), "0");
  gate_.Deliver();
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kCommit)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/0") << "once";
}

TEST_F(CutTest, PreparedAndNobodyWasToldAndThenItIsRolledBack) {
  OpenThroughGate("prepare:prepared");
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt);
  gate_.Deliver();
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kRollback)).kind, Kind::kDone);
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kPrepare)).kind, Kind::kRefused);
}

TEST_F(CutTest, PreparedAndNobodyWasToldAndTheCoordinatorIsAsked) {
  OpenThroughGate("prepare:prepared");
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt);
  gate_.Deliver();
  Options options = MakeOptions();
  options.ask_after = std::chrono::milliseconds(1);
  OpenAccounts(std::move(options));
  EXPECT_TRUE(store().Questions(10).empty()) << "somebody may just be about to write its row";
  std::vector<HeldBranch> asked;
  EXPECT_TRUE(assent::test::WaitUntil([&] { return !(asked = store().Questions(10)).empty(); },
                                      std::chrono::seconds(10)));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].gid, "g1");
  store().Answer(asked[0], Verdict::kCommit, false);
  EXPECT_EQ(store().Local([](Db&) { return OkStatus(); }), OkStatus());
  EXPECT_EQ(Prepared(), "g1/b1") << "promised to nobody: cannot have been committed by us";
  const auto is_gone = [&] {
    store().Answer(asked[0], Verdict::kAbort, true);
    return Prepared().empty();
  };
  EXPECT_TRUE(assent::test::WaitUntil(is_gone, std::chrono::seconds(20)));
}

// XA PREPARE is on its way when its client has gone, and comes long after the rollback was asked
// for: nobody may have said by then that nothing is prepared.
TEST_F(CutTest, APrepareThatComesLateIsWaitedFor) {
  OpenThroughGate("nowhere");
  Options options = ThroughGate();
  options.lock_timeout = std::chrono::seconds(1);
  options.at_point = [this](std::string_view point) {
    if (point == "prepare:before" && !std::exchange(cut_, true)) gate_.HoldRequestsAfter(0);
  };
  options.statement_timeout = std::chrono::milliseconds(500);
  options.answer_within = std::chrono::milliseconds(1900);
  OpenAccounts(std::move(options));
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kPrepare)), std::nullopt) << "nobody answers";
  const auto other = Store::Open(MakeOptions());  // not through the gate
  RegisterAccounts(**other);
  // It ends the session that works on it, so that what comes late there prepares nothing.
  EXPECT_EQ(Insist(**other, Debit().To(Operation::kRollback)).kind, Kind::kDone);
  gate_.Deliver();
  EXPECT_EQ(Prepared(), "");
  EXPECT_EQ(Ask(**other, Debit().To(Operation::kPrepare)).kind, Kind::kRefused);
  EXPECT_EQ(Balance(1), "100/0");
}

TEST_F(CutTest, CommittedAndNotWrittenDown) {
  OpenThroughGate("settle:settled");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kCommit)), std::nullopt);
  EXPECT_EQ(Balance(1), "60/0");
  gate_.Deliver();
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kCommit)), Reply::Done());
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kRollback)), Reply::Refused("already committed"));
  EXPECT_EQ(Balance(1), "60/0");
}

TEST_F(CutTest, RolledBackAndNotWrittenDown) {
  OpenThroughGate("settle:settled");
  EXPECT_EQ(Ask(store(), Debit().To(Operation::kPrepare)).kind, Kind::kDone);
  EXPECT_EQ(TryAsk(store(), Debit().To(Operation::kRollback)), std::nullopt);
  gate_.Deliver();
  EXPECT_EQ(Insist(store(), Debit().To(Operation::kRollback)), Reply::Done());
  EXPECT_EQ(Balance(1), "100/0");
}

// COMMIT of a group: the server has it, and its answer is lost; or it never came.
TEST_F(CutTest, ACommitWithoutAnAnswerIsAnsweredByNobody) {
  OpenThroughGate("group:before-commit");
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(TryAsk(store(), branch.To(Operation::kTry)), std::nullopt);
  EXPECT_EQ(Inspect().unknown, 1U);
  gate_.Deliver();
  EXPECT_EQ(Insist(store(), branch.To(Operation::kTry)).kind, Kind::kDone);
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
  EXPECT_EQ(Insist(store(), branch.To(Operation::kTry)).kind, Kind::kDone);
  EXPECT_EQ(Balance(1), "60/40");
}

// A server that has gone silent without a word.
TEST_F(CutTest, ASilentServerCountsAsGone) {
  Options options = ThroughGate();
  options.lock_timeout = std::chrono::seconds(1);
  options.statement_timeout = std::chrono::milliseconds(500);
  options.answer_within = std::chrono::milliseconds(1500);
  options.at_point = [this](std::string_view point) {
    if (point == "group:before-commit" && !std::exchange(cut_, true)) gate_.HoldAnswers();
  };
  OpenAccounts(std::move(options));
  const Branch branch{.payload = "1 -40"};
  EXPECT_EQ(TryAsk(store(), branch.To(Operation::kTry)), std::nullopt) << "nobody knows";
  Reply known;
  EXPECT_TRUE(assent::test::WaitUntil(
      [&] { return (known = Ask(store(), branch.To(Operation::kTry))).kind == Kind::kDone; },
      std::chrono::seconds(20)))
      << known.reason;
  EXPECT_EQ(Balance(1), "60/40");
}

}  // namespace
}  // namespace assent::mariadb::test
