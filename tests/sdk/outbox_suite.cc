#include "tests/sdk/outbox_suite.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <assent/limits.h>

#include "assent/v1/transaction.pb.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent::test {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using End = OutboxHarness::End;

void MapCoordinator::SubmitEncodedAsync(SubmitEncodedParams params, ReportCallback done) {
  const auto request = internal::TakeRequest(params.request, params.gid);
  {
    const MutexLock lock(mutex_);
    ++submits_[params.gid];
  }
  if (!request.ok()) return done(request.status());
  Result<Report> answer = Report{
      .gid = params.gid, .state = TransactionState::kFinished, .outcome = Outcome::kCommitted};
  if (hook_) answer = hook_(params);
  // What is not known may have been done.
  const bool accepts = answer.ok() || answer.status().code() == Code::kUnknownOutcome;
  if (accepts) {
    const MutexLock lock(mutex_);
    const auto [known, first] = bytes_.emplace(params.gid, params.request);
    if (first) order_.push_back(params.gid);
    if (known->second != params.request) answer = Status(Code::kAlreadyExists, "other content");
  }
  done(std::move(answer));
}

Result<TransactionInfo> MapCoordinator::Get(const GetParams& params) {
  const MutexLock lock(mutex_);
  if (bytes_.count(params.gid) == 0) return NotFound("no transaction " + params.gid);
  return TransactionInfo{.gid = params.gid, .state = TransactionState::kFinished};
}

std::vector<std::string> MapCoordinator::accepted() const {
  const MutexLock lock(mutex_);
  return order_;
}

std::map<std::string, int> MapCoordinator::submits() const {
  const MutexLock lock(mutex_);
  return submits_;
}

Transaction Order(const std::string& gid, std::string payload) {
  Transaction order;
  order.Gid(gid).Saga("shipping", "book", std::move(payload));
  return order;
}

std::unique_ptr<Relay> OutboxSuite::StartRelay(std::shared_ptr<Connection> coordinator,
                                               RelayOptions options) {
  options.idle_poll = 10ms;
  options.log = [lines = lines_](const std::string& line) {
    const MutexLock lock(lines->mutex);
    lines->all.push_back(line);
  };
  return std::make_unique<Relay>(Client(std::move(coordinator)), database_->Table(), options);
}

bool Until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);  // tidy: allow(sleep) between two looks
  }
  return true;
}

std::vector<std::string> OutboxSuite::lines() const {
  const MutexLock lock(lines_->mutex);
  return lines_->all;
}

namespace {

bool Says(const std::vector<std::string>& lines, const std::string& what) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(what) != std::string::npos; });
}

// As of a table whose answers get lost: what was handed over is never settled.
class Forgetful final : public OutboxTable {
 public:
  explicit Forgetful(std::unique_ptr<OutboxTable> table) : table_(std::move(table)) {}
  Result<Batch> Take(const TakeParams& params) override { return table_->Take(params); }
  Status Settle(const std::vector<Settled>&) override { return Unavailable("killed"); }
  Result<Counts> Count(std::size_t bound) override { return table_->Count(bound); }
  void Listen(std::function<void()>) override {}
  Result<std::vector<OutboxRow>> List(bool parked, std::size_t limit) override {
    return table_->List(parked, limit);
  }
  Status Apply(const std::string& gid, Change change) override {
    return table_->Apply(gid, change);
  }

 private:
  const std::unique_ptr<OutboxTable> table_;
};

TEST_P(OutboxSuite, WhatIsPublishedAndCommittedIsHandedOverAndGoes) {
  const auto coordinator = std::make_shared<MapCoordinator>();
  const auto relay = StartRelay(coordinator);
  ASSERT_EQ(database().Publish(Order("g1", "")).ToString(), "OK");
  ASSERT_EQ(database().Publish(Order("g2", std::string(limits::kMaxPayloadBytes, '\0'))).ToString(),
            "OK");
  ASSERT_EQ(database().Publish(Order("g3"), "one \xc3\xa4 key ").ToString(), "OK");
  relay->Wake();
  ASSERT_TRUE(UntilEmpty());
  EXPECT_EQ(coordinator->submits(), (std::map<std::string, int>{{"g1", 1}, {"g2", 1}, {"g3", 1}}));
  EXPECT_TRUE(Until([&] { return relay->Stats().handed_over == 3; }));
}

