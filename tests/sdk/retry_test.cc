// The retry loop, on a clock that is moved by its own sleeps.

#include "participant-sdk/cpp/src/retry.h"

#include <chrono>
#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assent::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class RetryTest : public ::testing::Test {
 protected:
  RetryTest() {
    params_.policy.give_up_after = seconds(10);
    params_.deadline = now_ + seconds(60);
    params_.what = "Submit of transaction g1";
    params_.sleep = [this](milliseconds wait) { now_ += wait, sleeps_.push_back(wait); };
    params_.now = [this] { return now_; };
  }
  // Answers in turn, the last one for ever.
  Status Run(std::vector<Attempt> answers) {
    return Retry(params_, [&, at = std::size_t{0}]() mutable {
      ++attempts_;
      const Attempt answer = answers[at];
      if (at + 1 < answers.size()) ++at;
      return answer;
    });
  }

  SteadyTime now_ = SteadyTime(std::chrono::hours(1));
  RetryParams params_;
  std::vector<milliseconds> sleeps_;
  int attempts_ = 0;
};

const Status kUnreachable = Unavailable("connection refused");

TEST_F(RetryTest, AnAnswerEndsItGoodOrBad) {
  EXPECT_TRUE(Run({{OkStatus()}}).ok());
  EXPECT_EQ(Run({{NotFound("no such gid")}}), NotFound("no such gid"));
  EXPECT_TRUE(sleeps_.empty());
}

TEST_F(RetryTest, ADaemonThatComesBackIsReached) {
  EXPECT_TRUE(
      Run({{kUnreachable, false}, {kUnreachable, false}, {kUnreachable, true}, {OkStatus()}}).ok());
  EXPECT_EQ(attempts_, 4);
}

TEST_F(RetryTest, NeverReachedIsUnavailable) {
  const auto begin = now_;
  EXPECT_EQ(Run({{kUnreachable, false}}).code(), Code::kUnavailable);
  EXPECT_LE(now_ - begin, seconds(10));
  EXPECT_GT(now_ - begin, seconds(8));
}

TEST_F(RetryTest, ReachedOnceMakesItUnknown) {
  const Status status = Run({{kUnreachable, true}, {kUnreachable, false}});
  EXPECT_EQ(status.code(), Code::kUnknownOutcome);
  EXPECT_THAT(status.message(), HasSubstr("g1"));
  EXPECT_THAT(status.message(), HasSubstr("same gid"));
}

TEST_F(RetryTest, TheDeadlineOfAReachedCallIsUnknownOfAnUnreachedOneUnavailable) {
  const Status expired(Code::kDeadlineExceeded, "Deadline Exceeded");
  EXPECT_EQ(Run({{expired, true}}).code(), Code::kUnknownOutcome);
  EXPECT_EQ(Run({{expired, false}}).code(), Code::kUnavailable);
  EXPECT_EQ(attempts_, 2);
}

TEST_F(RetryTest, AReadThatRunsOutOfTimeIsJustThat) {
  params_.read_only = true;
  EXPECT_EQ(Run({{{Code::kDeadlineExceeded, "x"}, true}}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(Run({{kUnreachable, true}}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(Run({{kUnreachable, false}}).code(), Code::kUnavailable);
}

TEST_F(RetryTest, AFullCoordinatorsHintIsHonoured) {
  EXPECT_TRUE(Run({{ResourceExhausted("full"), true, milliseconds(1500)}, {OkStatus()}}).ok());
  ASSERT_EQ(sleeps_.size(), 1u);
  EXPECT_EQ(sleeps_[0], milliseconds(1500));
}

TEST_F(RetryTest, AHintBeyondTheEndIsNotWaitedFor) {
  EXPECT_EQ(Run({{ResourceExhausted("full"), true, seconds(30)}}).code(), Code::kUnknownOutcome);
  EXPECT_TRUE(sleeps_.empty());
}

// What a library or a proxy can make up: a lost answer is UNAVAILABLE, an answer that is too large
// RESOURCE_EXHAUSTED, a 404 UNIMPLEMENTED, a 403 PERMISSION_DENIED; and the transaction has
// committed. Nothing of it is taken for "not done", whatever the text says.
TEST_F(RetryTest, NoCodeThatALibraryCanMakeUpSaysThatNothingWasDone) {
  for (const Code code :
       {Code::kCancelled, Code::kPermissionDenied, Code::kResourceExhausted, Code::kOutOfRange,
        Code::kUnimplemented, Code::kInternal, Code::kUnavailable, Code::kUnknownOutcome}) {
    const Status status = Run({{{code, "failed to connect to all addresses; nothing was begun"}}});
    EXPECT_EQ(status.code(), Code::kUnknownOutcome) << CodeName(code);
    EXPECT_THAT(status.message(), HasSubstr("may or may not have been done"));
  }
  params_.read_only = true;
  EXPECT_EQ(Run({{{Code::kUnimplemented, "404"}}}).code(), Code::kUnimplemented);
}

TEST_F(RetryTest, WhatACoordinatorAloneSaysIsAnAnswer) {
  for (const Code code : {Code::kInvalidArgument, Code::kNotFound, Code::kAlreadyExists,
                          Code::kFailedPrecondition, Code::kAborted, Code::kDataLoss})
    EXPECT_EQ(Run({{{code, "because"}}}), Status(code, "because"));
  EXPECT_EQ(attempts_, 6);
}

TEST_F(RetryTest, WaitsStayBelowTheCeiling) {
  EXPECT_FALSE(Run({{kUnreachable, false}}).ok());
  for (const milliseconds wait : sleeps_) EXPECT_LE(wait, milliseconds(1000));
  EXPECT_GT(attempts_, 10);
}

TEST_F(RetryTest, ZeroPatienceMeansOneAttempt) {
  params_.policy.give_up_after = milliseconds(0);
  EXPECT_EQ(Run({{kUnreachable, true}}).code(), Code::kUnknownOutcome);
  EXPECT_EQ(attempts_, 1);
}

}  // namespace
}  // namespace assent::internal
