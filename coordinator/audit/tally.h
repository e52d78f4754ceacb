#pragma once

// What comes at the doors as often as somebody likes, in few rows: the first of its kind at once,
// those that follow as a count for each window. Bounded, whoever comes from wherever. Not
// thread-safe; the time is told.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/audit/entry.h"

namespace assent::audit {

// Strangers that are told apart, by from where, and whether they were let in; and as many again of
// those who are known, by who they are besides. The others are counted together.
inline constexpr std::size_t kMaxVisitorsCount = 256;
// And by what was asked, of those who are known; of strangers it is not.
inline constexpr std::size_t kMaxCallsToldApartCount = 16;
// All of one who is known, from wherever. What he does besides is counted as his.
inline constexpr std::size_t kMaxCountsOfOneCount = 32;
// Refused ones that are written at once, in a window; as many again of those who are known.
inline constexpr std::size_t kMaxFirstRefusalsCount = 100;

struct Visit {
  Kind kind = Kind::kRefused;
  Deed deed{};
  Code code = Code::kOk;
  std::string said{};
  std::uint64_t times = 1;
};

class Tally {
 public:
  explicit Tally(std::int64_t window_ms) : window_ms_(window_ms) {}

  // To be written now; nothing: it is counted.
  std::optional<Visit> Take(Visit visit, std::int64_t now_ms);
  // What was counted in windows that have ended; `all`: in every one. The last of each, with how
  // often it was.
  std::vector<Visit> TakeEnded(std::int64_t now_ms, bool all);
  // When the next one ends.
  std::optional<std::int64_t> next_ms() const;

 private:
  using Visitor = std::tuple<Kind, std::string, std::string, bool>;
  using Key = std::pair<Visitor, std::string>;  // and the call; "": whichever
  Key KeyOf(const Visit& visit) const;
  // Where somebody is counted of whom this is not counted yet.
  enum class Room : std::uint8_t { kApart, kWithHisOthers, kWithAllOthers };
  Room RoomFor(const std::string& who) const;
  struct Count {
    std::int64_t ends_ms = 0;
    std::uint64_t times = 0;
    Visit last{};
  };

  const std::int64_t window_ms_;
  std::map<Key, Count> counts_;
  std::int64_t firsts_end_ms_ = 0;
  std::array<std::size_t, 2> firsts_{};  // of strangers, and of others
};

}  // namespace assent::audit