TEST_P(OutboxSuite, WhatIsRolledBackWasNeverThere) {
  ASSERT_TRUE(database().Publish(Order("g1"), {}, End::kRollback, {}).ok());
  EXPECT_EQ(database().Rows(), "0");
}

TEST_P(OutboxSuite, WhatCannotBePublishedIsSaidAndWritesNothing) {
  EXPECT_EQ(database().Publish(Order("g1"), {}, End::kNone, {}).code(), Code::kFailedPrecondition);
  EXPECT_EQ(database().Publish(Order("no gid")).code(), Code::kInvalidArgument);
  EXPECT_EQ(database().Publish(Transaction()).code(), Code::kInvalidArgument);
  EXPECT_EQ(database().Publish(Order("g1"), std::string(129, 'k')).code(), Code::kInvalidArgument);
  EXPECT_EQ(database().Publish(Order("g1"), "a\nb").code(), Code::kInvalidArgument);
  EXPECT_EQ(database().Publish(Order("g1"), "\xff").code(), Code::kInvalidArgument);
  EXPECT_EQ(database().Rows(), "0");
  ASSERT_TRUE(database().Publish(Order("g1")).ok());
  EXPECT_EQ(database().Publish(Order("g1")).code(), Code::kAlreadyExists);
  EXPECT_EQ(database().Publish(Order("g2"), {}, End::kCommit, {.max_waiting_count = 1}).code(),
            Code::kResourceExhausted);
  EXPECT_TRUE(database().Publish(Order("g2"), {}, End::kCommit, {.max_waiting_count = 0}).ok());
  EXPECT_EQ(database().Rows(), "2");
}

TEST_P(OutboxSuite, WhatWasHandedOverAndNotSettledIsHandedOverAgain) {
  const auto coordinator = std::make_shared<MapCoordinator>();
  ASSERT_TRUE(database().Publish(Order("g1")).ok());
  {
    Relay killed(Client(std::shared_ptr<Connection>(coordinator)),
                 std::make_unique<Forgetful>(database().Table()),
                 {.stop_patience = 0ms, .log = [](const std::string&) {}});
    ASSERT_TRUE(Until([&] { return coordinator->submits()["g1"] == 1; }));
  }
  EXPECT_EQ(database().Rows(), "1");
  database().Sql("UPDATE assent_outbox SET due_unix_ms = 0");  // its lease has ended
  const auto relay = StartRelay(coordinator);
  ASSERT_TRUE(UntilEmpty());
  EXPECT_EQ(coordinator->submits()["g1"], 2);
  EXPECT_EQ(coordinator->accepted(), std::vector<std::string>{"g1"});
}

TEST_P(OutboxSuite, TwoHundredOfOneKeyStayInOrderWithTwoRelaysAndLostAnswers) {
  std::vector<std::string> wanted;
  for (int i = 0; i < 200; ++i) {
    wanted.push_back("g" + std::to_string(i));
    ASSERT_TRUE(database().Publish(Order(wanted.back()), "account-7").ok());
  }
  Mutex mutex;
  int number = 0;
  const auto coordinator =
      std::make_shared<MapCoordinator>([&](const auto& params) -> Result<Report> {
        const MutexLock lock(mutex);
        switch (++number % 5) {
          case 0: return UnknownOutcome("lost");
          case 1: return Unavailable("no connection");
          default: return Report{.gid = params.gid, .state = TransactionState::kFinished};
        }
      });
  const auto one = StartRelay(coordinator);
  const auto other = StartRelay(coordinator);
  ASSERT_TRUE(UntilEmpty());
  EXPECT_EQ(coordinator->accepted(), wanted);
}

