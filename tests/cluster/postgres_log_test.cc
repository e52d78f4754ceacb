// Several members with their logs on one PostgreSQL, as processes: killed, stopped, started
// together, drained, ended; and a database that goes and comes back. What each was told is
// durable has to be there in the end, and no slot may have had two at a time.

#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/postgresql.h"
#include "tests/support/process.h"

namespace assent::log {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using Clock = std::chrono::steady_clock;
using test::PostgresServer;
using test::Process;
using test::WaitUntil;

constexpr int kSlots = 24;
constexpr auto kLease = 1500ms;
constexpr auto kPatience = 120s;

class PostgresLogs : public testing::Test {
 protected:
  ~PostgresLogs() override {
    if (HasFailure()) {
      for (const auto& [node, member] : members_) {
        const std::string output = member->Output(/*all=*/true);
        std::istringstream lines(output);
        for (std::string line; std::getline(lines, line);) {
          if (line.rfind("BEGUN", 0) != 0 && line.rfind("ENDED", 0) != 0)
            std::printf("%s: %s\n", node.c_str(), line.c_str());
        }
      }
    }
  }

  Process& Member(const std::string& node) {
    auto& member = members_[node];
    if (!member) {
      member = std::make_unique<Process>(
          test::ProcessOptions{.argv = {test::BinDir() + "/cluster-log-member", url_, node,
                                        std::to_string(std::chrono::milliseconds(kLease).count()),
                                        std::to_string(kSlots), "2"}});
    }
    return *member;
  }
  void Start(const std::string& node) { ASSERT_TRUE(Member(node).Start().ok()); }
  std::string Sql(const std::string& sql) {
    const Result<std::string> answer =
        server_->TrySql(database_, "SET search_path = assent; " + sql);
    return answer.ok() ? answer.value() : "";
  }
  int SlotsOf(const std::string& node) {
    return std::atoi(Sql("SELECT count(*) FROM slot WHERE owner IN (SELECT epoch FROM member WHERE"
                         " NOT ended AND node = '" +
                         node + "')")
                         .c_str());
  }
  // Each of them has so many slots, and serves them all.
  bool Shared(const std::vector<std::string>& nodes) {
    int sum = 0;
    for (const std::string& node : nodes) {
      const int own = SlotsOf(node);
      if (own < kSlots / static_cast<int>(nodes.size()) * 3 / 4) return false;
      if (ServedBy(node) != own) return false;
      sum += own;
    }
    return sum == kSlots && Sql("SELECT count(*) FROM slot WHERE wanted <> 0") == "0";
  }
  int ServedBy(const std::string& node) {
    std::set<std::string> served;
    std::istringstream lines(Member(node).Output());
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string what;
      std::string slot;
      words >> what >> slot;
      if (what == "LOADED") served.insert(slot);
      if (what == "GIVEN" || what == "KEPT") served.erase(slot);
    }
    return static_cast<int>(served.size());
  }
  void ExpectShared(const std::vector<std::string>& nodes) {
    const auto began = Clock::now();
    EXPECT_TRUE(WaitUntil([&] { return Shared(nodes); }, kPatience));
    std::printf(
        "shared after %lld ms\n",
        static_cast<long long>(
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began).count()));
  }

  // All end in order; then what was said is held against what is there.
  void ExpectBooksInOrder() {
    for (auto& [node, member] : members_) {
      if (!member->Running()) continue;
      EXPECT_EQ(member->Stop(30s), 0) << node;
    }
    std::map<std::string, std::string> loaded_by;  // slot and slot epoch -> node and start
    std::set<std::string> begun;
    std::set<std::string> ended;
    for (auto& [node, member] : members_) {
      std::istringstream lines(member->Output(/*all=*/true));
      std::string epoch;
      for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string what;
        std::string name;
        std::string more;
        words >> what >> name >> more;
        if (what == "JOINED") epoch = name;
        if (what == "BEGUN") begun.insert(name);
        if (what == "ENDED") ended.insert(name);
        if (what == "LOADED") {
          const auto [at, is_new] = loaded_by.try_emplace(name + "/" + more, epoch);
          EXPECT_TRUE(is_new || at->second == epoch)
              << "slot " << name << " had two owners in its epoch " << more;
        }
      }
    }
    EXPECT_GT(begun.size(), 0u);
    std::set<std::string> finished;
    std::set<std::string> live;
    Read("finished", finished);
    Read("live", live);
    for (const std::string& gid : begun)
      EXPECT_TRUE(finished.count(gid) + live.count(gid) == 1) << gid << " was begun, and is lost";
    for (const std::string& gid : ended)
      EXPECT_TRUE(finished.count(gid) == 1) << gid << " was ended, and is not";
    // Each owner ends what it finds: what is left came behind its back.
    EXPECT_THAT(live, testing::IsEmpty()) << "written by an owner that was one no more";
    std::printf("%zu begun, %zu ended; %zu slot epochs loaded\n", begun.size(), ended.size(),
                loaded_by.size());
  }
  void Read(const std::string& table, std::set<std::string>& gids) {
    std::istringstream list(Sql("SELECT string_agg(gid, ' ') FROM " + table));
    for (std::string gid; list >> gid;) gids.insert(gid);
  }

  PostgresServer* server_ = &PostgresServer::OfThisBinary();
  std::string database_ = server_->NewDatabase();
  std::string url_ = server_->Url(database_);
  std::map<std::string, std::unique_ptr<Process>> members_;
};

