// Who looks does not stop who works, and sees everything once.

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;

class LookingTest : public ::testing::Test {
 protected:
  void Begin(const std::string& gid) {
    core::TransactionSpec spec = ShardRig::Spec(gid, core::Protocol::kTcc, 1);
    spec.deadline = core::Millis(3600'000);
    rig_.Do(ShardRig::Begin(std::move(spec), WaitFor::kAccepted, told_));
    rig_.CompleteAll();
  }
  void BeginMany(int count) {
    for (int i = 0; i < count; ++i) Begin("g" + std::to_string(i));
  }
  // Answers what is on its way for `gid`.
  void Answer(const std::string& gid, AttemptResult result) {
    std::vector<transport::Reply> replies;
    for (auto at = rig_.sent.begin(); at != rig_.sent.end();) {
      if (at->gid == gid) {
        replies.push_back(
            {at->gid, at->branch, at->operation, at->attempt, result, {}, "no", core::Millis(0)});
        at = rig_.sent.erase(at);
      } else {
        ++at;
      }
    }
    rig_.Do(RepliesRequest{std::move(replies)});
    rig_.CompleteAll();
  }
  // Its CONFIRM is refused: a person has to look.
  void GetStuck(const std::string& gid) {
    Answer(gid, AttemptResult::kDone);
    Answer(gid, AttemptResult::kRefused);
  }
  void End(const std::string& gid) {
    Answer(gid, AttemptResult::kDone);
    Answer(gid, AttemptResult::kDone);
    rig_.Pass(core::Millis(20));
    rig_.CompleteAll();
  }
  SliceEnd Slice(Part part, std::uint64_t look, std::uint64_t after, std::size_t max_rows) {
    SliceEnd ended;
    seen_now_.clear();
    rig_.Do(SliceRequest{
        [&](std::uint64_t serial, const core::Transaction& txn, bool, const core::Now&) {
          seen_now_.push_back(txn.gid());
          ++seen_[txn.gid()];
          last_serial_ = serial;
        },
        [&](const SliceEnd& end) { ended = end; }, part, look, after, max_rows});
    return ended;
  }

  ShardRig rig_;
  ShardRig::Told told_;
  std::vector<std::string> seen_now_;
  std::map<std::string, int> seen_;
  std::uint64_t last_serial_ = 0;
};

TEST_F(LookingTest, ASliceIsAsLongAsItMayBeAndTheNextGoesOn) {
  BeginMany(10);
  SliceEnd end = Slice(Part::kOthers, 1, 0, 4);
  EXPECT_EQ(seen_now_, (std::vector<std::string>{"g0", "g1", "g2", "g3"}));
  EXPECT_TRUE(end.more);
  EXPECT_EQ(end.serial, last_serial_);
  end = Slice(Part::kOthers, 1, end.serial, 6);
  EXPECT_EQ(seen_now_.size(), 6U);
  EXPECT_FALSE(end.more);
  end = Slice(Part::kNewestFirst, 1, 0, 3);
  EXPECT_EQ(seen_now_, (std::vector<std::string>{"g9", "g8", "g7"}));
  end = Slice(Part::kNewestFirst, 1, end.serial, 100);
  EXPECT_EQ(seen_now_.size(), 7U);
  EXPECT_EQ(seen_now_.back(), "g0");
  EXPECT_FALSE(end.more);
}

TEST_F(LookingTest, WhatNeedsAPersonComesFirst) {
  BeginMany(6);
  GetStuck("g4");
  GetStuck("g1");
  (void)Slice(Part::kStuck, 1, 0, 100);
  EXPECT_EQ(seen_now_, (std::vector<std::string>{"g1", "g4"}));
  (void)Slice(Part::kOthers, 1, 0, 100);
  EXPECT_EQ(seen_now_, (std::vector<std::string>{"g0", "g2", "g3", "g5"}));
  EXPECT_EQ(rig_.shard.Stats().needs_operator, 2U);
}

// It gets stuck, or is helped, between two slices of one look, behind its cursor or before it.
TEST_F(LookingTest, WhateverHappensBetweenTwoSlicesEachIsSeenOnce) {
  BeginMany(8);
  for (const char* gid : {"g2", "g5", "g7"}) GetStuck(gid);
  SliceEnd end = Slice(Part::kStuck, 1, 0, 1);
  EXPECT_EQ(seen_["g2"], 1);
  rig_.Pass(core::Millis(60'000));     // they are asked again
  Answer("g2", AttemptResult::kDone);  // seen, and ends
  Answer("g7", AttemptResult::kRetryLater);
  GetStuck("g1");                        // not seen yet
  (void)Slice(Part::kStuck, 2, 0, 100);  // somebody else looks
  EXPECT_EQ(seen_now_, (std::vector<std::string>{"g1", "g5", "g7"}));
  seen_["g1"] = seen_["g5"] = seen_["g7"] = 0;
  seen_["g2"] = 1;
  end = Slice(Part::kStuck, 1, end.serial, 100);
  EXPECT_FALSE(end.more);
  end = Slice(Part::kOthers, 1, 0, 3);
  GetStuck("g3");
  GetStuck("g6");
  while (end.more) end = Slice(Part::kOthers, 1, end.serial, 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(seen_["g" + std::to_string(i)], 1) << i;
}

// Ended while the look goes on: what is left is seen, and nothing twice.
TEST_F(LookingTest, EndsBetweenTwoSlicesLeaveNoGap) {
  BeginMany(40);
  SliceEnd end = Slice(Part::kOthers, 1, 0, 5);
  for (int round = 0; end.more; ++round) {
    End("g" + std::to_string(4 * round));
    end = Slice(Part::kOthers, 1, end.serial, 5);
  }
  for (const auto& [gid, times] : seen_) EXPECT_EQ(times, 1) << gid;
  for (int i = 0; i < 40; ++i) {
    if (i % 4 != 0) {
      EXPECT_EQ(seen_["g" + std::to_string(i)], 1) << i;
    }
  }
}

// The figures are kept as things happen: after any of them they are what a count would find.
TEST_F(LookingTest, FiguresAreThoseOfACount) {
  const auto check = [&](std::uint64_t active, std::uint64_t committing, std::uint64_t aborting,
                         std::uint64_t stuck) {
    const ShardStats stats = rig_.shard.Stats();
    EXPECT_EQ(stats.active, active);
    EXPECT_EQ(stats.committing, committing);
    EXPECT_EQ(stats.aborting, aborting);
    EXPECT_EQ(stats.needs_operator, stuck);
  };
  check(0, 0, 0, 0);
  BeginMany(4);
  check(4, 0, 0, 0);
  Answer("g0", AttemptResult::kDone);
  check(3, 1, 0, 0);
  GetStuck("g1");
  check(2, 2, 0, 1);
  rig_.Do(CloseRequest{"g2", false, "", WaitFor::kDecided, told_.Callback()});
  check(2, 2, 0, 1);  // not durable yet
  rig_.CompleteAll();
  check(1, 2, 1, 1);
  End("g3");
  check(0, 2, 1, 1);
  rig_.Pass(core::Millis(60'000));
  Answer("g1", AttemptResult::kDone);
  check(0, 1, 1, 0);
  Answer("g0", AttemptResult::kDone);
  Answer("g2", AttemptResult::kDone);
  rig_.Pass(core::Millis(60'000));
  rig_.CompleteAll();
  check(0, 0, 0, 0);
  EXPECT_EQ(rig_.shard.live_count(), 0U);
}

// What is sealed is sealed for its gid. Changes of a row had none, so that behind a key no row that
// had changed opened again after a kill.
TEST_F(LookingTest, EveryEntryOfTheLogHasItsGid) {
  Begin("a");
  const auto& sent = rig_.sent.front();
  rig_.Do(RepliesRequest{{{sent.gid,
                           sent.branch,
                           sent.operation,
                           sent.attempt,
                           AttemptResult::kDone,
                           {},
                           {},
                           core::Millis(0)}}});
  ASSERT_EQ(rig_.appends.size(), 1U);
  ASSERT_EQ(rig_.appends.front().entries.size(), 1U);
  EXPECT_EQ(rig_.appends.front().entries.front().kind, log::EntryKind::kUpdate);
  EXPECT_EQ(rig_.appends.front().entries.front().gid, "a");
}

// A finished row whose key is missing has a spec that nobody can compare. It was said to be of
// other content, and whoever repeated his request was told to use a new gid, and did it all again.
TEST_F(LookingTest, WhatCannotBeReadIsNotOfOtherContent) {
  ShardRig::Told again;
  rig_.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kCompleted, again));
  rig_.Complete({}, {{0, AlreadyExists("a")}});
  ASSERT_EQ(rig_.finds.size(), 1U);
  const core::OutOfService aside{.actor = {"encryption", "a key is missing"}, .gid = "a"};
  log::FinishedRow row{1, "a", "bytes under a key", core::Codec::EncodeState(aside), 2, 0};
  rig_.Do(FoundRequest{rig_.finds[0].second, Finished(std::move(row))});
  EXPECT_EQ(again.words, std::vector<std::string>{"DATA_LOSS"});
}

}  // namespace
}  // namespace assent::engine