TEST_P(OutboxSuite, TwoRelaysShareWhatHasNoKey) {
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(database().Publish(Order("g" + std::to_string(i))).ok());
  const auto coordinator = std::make_shared<MapCoordinator>();
  const auto one = StartRelay(coordinator, {.batch = 16});
  const auto other = StartRelay(coordinator, {.batch = 16});
  ASSERT_TRUE(UntilEmpty());
  const std::map<std::string, int> submits = coordinator->submits();
  EXPECT_EQ(submits.size(), 300U);
  EXPECT_TRUE(std::all_of(submits.begin(), submits.end(), [](auto& s) { return s.second == 1; }));
}

TEST_P(OutboxSuite, WhatIsNotCompleteHoldsItsKeyAndNobodyElse) {
  const auto coordinator =
      std::make_shared<MapCoordinator>([&](const auto& params) -> Result<Report> {
        const auto state =
            params.gid == "slow" ? TransactionState::kCommitting : TransactionState::kFinished;
        return Report{.gid = params.gid, .state = state};
      });
  ASSERT_TRUE(database().Publish(Order("slow"), "a").ok());
  ASSERT_TRUE(database().Publish(Order("next"), "a").ok());
  ASSERT_TRUE(database().Publish(Order("other"), "b").ok());
  ASSERT_TRUE(database().Publish(Order("free")).ok());
  const auto relay = StartRelay(coordinator);
  ASSERT_TRUE(Until([&] { return coordinator->submits()["slow"] >= 3; }));
  ASSERT_TRUE(Until([&] { return database().Rows() == "2"; }));
  EXPECT_EQ(coordinator->submits().count("next"), 0U);
  EXPECT_EQ(database().Sql("SELECT last_error FROM assent_outbox WHERE gid = 'slow'"),
            "accepted, not complete yet");
}

TEST_P(OutboxSuite, ACoordinatorThatIsAwayParksNothingAndCountsAsNoAttempt) {
  Mutex mutex;
  bool away = true;
  const auto coordinator =
      std::make_shared<MapCoordinator>([&](const auto& params) -> Result<Report> {
        const MutexLock lock(mutex);
        if (away) return Unavailable("no connection");
        return Report{.gid = params.gid, .state = TransactionState::kFinished};
      });
  ASSERT_TRUE(database().Publish(Order("g1")).ok());
  auto relay = StartRelay(coordinator);
  ASSERT_TRUE(Until([&] { return relay->Stats().failed >= 2; }));
  relay.reset();
  EXPECT_EQ(database().Sql("SELECT count(*) FROM assent_outbox WHERE first_attempt_unix_ms IS NULL "
                           "AND parked_reason IS NULL AND attempts >= 2"),
            "1");
  EXPECT_TRUE(Says(lines(), "event=outbox_coordinator_fails error=\"UNAVAILABLE: no connection\""));
  {
    const MutexLock lock(mutex);
    away = false;
  }
  relay = StartRelay(coordinator);
  EXPECT_TRUE(UntilEmpty());
}

TEST_P(OutboxSuite, WhatMayHaveBeenForgottenIsAskedForFirst) {
  const auto coordinator = std::make_shared<MapCoordinator>();
  ASSERT_TRUE(database().Publish(Order("known")).ok());
  {
    const auto relay = StartRelay(coordinator);
    ASSERT_TRUE(UntilEmpty());
  }
  ASSERT_TRUE(database().Publish(Order("known")).ok());
  ASSERT_TRUE(database().Publish(Order("forgotten")).ok());
  database().Sql("UPDATE assent_outbox SET first_attempt_unix_ms = created_unix_ms - 50000000");
  const auto relay = StartRelay(coordinator);
  ASSERT_TRUE(Until([&] { return relay->Stats().parked == 1 && database().Rows() == "1"; }));
  EXPECT_EQ(coordinator->submits(), (std::map<std::string, int>{{"known", 1}}));
  EXPECT_TRUE(Until([&] { return Says(lines(), "event=outbox_parked rows=1 gid=forgotten"); }));
  // A person knows better.
  ASSERT_TRUE(database().Table()->Apply("forgotten", OutboxTable::Change::kRetry).ok());
  EXPECT_TRUE(UntilEmpty());
  EXPECT_EQ(coordinator->submits()["forgotten"], 1);
}

