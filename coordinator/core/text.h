#pragma once

#include <array>
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

// Length of the UTF-8 character that `text` begins with (RFC 3629: no surrogates, no overlong forms, nothing beyond U+10FFFF); 0
// if it begins with none.
inline std::size_t Utf8Length(std::string_view text) {
  struct Form {
    unsigned char first_min, first_max, second_min, second_max;
    std::size_t length;
  };
  constexpr std::array<Form, 9> kForms{{{0x00, 0x7f, 0, 0, 1},
                                        {0xc2, 0xdf, 0x80, 0xbf, 2},
                                        {0xe0, 0xe0, 0xa0, 0xbf, 3},
                                        {0xe1, 0xec, 0x80, 0xbf, 3},
                                        {0xed, 0xed, 0x80, 0x9f, 3},
                                        {0xee, 0xef, 0x80, 0xbf, 3},
                                        {0xf0, 0xf0, 0x90, 0xbf, 4},
                                        {0xf1, 0xf3, 0x80, 0xbf, 4},
                                        {0xf4, 0xf4, 0x80, 0x8f, 4}}};
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (const Form& form : kForms) {
    if (text.empty() || at(0) < form.first_min || at(0) > form.first_max) continue;
    if (text.size() < form.length) return 0;
    if (form.length > 1 && (at(1) < form.second_min || at(1) > form.second_max)) return 0;
    for (std::size_t i = 2; i < form.length; ++i) {
      if ((at(i) & 0xc0) != 0x80) return 0;
    }
    return form.length;
  }
  return 0;
}

// The same of a text whose encoding nobody has checked (the message of a gRPC status is any bytes): what is no UTF-8 becomes
// '?'. One byte of it in a proto string, and no client can read the transaction, nor any list it is in.
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
