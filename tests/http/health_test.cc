// Whether the coordinator is ready: what is said, and that however many ask, the log is asked once.

#include "coordinator/http/health.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/http/line.h"

namespace assent::http {
namespace {

using Done = std::function<void(const Status&)>;

class HealthTest : public ::testing::Test {
 protected:
  std::shared_ptr<Line> Ask(bool verbose = true) {
    auto line = std::make_shared<Line>();
    pending_.push_back(health_->Ready(verbose, line));
    return line;
  }

  std::vector<Check> checks_{{.name = "work", .ok = true, .said = "taken"}};
  std::vector<Done> writes_;
  std::shared_ptr<Health> health_ = std::make_shared<Health>(HealthOptions{
      .look = [this] { return checks_; }, .write = [this](Done done) { writes_.push_back(done); }});
  std::vector<std::shared_ptr<Pending>> pending_;
};

TEST_F(HealthTest, ReadyWhenTheWriteIsDurable) {
  const auto line = Ask();
  EXPECT_TRUE(line->answers.empty());
  writes_.at(0)(OkStatus());
  ASSERT_EQ(line->answers.size(), 1U);
  EXPECT_EQ(line->answers[0].code, 200U);
  EXPECT_EQ(line->answers[0].body.find("[+]work: taken\n[+]log: written in "), 0U);
  EXPECT_NE(line->answers[0].body.find("\nready\n"), std::string::npos);
  // A young answer is told again.
  EXPECT_EQ(Ask(false)->answers.at(0).body, "ready\n");
  EXPECT_EQ(writes_.size(), 1U);
}

TEST_F(HealthTest, ManyAskAndTheLogIsWrittenOnce) {
  const auto first = Ask();
  const auto second = Ask();
  ASSERT_EQ(writes_.size(), 1U);
  writes_[0](ResourceExhausted("disk full"));
  for (const auto& line : {first, second}) {
    ASSERT_EQ(line->answers.size(), 1U);
    EXPECT_EQ(line->answers[0].code, 503U);
    EXPECT_TRUE(line->answers[0].try_later);
    EXPECT_NE(line->answers[0].body.find("[-]log: RESOURCE_EXHAUSTED: disk full\nnot ready\n"),
              std::string::npos);
  }
}

TEST_F(HealthTest, WhatIsNotSoIsSaidToEverybody) {
  checks_[0] = {.name = "work", .said = "refused: stopping"};
  const auto line = Ask(/*verbose=*/false);
  writes_.at(0)(OkStatus());
  EXPECT_EQ(line->answers.at(0).body, "[-]work: refused: stopping\nnot ready\n");
}

TEST_F(HealthTest, AWriteWithoutAnAnswerIsNoReadiness) {
  const auto line = Ask();
  EXPECT_GT(pending_.at(0)->patience().count(), 0);
  pending_[0]->TimedOut();
  EXPECT_EQ(line->answers.at(0).code, 503U);
  writes_.at(0)(OkStatus());  // too late for this one
  EXPECT_EQ(line->answers.size(), 1U);
}

TEST_F(HealthTest, WhoHasLeftIsNotTold) {
  const auto line = Ask();
  pending_.at(0)->Close();
  writes_.at(0)(OkStatus());
  EXPECT_TRUE(line->answers.empty());
}

TEST(Health, BeforeThereIsALogItIsNotReady) {
  const auto health = std::make_shared<Health>(HealthOptions{
      .look = [] { return std::vector<Check>{{.name = "start", .said = "recovering"}}; }});
  const auto line = std::make_shared<Line>();
  (void)health->Ready(true, line);
  EXPECT_EQ(line->answers.at(0).body, "[-]start: recovering\n[-]log: not open yet\nnot ready\n");
}

}  // namespace
}  // namespace assent::http
