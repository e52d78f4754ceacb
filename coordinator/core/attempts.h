#pragma once

// The attempts of one branch, bounded: the first few tell how it began, the last many how it goes.

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/core/types.h"

namespace assent::core {

class AttemptHistory {
 public:
  // A new attempt is on its way. Repeated sends that certainly went nowhere share one entry.
  void Open(Operation operation, std::uint32_t number, WallTime started);
  // The last attempt has ended. Ignored if it had ended before.
  void Close(AttemptResult result, Micros latency, std::string error);

  // An attempt that had been given up has been answered after all. Ignored if it is no longer kept.
  void CloseLate(Operation operation, std::uint32_t number, AttemptResult result, std::string error,
                 WallTime now);

  const std::vector<Attempt>& kept() const { return kept_; }
  std::uint32_t dropped() const { return dropped_; }
  // The last attempt, if it is on its way, has only now left.
  void Restart(WallTime started);

  // For the codec.
  void Restore(std::vector<Attempt> kept, std::uint32_t dropped);

 private:
  std::vector<Attempt> kept_;
  std::uint32_t dropped_ = 0;
};

}  // namespace assent::core
