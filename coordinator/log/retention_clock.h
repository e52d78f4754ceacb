#pragma once

// How long finished rows have been kept, without asking what day it is. A wall clock may be eight
// days ahead for a second, and what retention removed in that second is gone. So age is counted in
// *run time*: milliseconds that the log has been open, over all its lives, on the clock that nobody
// can set. While nobody runs nothing ages: how long that was only a wall clock could tell. Every
// error is on the side of keeping: what ran after the last mark of a life that was killed does not
// count either.
//
//   run time   0 ────────┬──────────────┬─────────┬────►
//   commits    1 2 3 4   5 6 7 8 9 ...  40 ...    61
//                        mark           mark      mark, the newest: where the next life begins too
//
// A mark says: when the log had run so long, this commit was durable. A row of commit c is as old
// as the oldest mark of at least c; so rows need no stamp of their own, and those from before there
// were marks are kept for a full time more.
//
// Values in, values out: the SQLite log stores the marks in table age, the in-memory log in its
// image.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace assent::log {

struct AgeMark {
  std::uint64_t ran_ms = 0;      // rising
  std::uint64_t commit_seq = 0;  // rising; durable by then
  std::int64_t unix_ms = 0;      // for people, and to see a wall clock that has gone back
  friend bool operator==(const AgeMark&, const AgeMark&) = default;
};

// What the next commit does to the stored marks: those below `drop_below_ran_ms` go, the newest
// goes too if `moves`, then `mark` comes.
struct AgeChange {
  AgeMark mark;
  bool moves = false;
  std::uint64_t moved_ran_ms = 0;
  std::uint64_t drop_below_ran_ms = 0;
};

class RetentionClock {
 public:
  using Millis = std::chrono::milliseconds;

  // A life begins at `mono_ms` of a clock that only runs forward. `stored` rises. `age` 0: nothing
  // is removed by age, marks are made all the same, so that it can be switched on.
  RetentionClock(std::vector<AgeMark> stored, Millis age, std::int64_t mono_ms);

  // What a commit now should do, if it is time for a mark; `durable_seq` is the newest commit
  // before it.
  std::optional<AgeChange> Plan(std::int64_t mono_ms, std::uint64_t durable_seq,
                                std::int64_t unix_ms) const;
  // That commit is durable.
  void Apply(const AgeChange& change);

  // Rows of commits up to this one have been kept for their time; 0: none has.
  std::uint64_t KeptUpTo(std::int64_t mono_ms) const;
  // Of the run time, how much the newest mark does not know of yet.
  Millis Unmarked(std::int64_t mono_ms) const;

  // How long the log had run when this commit was made, at most: a little more than it had. Of one
  // that no mark knows of: how long it has run now.
  std::uint64_t RanAt(std::uint64_t commit_seq, std::int64_t mono_ms) const;

  const std::vector<AgeMark>& marks() const { return marks_; }

  // While commits come, the run time is stored this often; less is lost with a life that is killed.
  static constexpr Millis kMarkEvery{1000};
  // Marks that stay are this part of the age apart: the most by which a row is kept longer.
  static constexpr std::int64_t kMarksPerAge = 256;

 private:
  std::uint64_t Ran(std::int64_t mono_ms) const;
  Millis Every() const;
  std::uint64_t Spacing() const;

  std::vector<AgeMark> marks_;
  Millis age_;
  std::uint64_t ran_before_ = 0;
  std::int64_t began_mono_ms_ = 0;
};

// Rows that have been kept for their time may be many at once (a shorter age was set, a size was
// reduced): they go a part a minute, which leaves a person time to notice. What comes in meanwhile
// is let out as fast as it comes.
class RetentionPace {
 public:
  // In any minute: kLeastRows, or this part of what is kept, and as many as have come.
  static constexpr std::uint64_t kLeastRows = 10'000;
  static constexpr std::uint64_t kPartAMinute = 64;

  explicit RetentionPace(std::int64_t mono_ms) : filled_mono_ms_(mono_ms) {}

  // How many may go now.
  std::uint64_t Allowed(std::int64_t mono_ms, std::uint64_t kept_rows);
  void NoteFinished(std::uint64_t rows) { credit_ += static_cast<double>(rows); }
  void NoteRemoved(std::uint64_t rows) { credit_ -= static_cast<double>(rows); }

 private:
  double credit_ = static_cast<double>(kLeastRows);
  std::int64_t filled_mono_ms_;
};

// Tells a step of the wall clock from time that passes. Nothing rests on it; people are told.
class WallWatch {
 public:
  static constexpr std::chrono::milliseconds kBound = std::chrono::minutes(1);

  // The newest mark's wall time, if there is one: a clock that stands before it has gone back while
  // nobody looked.
  explicit WallWatch(std::optional<std::int64_t> last_unix_ms) : last_unix_ms_(last_unix_ms) {}
  // By how much the wall clock has moved since the last look, beyond the time that has passed, if
  // that is more than kBound.
  std::optional<std::chrono::milliseconds> Look(std::int64_t mono_ms, std::int64_t unix_ms);

 private:
  std::optional<std::int64_t> last_unix_ms_;
  std::optional<std::int64_t> last_mono_ms_;
};

}  // namespace assent::log
