#include "coordinator/log/retention_clock.h"

#include <gtest/gtest.h>

namespace assent::log {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::int64_t kHourMs = 3'600'000;

// A log that commits every minute, and stores what the clock asks for.
class History {
 public:
  explicit History(milliseconds age) : age_(age) { Start(0); }

  void Start(std::int64_t mono_ms) {
    mono_ms_ = mono_ms;
    clock_.emplace(stored_, age_, mono_ms_);
  }
  void Commit() {
    if (const auto change = clock_->Plan(mono_ms_, commits_, 0)) clock_->Apply(*change);
    stored_ = clock_->marks();
    ++commits_;
  }
  void Pass(std::int64_t ms, std::int64_t every_ms = 60'000) {
    for (const std::int64_t until = mono_ms_ + ms; mono_ms_ < until;) {
      mono_ms_ += every_ms;
      Commit();
    }
  }
  std::uint64_t KeptUpTo() const { return clock_->KeptUpTo(mono_ms_); }
  std::uint64_t commits() const { return commits_; }
  const std::vector<AgeMark>& stored() const { return stored_; }

 private:
  milliseconds age_;
  std::int64_t mono_ms_ = 0;
  std::uint64_t commits_ = 0;
  std::vector<AgeMark> stored_;
  std::optional<RetentionClock> clock_;
};

TEST(RetentionClock, ARowGoesAfterItsTimeAndNotMuchLater) {
  History run(hours(7 * 24));
  run.Commit();
  run.Pass(kHourMs);
  const std::uint64_t row = run.commits();
  run.Commit();
  run.Pass(7 * 24 * kHourMs - 1);
  EXPECT_LT(run.KeptUpTo(), row);
  run.Pass(2 * 7 * 24 * kHourMs / RetentionClock::kMarksPerAge + 120'000);
  EXPECT_GE(run.KeptUpTo(), row);
}

TEST(RetentionClock, MarksAreBoundedAndRise) {
  History run(hours(7 * 24));
  run.Pass(60 * 24 * kHourMs, 1000 * 60);
  EXPECT_LE(run.stored().size(), static_cast<std::size_t>(RetentionClock::kMarksPerAge) + 4);
  for (std::size_t i = 1; i < run.stored().size(); ++i) {
    EXPECT_LT(run.stored()[i - 1].ran_ms, run.stored()[i].ran_ms);
    EXPECT_LT(run.stored()[i - 1].commit_seq, run.stored()[i].commit_seq);
  }
}

// However its lives are cut, a row has been kept for its time of running.
TEST(RetentionClock, LivesAddUpAndOnlyWhatRanCounts) {
  History run(milliseconds(24 * kHourMs));
  run.Commit();
  const std::uint64_t row = run.commits();
  run.Commit();
  for (int life = 0; life < 23; ++life) {
    run.Start(life * 1'000'000'007LL);
    run.Pass(kHourMs);
  }
  EXPECT_LT(run.KeptUpTo(), row) << "23 hours of 24";
  run.Start(5);
  run.Pass(2 * kHourMs);
  EXPECT_GE(run.KeptUpTo(), row);
}

TEST(RetentionClock, WhatWasThereBeforeThereWereMarksIsKeptForAFullTimeMore) {
  RetentionClock clock({}, hours(24), 999);
  const auto first = clock.Plan(999, 1'000'000, 0);
  ASSERT_TRUE(first.has_value());
  clock.Apply(*first);
  EXPECT_EQ(clock.KeptUpTo(999 + 24 * kHourMs - 1), 0u);
  EXPECT_EQ(clock.KeptUpTo(999 + 24 * kHourMs), 1'000'000u);
}

TEST(RetentionClock, AClockThatGoesBackAllTheSameIsNoTime) {
  RetentionClock clock({{.ran_ms = 50, .commit_seq = 9, .unix_ms = 0}}, hours(1), 1000);
  EXPECT_EQ(clock.KeptUpTo(-kHourMs), 0u);
  EXPECT_FALSE(clock.Plan(-kHourMs, 10, 0).has_value());
}

TEST(RetentionClock, WithoutAnAgeNothingIsOldEnoughAndTheClockRuns) {
  History run(milliseconds(0));
  run.Pass(30 * 24 * kHourMs, 10 * 60'000);
  EXPECT_EQ(run.KeptUpTo(), 0u);
  EXPECT_GE(run.stored().back().ran_ms, static_cast<std::uint64_t>(30 * 24 * kHourMs) - 60'000);
}

TEST(RetentionPace, APartAMinuteAndWhatComesGoes) {
  constexpr std::uint64_t kKept = 64'000'000;
  constexpr std::uint64_t kPart = kKept / RetentionPace::kPartAMinute;
  RetentionPace pace(0);
  EXPECT_EQ(pace.Allowed(0, kKept), RetentionPace::kLeastRows);
  EXPECT_EQ(pace.Allowed(60'000, kKept), RetentionPace::kLeastRows + kPart);
  pace.NoteRemoved(RetentionPace::kLeastRows + kPart);
  EXPECT_EQ(pace.Allowed(60'000, kKept), 0u);
  pace.NoteFinished(500);
  EXPECT_EQ(pace.Allowed(60'000, kKept), 500u);
  EXPECT_EQ(pace.Allowed(24 * kHourMs, kKept), 2 * kPart) << "a quiet day saves nothing up";
}

TEST(WallWatch, TellsAStepFromTimeThatPasses) {
  WallWatch watch(std::nullopt);
  EXPECT_FALSE(watch.Look(0, 1'000'000).has_value());
  EXPECT_FALSE(watch.Look(kHourMs, 1'000'000 + kHourMs).has_value());
  EXPECT_FALSE(watch.Look(kHourMs, 1'000'000 + kHourMs + 59'999).has_value());
  EXPECT_EQ(watch.Look(kHourMs + 5, 1'000'000 + kHourMs + 59'999 + 60'005), milliseconds(60'000));
  EXPECT_EQ(watch.Look(kHourMs + 5, 0), milliseconds(-(1'000'000 + kHourMs + 59'999 + 60'005)));
  // Of the time between two lives only a clock that went back can be told.
  WallWatch later(10 * kHourMs);
  EXPECT_EQ(later.Look(7, kHourMs), milliseconds(-9 * kHourMs));
  WallWatch ahead(10 * kHourMs);
  EXPECT_FALSE(ahead.Look(7, 1000 * kHourMs).has_value());
}

}  // namespace
}  // namespace assent::log
