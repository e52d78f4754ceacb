#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/limits.h>
#include <assent/text.h>

namespace assent::core {

using assent::Utf8Length;

// What is kept of a reason or an error that somebody else wrote: at most kMaxReasonBytes, cut
// between two UTF-8 characters, because a proto string must stay one.
inline std::string_view CutReason(std::string_view text,
                                  std::size_t max_bytes = limits::kMaxReasonBytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// The same of a text whose encoding nobody has checked (the message of a gRPC status is any bytes):
// what is no UTF-8 becomes '?'. One byte of it in a proto string, and no client can read the
// transaction, nor any list it is in.
inline std::string CleanReason(std::string_view text) {
  std::string clean(text.substr(0, limits::kMaxReasonBytes + 4));
  for (std::size_t i = 0; i < clean.size();) {
    const std::size_t length = Utf8Length(std::string_view(clean).substr(i));
    if (length == 0) clean[i] = '?';
    i += length == 0 ? 1 : length;
  }
  clean.resize(CutReason(clean).size());
  return clean;
}

}  // namespace assent::core
