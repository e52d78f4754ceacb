// The small values of core: tables, backoff, attempts kept, and sentences for people.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/attempts.h"
#include "coordinator/core/describe.h"
#include "coordinator/core/protocol.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

// ---- The tables ---------------------------------------------------------------------------------

constexpr BranchState kAllStates[] = {
    BranchState::kWaiting, BranchState::kExecuting, BranchState::kExecuted, BranchState::kReadOnly,
    BranchState::kRefused, BranchState::kFinishing, BranchState::kDone,     BranchState::kUndoing,
    BranchState::kUndone,  BranchState::kSkipped};

TEST(Tables, EveryStateIsReachedAndLeft) {
  for (const BranchState state : kAllStates) {
    bool entered = state == BranchState::kWaiting;
    bool left = false;
    for (const BranchMove& move : kBranchMoves) {
      entered = entered || move.to == state;
      left = left || move.from == state;
    }
    EXPECT_TRUE(entered) << Name(state);
    EXPECT_NE(left, IsFinal(state)) << Name(state);
  }
}

TEST(Tables, EveryOperationBelongsToOneProtocolAndOneState) {
  for (int i = 1; i <= static_cast<int>(Operation::kCompensate); ++i) {
    int uses = 0;
    for (const ProtocolRules& rules : kProtocols) {
      for (const BranchState state : kAllStates) {
        uses += DueOperation(rules.protocol, state) == static_cast<Operation>(i) ? 1 : 0;
      }
    }
    EXPECT_EQ(uses, 1) << Name(static_cast<Operation>(i));
  }
}

TEST(Tables, NothingIsDueAtTheEnd) {
  for (const ProtocolRules& rules : kProtocols) {
    for (const BranchState state : kAllStates) {
      if (!IsFinal(state)) continue;
      EXPECT_EQ(DueOperation(rules.protocol, state), kNoOperation) << Name(state);
    }
  }
  EXPECT_EQ(DueOperation(Protocol::kSaga, BranchState::kFinishing), kNoOperation);
}

// ---- Backoff ------------------------------------------------------------------------------------

constexpr RetryPolicy kPolicy{Millis(100), Millis(1000), 0};
constexpr std::uint64_t kEntropies[] = {0, 1, 12345, 1ULL << 40, ~0ULL};