TEST_P(OutboxSuite, RowsThatSomebodyHasEditedAreSetAsideByName) {
  for (const char* gid : {"garbage", "other", "unknown", "due", "fine", "content", "refused"})
    ASSERT_TRUE(database().Publish(Order(gid), gid == std::string("due") ? "key" : "").ok());
  ASSERT_TRUE(database().Publish(Order("behind"), "key").ok());
  database().Sql("UPDATE assent_outbox SET request = 'garbage' WHERE gid = 'garbage'");
  database().Sql("UPDATE assent_outbox SET gid = 'renamed' WHERE gid = 'other'");
  database().Sql("UPDATE assent_outbox SET kind = 9 WHERE gid = 'unknown'");
  database().Sql("UPDATE assent_outbox SET due_unix_ms = 9223372036854775807 WHERE gid = 'due'");
  const auto coordinator =
      std::make_shared<MapCoordinator>([&](const auto& params) -> Result<Report> {
        if (params.gid == "content") return Status(Code::kAlreadyExists, "other content");
        if (params.gid == "refused") return InvalidArgument("branches: none");
        return Report{.gid = params.gid, .state = TransactionState::kFinished};
      });
  const auto relay = StartRelay(coordinator);
  ASSERT_TRUE(Until([&] { return relay->Stats().parked == 4 && database().Rows() == "7"; }));
  const auto reason = [&](const std::string& gid) {
    return database().Sql("SELECT parked_reason FROM assent_outbox WHERE gid = '" + gid + "'");
  };
  EXPECT_EQ(reason("garbage"),
            "INVALID_ARGUMENT: its 7 bytes cannot be read as an assent.v1.SubmitRequest");
  EXPECT_EQ(reason("renamed"), "INVALID_ARGUMENT: it is of the gid 'other', not of 'renamed'");
  EXPECT_EQ(reason("content"), "ALREADY_EXISTS: other content");
  EXPECT_EQ(reason("refused"), "INVALID_ARGUMENT: branches: none");
  const auto counts = database().Table()->Count(100);
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(counts->parked, 4);
  EXPECT_EQ(counts->unknown, 1);
  EXPECT_EQ(counts->waiting, 3);
  EXPECT_EQ(coordinator->submits().count("behind"), 0U);
  EXPECT_EQ(coordinator->submits().count("unknown"), 0U);
}

// Numbers at the ends of what their columns hold: sums of them must not fail the turn, which would
// be tried again for ever.
TEST_P(OutboxSuite, NumbersThatSomebodyHasEditedHoldUpNoTurn) {
  for (const char* gid : {"often", "far", "early", "fine"})
    ASSERT_TRUE(database().Publish(Order(gid)).ok());
  const std::string least = "(-9223372036854775807 - 1)";
  database().Sql("UPDATE assent_outbox SET attempts = 2147483647 WHERE gid = 'often'");
  database().Sql("UPDATE assent_outbox SET first_attempt_unix_ms = " + least +
                 " WHERE gid = 'far'");
  database().Sql("UPDATE assent_outbox SET created_unix_ms = " + least +
                 ", due_unix_ms = " + least + " WHERE gid = 'early'");
  const auto table = database().Table();
  const auto rows = table->List(/*parked_only=*/false, 10);
  ASSERT_EQ(rows.status().ToString(), "OK");
  EXPECT_EQ(rows->size(), 4U);
  const auto counts = table->Count(10);
  ASSERT_EQ(counts.status().ToString(), "OK");
  EXPECT_GT(counts->oldest_age, 1h);
  Mutex mutex;
  int number = 0;
  const auto coordinator =
      std::make_shared<MapCoordinator>([&](const auto& params) -> Result<Report> {
        const MutexLock lock(mutex);
        if (params.gid == "often" && ++number == 1) return Unavailable("no connection");
        return Report{.gid = params.gid, .state = TransactionState::kFinished};
      });
  const auto relay = StartRelay(coordinator);
  // Of "often" the wish for later is kept, so the two counts are the same; of "far" nobody knows.
  ASSERT_TRUE(
      Until([&] { return coordinator->submits().size() == 3 && database().Rows() == "2"; }));
  ASSERT_TRUE(Until([&] {
    return database().Sql("SELECT last_error FROM assent_outbox WHERE gid = 'often'") ==
           "UNAVAILABLE: no connection";
  }));
  EXPECT_EQ(database().Sql("SELECT attempts FROM assent_outbox WHERE gid = 'often'"), "1000000000");
  ASSERT_TRUE(Until([&] { return relay->Stats().parked == 1; }));
  EXPECT_EQ(relay->Stats().database_errors, 0U);
  database().Sql("UPDATE assent_outbox SET due_unix_ms = 0 WHERE gid = 'often'");
  ASSERT_TRUE(Until([&] { return database().Rows() == "1"; }));
}

