#pragma once

// Slots for people: "slot 17", "slots 17, 100-199", in their order.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace assent {

// So many ranges are named, and how many slots there are beyond them.
inline std::string SlotRanges(std::vector<std::uint32_t> slots, std::size_t max_ranges_count) {
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  std::string text = slots.size() == 1 ? "slot " : "slots ";
  std::size_t ranges = 0;
  for (std::size_t at = 0; at < slots.size();) {
    if (ranges++ == max_ranges_count)
      return text + " and " + std::to_string(slots.size() - at) + " more";
    std::size_t end = at + 1;
    while (end < slots.size() && slots[end] == slots[end - 1] + 1) ++end;
    if (at > 0) text += ", ";
    text += std::to_string(slots[at]);
    if (end - at > 1) text += "-" + std::to_string(slots[end - 1]);
    at = end;
  }
  return text;
}

}  // namespace assent