TEST_F(PostgresLogs, AllAtOnceShareTheSlots) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ExpectShared({"a", "b", "c"});
  EXPECT_EQ(Sql("SELECT count(*) FROM member WHERE ended"), "0");
  ExpectBooksInOrder();
}

TEST_F(PostgresLogs, AKilledOneIsTakenOver) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ExpectShared({"a", "b", "c"});
  Member("b").Kill();
  ExpectShared({"a", "c"});
  Start("b");
  ExpectShared({"a", "b", "c"});
  ExpectBooksInOrder();
}

TEST_F(PostgresLogs, AQuickRestartIsOneOfItself) {
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  Member("b").Kill();
  Start("b");
  ExpectShared({"a", "b"});
  EXPECT_EQ(Member("a").Output().find("FENCED"), std::string::npos);
  ExpectBooksInOrder();
}

TEST_F(PostgresLogs, AStoppedOneIsOutWhenItWakes) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ExpectShared({"a", "b", "c"});
  ASSERT_TRUE(Member("c").Signal(SIGSTOP));
  ExpectShared({"a", "b"});
  ASSERT_TRUE(Member("c").Signal(SIGCONT));
  EXPECT_EQ(Member("c").WaitForExit(kPatience), 75);
  ExpectBooksInOrder();
}

// Nobody has to miss it: what it has is the others' at once.
TEST_F(PostgresLogs, OneThatEndsInOrderGivesItsSlots) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ExpectShared({"a", "b", "c"});
  EXPECT_EQ(Member("a").Stop(), 0);
  EXPECT_EQ(Sql("SELECT ended_by = epoch FROM member WHERE node = 'a'"), "t");
  ExpectShared({"b", "c"});
  EXPECT_EQ(Member("b").Output().find("FENCED"), std::string::npos);
  ExpectBooksInOrder();
}

TEST_F(PostgresLogs, ADrainedOneHasNothingAndStays) {
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  ASSERT_TRUE(Member("a").Signal(SIGUSR1));
  ExpectShared({"b"});
  EXPECT_EQ(SlotsOf("a"), 0);
  EXPECT_TRUE(WaitUntil([&] { return ServedBy("a") == 0; }, kPatience));
  ASSERT_TRUE(Member("b").Signal(SIGUSR1));
  EXPECT_TRUE(Member("b").WaitForOutput("DRAINING FAILED_PRECONDITION", kPatience))
      << "nobody could take its slots";
  EXPECT_EQ(SlotsOf("b"), kSlots);
  EXPECT_EQ(Sql("SELECT count(*) FROM member WHERE NOT ended"), "2");
  EXPECT_EQ(Member("a").Stop(), 0);
  Start("a");
  ExpectShared({"a", "b"});
  ExpectBooksInOrder();
}

TEST_F(PostgresLogs, ADatabaseThatGoesAndComesBackCostsNobodyAnything) {
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  server_->Kill();
  for (const char* node : {"a", "b"}) EXPECT_TRUE(Member(node).WaitForOutput("AWAY", kPatience));
  ASSERT_TRUE(server_->Start().ok());
  for (const char* node : {"a", "b"}) EXPECT_TRUE(Member(node).WaitForOutput("BACK", kPatience));
  ExpectShared({"a", "b"});
  EXPECT_EQ(Sql("SELECT count(*) FROM member WHERE ended"), "0");
  ExpectBooksInOrder();
}

TEST_F(PostgresLogs, AllKilledAtOnce) {
  for (const char* node : {"a", "b", "c"}) Start(node);
  ExpectShared({"a", "b", "c"});
  for (const char* node : {"a", "b", "c"}) Member(node).Kill();
  for (const char* node : {"c", "b"}) Start(node);
  ExpectShared({"b", "c"});
  ExpectBooksInOrder();
}

// Who asked for a slot dies before its owner has let go of it: it is the owner's again, and is read
// again.
TEST_F(PostgresLogs, ASlotThatNobodyWantsAnyMoreIsServedOn) {
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  const std::string slot =
      Sql("SELECT min(s.id) FROM slot s JOIN member m ON m.epoch = s.owner WHERE m.node = 'a'");
  // Whatever `a` tells its log, this is faster: nobody wants the slot when it comes to release it.
  Sql("CREATE FUNCTION unwant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.owner <>"
      " old.owner THEN RETURN NULL; END IF; RETURN new; END $$; CREATE TRIGGER unwant BEFORE UPDATE"
      " ON slot FOR EACH ROW EXECUTE FUNCTION unwant(); UPDATE slot SET wanted = (SELECT epoch FROM"
      " member WHERE node = 'b') WHERE id = " +
      slot);
  EXPECT_TRUE(Member("a").WaitForOutput("KEPT " + slot, kPatience));
  Sql("DROP TRIGGER unwant ON slot; UPDATE slot SET wanted = 0");
  EXPECT_TRUE(WaitUntil([&] { return Shared({"a", "b"}); }, kPatience));
  ExpectBooksInOrder();
}

