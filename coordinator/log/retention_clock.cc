#include "coordinator/log/retention_clock.h"

#include <algorithm>
#include <utility>

namespace assent::log {
namespace {

constexpr std::chrono::milliseconds kAgeOfNone = std::chrono::hours(7 * 24);
constexpr std::size_t kMaxMarks = 4 * RetentionClock::kMarksPerAge;

}  // namespace

RetentionClock::RetentionClock(std::vector<AgeMark> stored, Millis age, std::int64_t mono_ms)
    : marks_(std::move(stored)),
      age_(age),
      ran_before_(marks_.empty() ? 0 : marks_.back().ran_ms),
      began_mono_ms_(mono_ms) {}

std::uint64_t RetentionClock::Ran(std::int64_t mono_ms) const {
  return ran_before_ +
         static_cast<std::uint64_t>(std::max<std::int64_t>(0, mono_ms - began_mono_ms_));
}

RetentionClock::Millis RetentionClock::Every() const {
  const Millis age = age_.count() > 0 ? age_ : kAgeOfNone;
  return std::clamp(age / kMarksPerAge, Millis(1), kMarkEvery);
}

std::uint64_t RetentionClock::Spacing() const {
  const Millis age = age_.count() > 0 ? age_ : kAgeOfNone;
  return static_cast<std::uint64_t>(std::max(age / kMarksPerAge, Every()).count());
}

RetentionClock::Millis RetentionClock::Unmarked(std::int64_t mono_ms) const {
  return Millis(Ran(mono_ms) - (marks_.empty() ? 0 : marks_.back().ran_ms));
}

std::optional<AgeChange> RetentionClock::Plan(std::int64_t mono_ms, std::uint64_t durable_seq,
                                              std::int64_t unix_ms) const {
  const AgeMark mark = {.ran_ms = Ran(mono_ms), .commit_seq = durable_seq, .unix_ms = unix_ms};
  if (marks_.empty()) return AgeChange{.mark = mark};
  if (Unmarked(mono_ms) < Every()) return std::nullopt;
  AgeChange change = {.mark = mark};
  // Moving the newest mark on makes the rows between it and the one before a little younger, never
  // older.
  change.moves =
      marks_.size() > 1 && marks_.back().ran_ms - marks_[marks_.size() - 2].ran_ms < Spacing();
  change.moved_ran_ms = marks_.back().ran_ms;
  // Of the marks that are old enough only the newest says anything.
  const std::uint64_t kept_up_to = KeptUpTo(mono_ms);
  for (const AgeMark& stored : marks_) {
    if (stored.commit_seq == kept_up_to) change.drop_below_ran_ms = stored.ran_ms;
  }
  if (marks_.size() >= kMaxMarks) {
    change.drop_below_ran_ms = std::max(change.drop_below_ran_ms, marks_[1].ran_ms);
  }
  return change;
}

void RetentionClock::Apply(const AgeChange& change) {
  if (change.moves) marks_.pop_back();
  std::erase_if(marks_, [&](const AgeMark& m) { return m.ran_ms < change.drop_below_ran_ms; });
  marks_.push_back(change.mark);
}

std::uint64_t RetentionClock::KeptUpTo(std::int64_t mono_ms) const {
  if (age_.count() <= 0) return 0;
  const std::uint64_t ran = Ran(mono_ms);
  const auto age = static_cast<std::uint64_t>(age_.count());
  std::uint64_t commit_seq = 0;
  for (const AgeMark& mark : marks_) {
    if (mark.ran_ms + age > ran) break;
    commit_seq = mark.commit_seq;
  }
  return commit_seq;
}

std::uint64_t RetentionClock::RanAt(std::uint64_t commit_seq, std::int64_t mono_ms) const {
  for (const AgeMark& mark : marks_) {
    if (mark.commit_seq >= commit_seq) return mark.ran_ms;
  }
  return Ran(mono_ms);
}

std::uint64_t RetentionPace::Allowed(std::int64_t mono_ms, std::uint64_t kept_rows) {
  const auto a_minute = static_cast<double>(std::max(kLeastRows, kept_rows / kPartAMinute));
  const auto passed = static_cast<double>(std::max<std::int64_t>(0, mono_ms - filled_mono_ms_));
  filled_mono_ms_ = mono_ms;
  credit_ = std::min(credit_ + a_minute * passed / 60'000, 2 * a_minute);
  return credit_ < 1 ? 0 : static_cast<std::uint64_t>(credit_);
}

std::optional<std::chrono::milliseconds> WallWatch::Look(std::int64_t mono_ms,
                                                         std::int64_t unix_ms) {
  std::optional<std::chrono::milliseconds> step;
  if (last_unix_ms_ && !last_mono_ms_) {  // the first look of a life: only backwards can be told
    step = std::chrono::milliseconds(std::min<std::int64_t>(0, unix_ms - *last_unix_ms_));
  } else if (last_unix_ms_) {
    step = std::chrono::milliseconds((unix_ms - *last_unix_ms_) - (mono_ms - *last_mono_ms_));
  }
  last_unix_ms_ = unix_ms;
  last_mono_ms_ = mono_ms;
  if (step && step->count() < 0 ? -*step < kBound : !step || *step < kBound) return std::nullopt;
  return step;
}

}  // namespace assent::log