TEST(Backoff, DoublesUpToTheCeilingAndKeepsHalf) {
  const std::int64_t full_ms[] = {100, 200, 400, 800, 1000, 1000};
  for (std::uint32_t n = 1; n <= 6; ++n) {
    for (const std::uint64_t entropy : kEntropies) {
      const Micros wait = Backoff(kPolicy, n, entropy);
      EXPECT_GE(wait.count(), full_ms[n - 1] * 500) << n;
      EXPECT_LE(wait.count(), full_ms[n - 1] * 1000) << n;
    }
  }
  // The whole range is drawn from: both ends occur.
  EXPECT_EQ(Backoff(kPolicy, 1, 0), Millis(50));
  EXPECT_EQ(Backoff(kPolicy, 1, 50'000), Millis(100));
}

TEST(Backoff, HasACeilingForEver) {
  constexpr RetryPolicy longest{Millis(limits::kMaxMaxBackoffMs), Millis(limits::kMaxMaxBackoffMs),
                                0};
  for (const std::uint32_t n : {31U, 1000U, ~0U}) {
    for (const std::uint64_t entropy : kEntropies) {
      EXPECT_LE(Backoff(kPolicy, n, entropy), Millis(1000));
      EXPECT_LE(Backoff(longest, n, entropy), Millis(limits::kMaxMaxBackoffMs));
    }
  }
}

// A zero wait would make the shell spin.
TEST(Backoff, IsNeverNothingForNormalisedPolicies) {
  for (const std::uint64_t entropy : kEntropies)
    EXPECT_GT(Backoff({Millis(1), Millis(1), 0}, 1, entropy), Micros(0));
}

// ---- Attempts -----------------------------------------------------------------------------------

constexpr std::size_t kFirst = limits::kMaxFirstAttemptsKeptCount;
constexpr std::size_t kLast = limits::kMaxLastAttemptsKeptCount;

TEST(Attempts, KeepsTheFirstAndTheLast) {
  AttemptHistory history;
  for (std::uint32_t n = 1; n <= 1000; ++n) {
    history.Open(Operation::kCommit, n, WallTime(Millis(n)));
    history.Close(AttemptResult::kUnknown, Micros(n), "reset");
    EXPECT_LE(history.kept().size(), kFirst + kLast);
    EXPECT_EQ(history.kept().size() + history.dropped(), n);
  }
  for (std::size_t i = 0; i < kFirst; ++i) EXPECT_EQ(history.kept()[i].number, i + 1);
  for (std::size_t i = 0; i < kLast; ++i)
    EXPECT_EQ(history.kept()[kFirst + i].number, 1000 - kLast + 1 + i);
}

// A participant that is away for a day must not push out what was learnt before.
TEST(Attempts, WhatWasNotSentSharesOneEntry) {
  AttemptHistory history;
  history.Open(Operation::kTry, 1, WallTime(Millis(1)));
  history.Close(AttemptResult::kUnknown, Micros(1), "reset");
  for (std::uint32_t n = 2; n <= 500; ++n) {
    history.Open(Operation::kTry, n, WallTime(Millis(n)));
    history.Close(AttemptResult::kNotSent, Micros(0), "nobody there");
  }
  ASSERT_EQ(history.kept().size(), 2U);
  EXPECT_EQ(history.kept()[1].number, 499U + 1U);
  EXPECT_EQ(history.dropped(), 0U);
  // Of another operation: an entry of its own.
  history.Open(Operation::kCancel, 1, WallTime(Millis(600)));
  EXPECT_EQ(history.kept().size(), 3U);
}

TEST(Attempts, ClosesOnlyWhatIsOpen) {
  AttemptHistory history;
  history.Close(AttemptResult::kDone, Micros(1), "");
  EXPECT_TRUE(history.kept().empty());
  history.Open(Operation::kTry, 1, WallTime(Millis(1)));
  EXPECT_EQ(history.kept()[0].result, AttemptResult::kInFlight);
  history.Close(AttemptResult::kDone, Micros(1), "");
  history.Close(AttemptResult::kRefused, Micros(2), "late");
  EXPECT_EQ(history.kept()[0].result, AttemptResult::kDone);
}

// What came too late for its attempt says so there, and not at the one that was on its way then.
TEST(Attempts, ALateAnswerBelongsToItsAttempt) {
  AttemptHistory history;
  for (std::uint32_t n = 1; n <= 2; ++n) {
    history.Open(Operation::kTry, n, WallTime(Millis(n)));
    history.Close(AttemptResult::kUnknown, Micros(1), "reset");
  }
  history.CloseLate(Operation::kTry, 1, AttemptResult::kDone, "", WallTime(Millis(11)));
  history.CloseLate(Operation::kTry, 7, AttemptResult::kDone, "", WallTime(Millis(11)));
  EXPECT_EQ(history.kept()[0].result, AttemptResult::kDone);
  EXPECT_EQ(history.kept()[0].latency, Millis(10));
  EXPECT_EQ(history.kept()[0].error, "");
  EXPECT_EQ(history.kept()[1].result, AttemptResult::kUnknown);
}

// ---- Sentences ----------------------------------------------------------------------------------

TEST(HumanDuration, PicksTheUnit) {
  const std::pair<std::int64_t, const char*> cases[] = {{-5, "0 ms"},
                                                        {0, "0 ms"},
                                                        {499, "0 ms"},
                                                        {500, "1 ms"},
                                                        {999'499, "999 ms"},
                                                        {999'500, "1 s"},
                                                        {1'499'000, "1 s"},
                                                        {1'500'000, "2 s"},
                                                        {119'400'000, "119 s"},
                                                        {120'000'000, "2 min"},
                                                        {7'199'000'000, "119 min"},
                                                        {7'200'000'000, "2 h"},
                                                        {172'799'000'000, "47 h"},
                                                        {172'800'000'000, "2 d"}};
  for (const auto& [micros, text] : cases) EXPECT_EQ(HumanDuration(Micros(micros)), text) << micros;
}

class WhyTest : public ::testing::Test {
 protected:
  void Begin(std::vector<Protocol> protocols, bool open = false) {
    TransactionSpec spec;
    spec.gid = "g1";
    spec.open = open;
    for (std::size_t i = 0; i < protocols.size(); ++i) {
      BranchSpec branch;
      branch.protocol = protocols[i];
      branch.service = "inventory";
      branch.action = "reserve";
      spec.branches.push_back(branch);
    }
    ASSERT_EQ(Normalise(spec), OkStatus());
    transaction_ = std::make_unique<Transaction>(std::move(spec));
    Apply(core::Begin{});
  }
  void Apply(const Event& event) { (void)transaction_->Apply(event, now_); }
  void Answer(BranchIndex i, AttemptResult result, std::string reason = {}) {
    Apply(Answered{i,
                   transaction_->Due(i),
                   transaction_->branches()[i].attempts,
                   result,
                   {},
                   std::move(reason),
                   Millis(0)});
  }
  void Pass(Micros time) { now_.mono += time; }
  std::string Why() const { return WhyNotFinished(*transaction_, now_); }

  Now now_{MonoTime(Millis(5000)), WallTime(Millis(1'700'000'000'000)), 0};
  std::unique_ptr<Transaction> transaction_;
};

constexpr Protocol kTwoPhase = Protocol::kTwoPhase;
constexpr Protocol kTcc = Protocol::kTcc;
constexpr Protocol kSaga = Protocol::kSaga;

TEST_F(WhyTest, UnderWay) {
  Begin({kTcc, kTcc});
  Pass(Millis(250));
  EXPECT_EQ(Why(),
            "not decided: branch 1 inventory/reserve: TRY, 1 attempt; sent 250 ms ago, not "
            "answered yet (and 1 more)");
}

TEST_F(WhyTest, NobodyThere) {
  Begin({kTcc, kTcc});
  Answer(0, AttemptResult::kDone);
  Answer(1, AttemptResult::kNotSent, "no participant of inventory is connected");
  EXPECT_EQ(Why(),
            "not decided: branch 2 inventory/reserve: TRY, 1 attempt, last: no participant of "
            "inventory is connected; next try in 50 ms");
  Pass(Millis(60));
  EXPECT_EQ(Why(),
            "not decided: branch 2 inventory/reserve: TRY, 1 attempt, last: no participant of "
            "inventory is connected; next try now");
}

// What nobody can take is not tried, and whoever looks is told why, since when, and how it will go
// on.
TEST_F(WhyTest, NobodyOfTheServiceThere) {
  Begin({kTcc});
  Answered nobody{0,        Operation::kTry,
                  1,        AttemptResult::kNotSent,
                  {},       "no participant inventory is connected",
                  Millis(0)};
  nobody.service_absent = true;
  Apply(nobody);
  Pass(Millis(45'000));
  EXPECT_EQ(Why(),
            "not decided: branch 1 inventory/reserve: TRY, 1 attempt, last: no participant "
            "inventory is connected (for 45 s); goes on as soon as inventory appears");
  Apply(ServiceAppeared{"inventory"});
  EXPECT_EQ(Why(),
            "not decided: branch 1 inventory/reserve: TRY, 2 attempts, last: no participant "
            "inventory is connected; sent 0 ms ago, not answered yet");
}

// The one that holds it up is named, not the first one.
TEST_F(WhyTest, TheWorstIsNamed) {
  Begin({kTwoPhase, kTwoPhase, kTwoPhase});
  for (const BranchIndex i : {0, 1, 2}) Answer(i, AttemptResult::kDone);
  Answer(1, AttemptResult::kUnknown, "UNAVAILABLE: connection refused");
  Answer(2, AttemptResult::kRefused, "nothing prepared");
  EXPECT_EQ(Why(),
            "decided commit, carrying it out: branch 3 inventory/reserve: COMMIT, 1 attempt, "
            "last: nothing prepared; next try in 50 ms; HAZARD: the participant contradicts the "
            "decision, a person must look (assentctl resolve) (and 2 more)");
}

TEST_F(WhyTest, StuckCompensation) {
  Begin({kSaga, kSaga});
  Answer(0, AttemptResult::kDone);
  Answer(1, AttemptResult::kRefused, "out of stock");
  Answer(0, AttemptResult::kRefused, "already shipped");
  EXPECT_EQ(Why(),
            "decided abort, undoing: branch 1 inventory/reserve: COMPENSATE, 1 attempt, last: "
            "already shipped; next try in 50 ms; a person should look");
}

TEST_F(WhyTest, SuspendedSaysByWhomAndWhy) {
  Begin({kTcc});
  Answer(0, AttemptResult::kUnknown, "reset");
  Apply(Suspend{{"ann", "maintenance"}});
  EXPECT_EQ(Why(),
            "suspended by ann (maintenance); not decided: branch 1 inventory/reserve: TRY, 1 "
            "attempt, last: reset; held until resumed");
  Apply(Resume{{"ann", ""}});
  Apply(Suspend{});
  EXPECT_EQ(Why().substr(0, 34), "suspended by a person; not decided");
}

TEST_F(WhyTest, OpenWaitsForItsInitiator) {
  Begin({}, /*open=*/true);
  EXPECT_EQ(Why(), "not decided: its initiator has not said Commit yet");
  Apply(Suspend{{"ann", ""}});
  EXPECT_EQ(Why(), "suspended by ann; not decided: its initiator has not said Commit yet");
}

TEST_F(WhyTest, FinishedSaysNothing) {
  Begin({kTwoPhase});
  Answer(0, AttemptResult::kDone);
  EXPECT_EQ(Why(), "");
}

TEST(CleanText, WhatIsNoUtf8BecomesAQuestionMark) {
  EXPECT_EQ(CleanText("plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
            "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(CleanText("\xff \xc3 \x80"), "? ? ?");
  EXPECT_EQ(CleanText("\xc0\xaf"), "??") << "overlong";
  EXPECT_EQ(CleanText("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(CleanText("\xf4\x90\x80\x80"), "????") << "beyond U+10FFFF";
  EXPECT_EQ(CleanText("\xe2\x82"), "??") << "torn";
  EXPECT_EQ(CleanText(""), "");
  const std::string cut = CleanText("a" + std::string(2 * limits::kMaxReasonBytes, '\xff'));
  EXPECT_EQ(cut, "a" + std::string(limits::kMaxReasonBytes - 1, '?'));
}

}  // namespace
}  // namespace assent::core
