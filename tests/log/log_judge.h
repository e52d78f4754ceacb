#pragma once

// Whether what a log was found to hold is what it may hold: everything that was acknowledged, and
// of what was not, a beginning; each batch whole.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/log/crash_workload.h"

namespace assent::log {

// What the log comes to after each of a sequence of batches.
class Timeline {
 public:
  explicit Timeline(Books books = {});
  // Returns which entries of the batch the log must have refused.
  std::vector<std::size_t> Add(const EntryBatch& batch);

  std::size_t length() const { return digests_.size() - 1; }
  const Books& books() const { return books_; }
  // The number of batches in [at_least, at_most] after which the log holds just what was found.
  std::optional<std::size_t> Match(const Contents& found, std::size_t at_least,
                                   std::size_t at_most) const;

 private:
  void Note();

  Books books_;
  std::vector<std::uint64_t> digests_;
  std::vector<std::uint64_t> next_serials_;
  std::map<std::uint64_t, std::size_t>
      may_expire_;  // hash -> the number of batches that first has it
};

// What a coordinator has been told, and may have told others.
struct Told {
  std::uint32_t log_id = 0;           // 0: nothing yet
  std::vector<std::uint64_t> epochs;  // of the starts that came to their end
  std::size_t batches_at_least = 0;   // acknowledged, or replayed by a start that came to its end
  std::size_t batches_at_most = 0;    // handed over

  void Heed(const Recovered& recovered, std::size_t batches);
};

// The number of batches that the log holds, or why this cannot be.
Result<std::size_t> Judge(const Contents& found, const Timeline& timeline, const Told& told);

}  // namespace assent::log
