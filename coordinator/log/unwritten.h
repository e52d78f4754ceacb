#pragma once

// Remembers what was refused in this life, so that what was queued behind it is not taken for a
// second writer.
//
// An engine appends without waiting: behind a batch that turns out to be refused (a full disk, a
// full queue, a gid that exists) there may be batches that build on it. They must not be written,
// and they are not a violation either:
//   behind an unwritten batch  the same answer, kResourceExhausted, until the missing version is
//                              appended again
//   behind a refused kBegin    kNotFound, entry by entry: that row never was
//
// Not thread-safe. Holds at most kMaxSerials of each; older ones are let go, by when everything
// queued behind them has long been answered.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/log/log.h"

namespace assent::log {

class Unwritten {
 public:
  static constexpr std::size_t kMaxSerials = 1 << 17;

  // True when some entry needs a version that was never written.
  bool BuiltOn(const std::vector<Entry>& batch) const;
  // The batch was not written: its entries may come again.
  void NoteUnwritten(const std::vector<Entry>& batch);
  // The batch was written.
  void NoteWritten(const std::vector<Entry>& batch);

  // The kBegin of this serial was refused for good.
  void NoteNeverBegun(std::uint64_t serial);
  // That was undone with its group.
  void NoteUndone(std::uint64_t serial) { never_begun_.Erase(serial); }
  bool NeverBegun(std::uint64_t serial) const { return never_begun_.contains(serial); }

 private:
  // Serial -> version, bounded: the oldest go first. Each mark carries when it was made, so that
  // letting go of an old mark does not take a newer one of the same serial along.
  class Marks {
   public:
    bool empty() const { return marks_.empty(); }
    bool contains(std::uint64_t serial) const { return marks_.contains(serial); }
    // Null when there is none.
    const std::uint64_t* Find(std::uint64_t serial) const;
    // Keeps the version of a mark that exists: what is refused behind it has a higher one.
    void Insert(std::uint64_t serial, std::uint64_t version);
    void Erase(std::uint64_t serial);

   private:
    struct Mark {
      std::uint64_t version = 0;
      std::uint64_t stamp = 0;
    };
    std::unordered_map<std::uint64_t, Mark> marks_;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;  // serial, stamp
    std::uint64_t next_stamp_ = 0;
  };

  Marks unwritten_;  // the version is the first one that is missing
  Marks never_begun_;
};

}  // namespace assent::log