// A relay that stood still for longer than its lease. What it says then is of an attempt that is
// not the last: taken as one that never was, it would make a transaction run twice when the
// coordinator has forgotten the first.
TEST_P(OutboxSuite, ARelayThatStalledChangesNoRowThatAnotherHasTakenSince) {
  using Settled = OutboxTable::Settled;
  for (const char* gid : {"later", "parked", "answered"})
    ASSERT_TRUE(database().Publish(Order(gid)).ok());
  const auto take = [&](OutboxTable& table) {
    std::vector<Settled> settled;
    const auto batch = table.Take({.max_plain_count = 10, .lease = 1h});
    EXPECT_TRUE(batch.ok()) << batch.status().ToString();
    for (const auto& row : batch->rows) {
      const auto what = row.gid == "later"    ? Settled::What::kLater
                        : row.gid == "parked" ? Settled::What::kParked
                                              : Settled::What::kAnswered;
      settled.push_back({.id = row.id,
                         .gid = row.gid,
                         .attempts = row.attempts,
                         .what = what,
                         .words = "said",
                         .never_handed_over = what == Settled::What::kLater});
    }
    return settled;
  };
  const auto stalled = database().Table();
  const std::vector<Settled> late = take(*stalled);
  ASSERT_EQ(late.size(), 3U);
  database().Sql("UPDATE assent_outbox SET due_unix_ms = 0");  // its lease has ended
  const auto other = database().Table();
  const std::vector<Settled> now = take(*other);
  ASSERT_EQ(now.size(), 3U);
  ASSERT_TRUE(stalled->Settle(late).ok());
  // An answer is one, whoever has it.
  EXPECT_EQ(database().Rows(), "2");
  EXPECT_EQ(
      database().Sql("SELECT count(*) FROM assent_outbox WHERE attempts = 2 AND parked_reason "
                     "IS NULL AND last_error IS NULL AND first_attempt_unix_ms IS NOT NULL "
                     "AND due_unix_ms > created_unix_ms + 3000000"),
      "2");
  ASSERT_TRUE(other->Settle(now).ok());
  EXPECT_EQ(database().Sql("SELECT parked_reason FROM assent_outbox WHERE gid = 'parked'"), "said");
  EXPECT_EQ(
      database().Sql("SELECT count(*) FROM assent_outbox WHERE gid = 'later' AND last_error = "
                     "'said' AND first_attempt_unix_ms IS NULL"),
      "1");
}

