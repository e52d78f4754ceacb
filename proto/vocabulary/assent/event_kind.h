#pragma once

#include <cstddef>
#include <cstdint>

namespace assent {

// What happens to transactions, one event for each thing.
enum class EventKind : std::uint8_t {
  kBegan = 1,
  kDecided = 2,
  kEnded = 3,        // nothing is left to do, and that is in the log
  kNeedsPerson = 4,  // it does not go on without one
  kNeedsNobody = 5,  // not any more
  kIntervened = 6,   // a person did something to it
  kServiceAway = 7,  // transactions wait for a service of which nobody can be reached
  kNobodyWaits = 8,  // no transaction waits for it any more
};
inline constexpr std::size_t kEventKindsCount = 9;  // with the number 0, which is none

}  // namespace assent
