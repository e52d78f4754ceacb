// Whose a transaction is: what its initiator may have under way, and who is told of its branches.

#include "coordinator/engine/initiators.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

Initiators::Name Named(const std::string& name) {
  return std::make_shared<const std::string>(name);
}

TEST(Initiators, EachHasItsOwn) {
  Initiators initiators;
  const Allowance two{.max_transactions_count = 2, .max_bytes = 100};
  initiators.Add(Named("a"), 2, 60);
  initiators.Add(Named("b"), 1, 0);
  initiators.Add(nullptr, 1, 1'000);
  EXPECT_EQ(initiators.Check(Named("a"), two, 1, 0).code(), Code::kResourceExhausted);
  EXPECT_TRUE(initiators.Check(Named("a"), two, 0, 40).ok());
  EXPECT_EQ(initiators.Check(Named("a"), two, 0, 41).code(), Code::kResourceExhausted);
  EXPECT_TRUE(initiators.Check(Named("a"), {}, 1, 1'000).ok()) << "without a limit";
  EXPECT_TRUE(initiators.Check(Named("b"), two, 1, 100).ok());
  EXPECT_TRUE(initiators.Check(nullptr, two, 9, 900).ok());
  EXPECT_EQ(initiators.refused().transactions, 1U);
  EXPECT_EQ(initiators.refused().bytes, 1U);
  initiators.Remove(Named("a"), 1, 60);
  EXPECT_TRUE(initiators.Check(Named("a"), two, 1, 100).ok());
  initiators.Remove(Named("a"), 1, 0);
  initiators.Remove(Named("b"), 1, 0);
  EXPECT_EQ(initiators.size(), 0U);
}

class InitiatorsTest : public testing::Test {
 protected:
  static ShardOptions Options(Initiators& initiators) {
    ShardOptions options;
    options.initiators = &initiators;
    return options;
  }
  static core::TransactionSpec Spec(const std::string& gid, const std::string& initiator,
                                    const std::string& payload = "") {
    core::TransactionSpec spec;
    spec.gid = gid;
    core::BranchSpec& branch = spec.branches.emplace_back();
    branch.id = "1";
    branch.protocol = core::Protocol::kTcc;
    branch.service = "bank";
    branch.action = "pay";
    branch.payload = payload;
    EXPECT_TRUE(core::Normalise(spec).ok());
    spec.initiator = Named(initiator);
    return spec;
  }
  std::string Begin(const std::string& gid, const std::string& initiator, Allowance allowance,
                    const std::string& payload = "") {
    ShardRig::Told told;
    rig.Do(BeginRequest{.spec = Spec(gid, initiator, payload),
                        .wait_for = WaitFor::kAccepted,
                        .done = told.Callback(),
                        .allowance = allowance});
    rig.CompleteAll();
    return told.words.empty() ? "" : told.words.front();
  }
  void FinishAll() {
    for (int i = 0; i < 4; ++i) {
      rig.AnswerAll(core::AttemptResult::kDone);
      rig.CompleteAll();
      rig.Pass(core::Millis(30));
      rig.CompleteAll();
    }
  }
  transport::Verdict Ask(const std::string& branch, const std::string& service,
                         std::uint64_t epoch = ShardRig::kEpochs.back()) {
    transport::OutcomeAnswer answer;
    transport::OutcomeQuestion question{"a", branch, 7, epoch};
    if (!service.empty()) {
      question.may_know = [service](const std::string& of) {
        return of == service ? OkStatus() : PermissionDenied("no");
      };
    }
    rig.Do(QuestionRequest{question, [&](transport::OutcomeAnswer given) { answer = given; }});
    if (!rig.finds.empty()) {
      rig.Do(FoundRequest{std::exchange(rig.finds, {}).back().second, ShardRig::Absent()});
    }
    return answer.verdict;
  }

  Initiators initiators;
  ShardRig rig{Options(initiators)};
};

TEST_F(InitiatorsTest, NoMoreBeginThanItMayHaveUnderWay) {
  const Allowance two{.max_transactions_count = 2};
  EXPECT_EQ(Begin("1", "a", two), "OK UNDECIDED");
  EXPECT_EQ(Begin("2", "a", two), "OK UNDECIDED");
  EXPECT_EQ(Begin("3", "a", two), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(Begin("2", "a", two), "OK UNDECIDED") << "who asks again begins nothing";
  EXPECT_EQ(Begin("4", "b", two), "OK UNDECIDED") << "another one";
  EXPECT_EQ(rig.shard.live_count(), 3U);
  FinishAll();
  EXPECT_EQ(rig.shard.live_count(), 0U);
  EXPECT_EQ(initiators.size(), 0U);
  EXPECT_EQ(Begin("3", "a", two), "OK UNDECIDED");
}

TEST_F(InitiatorsTest, BytesOfWhatIsUnderWayAreLimited) {
  const Allowance kilobyte{.max_bytes = 1'000};
  EXPECT_EQ(Begin("1", "a", kilobyte, std::string(900, 'x')), "OK UNDECIDED");
  EXPECT_EQ(Begin("2", "a", kilobyte, std::string(101, 'x')), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(Begin("2", "b", kilobyte, std::string(101, 'x')), "OK UNDECIDED");
  FinishAll();
  EXPECT_EQ(Begin("3", "a", kilobyte, std::string(101, 'x')), "OK UNDECIDED");
}

TEST_F(InitiatorsTest, WhatAStartHasFoundCounts) {
  EXPECT_EQ(Begin("1", "a", {}), "OK UNDECIDED");
  const log::Entry entry = [&] {
    ShardRig other;
    other.Do(BeginRequest{.spec = Spec("2", "a"), .done = [](const auto&...) {}});
    return other.appends.front().entries.front();
  }();
  Initiators after;
  ShardOptions options = Options(after);
  Shard shard(options, rig);
  rig.Start(shard, {ShardRig::RowOf(entry)}, ShardRig::Recovered(ShardRig::kEpochs));
  EXPECT_EQ(after.Check(Named("a"), {.max_transactions_count = 1}, 1, 0).code(),
            Code::kResourceExhausted);
}

// ---- Questions ----------------------------------------------------------------------------------

// What is asked about may be held prepared by somebody: a wrong asker is never told "aborted".
TEST_F(InitiatorsTest, AParticipantIsToldOfItsOwnBranches) {
  ASSERT_EQ(Begin("a", "me", {}), "OK UNDECIDED");
  EXPECT_EQ(Ask("1", "bank"), transport::Verdict::kUndecided);
  EXPECT_EQ(Ask("1", "stock"), transport::Verdict::kCannotTell);
  EXPECT_EQ(Ask("9", "stock"), transport::Verdict::kCannotTell) << "no branch of it";
  EXPECT_EQ(Ask("1", "stock", 0), transport::Verdict::kCannotTell);
  EXPECT_EQ(Ask("1", ""), transport::Verdict::kUndecided) << "without rules nobody is asked";
  EXPECT_EQ(Ask("9", ""), transport::Verdict::kAbort) << "likewise, and never part of it";
  // Of an earlier transaction of that name: not this one's business, and as if it were not there.
  EXPECT_EQ(Ask("1", "stock", ShardRig::kEpochs.front()), transport::Verdict::kAbort);
  rig.AnswerAll(core::AttemptResult::kDone);
  rig.CompleteAll();
  EXPECT_EQ(Ask("1", "bank"), transport::Verdict::kCommit);
  EXPECT_EQ(Ask("1", "stock"), transport::Verdict::kCannotTell);
}

}  // namespace
}  // namespace assent::engine