TEST_P(OutboxSuite, PeopleSeeRowsAndRetryOrDropThem) {
  ASSERT_TRUE(database().Publish(Order("g1"), "key").ok());
  ASSERT_TRUE(database().Publish(Order("g2"), "key").ok());
  database().Sql("UPDATE assent_outbox SET parked_reason = 'look', attempts = 3 WHERE gid = 'g1'");
  const auto table = database().Table();
  const auto all = table->List(/*parked_only=*/false, 10);
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 2U);
  const auto parked = table->List(/*parked_only=*/true, 10);
  ASSERT_TRUE(parked.ok());
  ASSERT_EQ(parked->size(), 1U);
  EXPECT_EQ(parked->front().gid, "g1");
  EXPECT_EQ(parked->front().ordering_key, "key");
  EXPECT_EQ(parked->front().parked_reason, "look");
  EXPECT_EQ(parked->front().attempts, 3);
  EXPECT_GT(parked->front().request_bytes, 0U);
  const auto coordinator = std::make_shared<MapCoordinator>();
  const auto relay = StartRelay(coordinator);
  EXPECT_EQ(table->Apply("g9", OutboxTable::Change::kDrop).code(), Code::kNotFound);
  EXPECT_EQ(coordinator->submits().size(), 0U);
  ASSERT_TRUE(table->Apply("g1", OutboxTable::Change::kDrop).ok());
  ASSERT_TRUE(UntilEmpty());
  EXPECT_EQ(coordinator->submits(), (std::map<std::string, int>{{"g2", 1}}));
}

TEST_P(OutboxSuite, ATableThatSomebodyHasLockedIsWaitedFor) {
  const auto coordinator = std::make_shared<MapCoordinator>();
  ASSERT_TRUE(database().Publish(Order("g1")).ok());
  auto lock = database().Lock();
  const auto relay = StartRelay(coordinator);
  ASSERT_TRUE(Until([&] { return relay->Stats().database_errors > 0; }));
  EXPECT_TRUE(Says(lines(), "event=outbox_database_fails"));
  lock.reset();
  EXPECT_TRUE(UntilEmpty());
  EXPECT_TRUE(Until([&] { return Says(lines(), "event=outbox_database_back"); }));
}

TEST_P(OutboxSuite, AMissingTableIsSaidWithWhatToDo) {
  database().Sql("DROP TABLE assent_outbox");
  const auto batch = database().Table()->Take({.max_plain_count = 1, .lease = 1s});
  EXPECT_EQ(batch.status().code(), Code::kFailedPrecondition);
  EXPECT_NE(batch.status().message().find("assent-relay table"), std::string::npos)
      << batch.status().ToString();
  EXPECT_EQ(database().Publish(Order("g1")).code(), Code::kFailedPrecondition);
}

TEST_P(OutboxSuite, KeysAreWalkedInACircle) {
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(database().Publish(Order("g" + std::to_string(i)), "k" + std::to_string(i)).ok());
  const auto table = database().Table();
  std::map<std::string, int> taken;
  for (int turn = 0; turn < 4; ++turn) {
    const auto batch = table->Take({.max_keyed_count = 10, .lease = 1h});
    ASSERT_TRUE(batch.ok()) << batch.status().ToString();
    EXPECT_EQ(batch->rows.size(), 10U);
    EXPECT_TRUE(batch->is_full);
    for (const auto& row : batch->rows) ++taken[row.gid];
  }
  EXPECT_EQ(taken.size(), 40U);
  // Round again, for whatever has come before the place where it began.
  for (int turn = 0; turn < 2; ++turn) {
    const auto batch = table->Take({.max_keyed_count = 10, .lease = 1h});
    ASSERT_TRUE(batch.ok());
    EXPECT_TRUE(batch->rows.empty());
    EXPECT_FALSE(batch->is_full);
  }
}

TEST_P(OutboxSuite, OneTurnTakesNoMoreBytesThanItMay) {
  const std::string payload(limits::kMaxPayloadBytes, 'x');
  for (int i = 0; i < 18; ++i)
    ASSERT_TRUE(database().Publish(Order("g" + std::to_string(i), payload)).ok());
  const auto batch = database().Table()->Take({.max_plain_count = 100, .lease = 1h});
  ASSERT_TRUE(batch.ok()) << batch.status().ToString();
  EXPECT_EQ(batch->rows.size(), 15U);
  EXPECT_TRUE(batch->is_full);
}

}  // namespace
}  // namespace assent::test
