#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/limits.h>

namespace assent::core {

// What is kept of a reason or an error that somebody else wrote: at most kMaxReasonBytes, cut
// between two UTF-8 characters, because a proto string must stay one.
inline std::string_view CutReason(std::string_view text) {
  if (text.size() <= limits::kMaxReasonBytes) return text;
  std::size_t end = limits::kMaxReasonBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace assent::core