// ---- A pair of servers ------------------------------------------------------------------------

class PostgresPair : public PostgresLogs {
 protected:
  void SetUp() override {
    ASSERT_TRUE(primary_.Start().ok());
    ASSERT_TRUE(standby_.Start().ok());
    server_ = &primary_;
    database_ = primary_.NewDatabase();
    url_ = "postgresql://" + std::string(PostgresServer::kUser) +
           "@127.0.0.1:" + std::to_string(primary_.port()) +
           ",127.0.0.1:" + std::to_string(standby_.port()) + "/" + database_;
  }
  void TakeOver() {
    primary_.Kill();
    ASSERT_TRUE(standby_.Start().ok());
    ASSERT_TRUE(standby_.Promote().ok());
    server_ = &standby_;
  }
  static std::size_t Said(Process& member) { return member.Output().size(); }

  PostgresServer primary_;
  PostgresServer standby_{{.primary = &primary_}};
};

// A standby that was behind takes over: what had been acknowledged is gone, and everybody to whom
// it had been acknowledged ends, with a code of its own. What comes after presumes nothing about
// what was before.
TEST_F(PostgresPair, WhoWasToldWhatTheStoreHasLostEnds) {
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  ASSERT_TRUE(standby_.Stop().ok());
  for (const char* node : {"a", "b"}) {
    const std::size_t said = Said(Member(node));
    EXPECT_TRUE(WaitUntil([&] { return Said(Member(node)) > said + 10'000; }, kPatience));
  }
  TakeOver();
  for (const char* node : {"a", "b"}) EXPECT_EQ(Member(node).WaitForExit(kPatience), 76) << node;
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  EXPECT_EQ(Sql("SELECT generation FROM log"), "2");
  EXPECT_EQ(Sql("SELECT count(*) FROM member m, log WHERE m.generation = log.generation"), "2");
}

// A standby that has all takes over: everybody goes on.
TEST_F(PostgresPair, WithASynchronousStandbyNothingIsLost) {
  ASSERT_TRUE(primary_.Set("synchronous_standby_names", "standby").ok());
  EXPECT_TRUE(WaitUntil(
      [&] {
        return primary_.Sql("postgres",
                            "SELECT count(*) FROM pg_stat_replication WHERE sync_state"
                            " = 'sync'") == "1";
      },
      kPatience));
  for (const char* node : {"a", "b"}) Start(node);
  ExpectShared({"a", "b"});
  TakeOver();
  for (const char* node : {"a", "b"}) EXPECT_TRUE(Member(node).WaitForOutput("BACK", kPatience));
  ExpectShared({"a", "b"});
  EXPECT_EQ(Sql("SELECT count(*) FROM member WHERE ended"), "0");
  ExpectBooksInOrder();
}

// Anything, in any order.
TEST_F(PostgresLogs, BadDays) {
  std::mt19937 random(testing::UnitTest::GetInstance()->random_seed());
  const std::vector<std::string> nodes = {"a", "b", "c"};
  std::map<std::string, Clock::time_point> stopped;
  for (const std::string& node : nodes) Start(node);
  ExpectShared(nodes);
  for (int i = 0; i < 8; ++i) {
    const std::string& node = nodes[random() % nodes.size()];
    switch (random() % 4) {
      case 0: Member(node).Kill(); break;
      case 1: Member(node).Signal(SIGSTOP); break;
      case 2:
        Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND random() < 0.5");
        break;
      default: (void)Member(node).Stop(); break;
    }
    // Until some of it is noticed, or before.
    (void)WaitUntil([&] { return Sql("SELECT 1") == "never"; },
                    std::chrono::milliseconds(random() % 2500));
    for (const std::string& one : nodes) {
      if (random() % 2 == 0) (void)Member(one).Signal(SIGCONT);
      if (random() % 2 == 0 && !Member(one).Running()) Start(one);
    }
  }
  for (const std::string& node : nodes) (void)Member(node).Signal(SIGCONT);
  EXPECT_TRUE(WaitUntil(
      [&] {
        for (const std::string& node : nodes) {
          if (!Member(node).Running()) Start(node);
        }
        return Shared(nodes);
      },
      kPatience));
  for (const auto& [node, member] : members_) {
    for (const char* never : {"DIES 74", "DIES 76", "DIES 9", "DIES 65"})
      EXPECT_EQ(member->Output(true).find(never), std::string::npos) << node << ": " << never;
  }
  ExpectBooksInOrder();
}

}  // namespace
}  // namespace assent::log
