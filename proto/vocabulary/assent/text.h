#pragma once

// UTF-8, and the characters that a person cannot see: said once, for whoever checks, cuts or shows
// what others wrote.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <assent/limits.h>

namespace assent {

// Length of the UTF-8 character that `text` begins with (RFC 3629: no surrogates, no overlong
// forms, nothing beyond U+10FFFF); 0 if it begins with none.
constexpr std::size_t Utf8Length(std::string_view text) {
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

// The code point of a character of that length.
constexpr char32_t CodePoint(std::string_view text, std::size_t length) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  char32_t value = length == 1 ? at(0) : at(0) & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) value = value << 6 | (at(i) & 0x3f);
  return value;
}

// Whether a character, written to a terminal as it is, would move the cursor, turn the direction of
// what stands beside it, or not be seen at all: controls, bidirectional controls, line separators,
// joiners, fillers, tags. (Unicode 15: general categories Cc and Cf, Zl, Zp, and the blank letters.
// Variation selectors stay: emoji need them.)
constexpr bool IsUnseen(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  constexpr std::array<Range, 23> kRanges{
      {{0x0000, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},  {0x034f, 0x034f},
       {0x0600, 0x0605},   {0x061c, 0x061c},   {0x06dd, 0x06dd},  {0x070f, 0x070f},
       {0x0890, 0x0891},   {0x08e2, 0x08e2},   {0x115f, 0x1160},  {0x17b4, 0x17b5},
       {0x180e, 0x180e},   {0x200b, 0x200f},   {0x2028, 0x202e},  {0x2060, 0x206f},
       {0x3164, 0x3164},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},  {0xfff9, 0xfffb},
       {0x13430, 0x1343f}, {0x1d173, 0x1d17a}, {0xe0000, 0xe007f}}};
  for (const Range& range : kRanges) {
    if (c <= range.last) return c >= range.first;
  }
  return false;
}

// What is kept of a reason or an error that somebody else wrote: cut between two characters,
// because a proto string must stay UTF-8.
constexpr std::string_view CutReason(std::string_view text,
                                     std::size_t max_bytes = limits::kMaxReasonBytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// The same of a text whose encoding nobody has checked (a gRPC status or a what() is any bytes):
// what is no UTF-8 becomes '?'. One byte of it in a proto string, and no client can read the
// message.
inline std::string CleanText(std::string_view text,
                             std::size_t max_bytes = limits::kMaxReasonBytes) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const std::string_view next = length == 0 ? std::string_view("?") : text.substr(0, length);
    if (clean.size() + next.size() > max_bytes) break;
    clean.append(next);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

// Whether a reader would see nothing of it. What is no UTF-8 is seen, as whatever it is shown as.
constexpr bool IsBlank(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    if (length == 0) return false;
    const char32_t c = CodePoint(text, length);
    const bool space = c == 0x20 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
                       c == 0x202f || c == 0x205f || c == 0x2800 || c == 0x3000;
    if (!space && !IsUnseen(c)) return false;
    text.remove_prefix(length);
  }
  return true;
}

// For text or JSON on its way to a terminal: what nobody sees as \u202e (two of them beyond U+FFFF,
// as JSON has it), what is no UTF-8 as \xff. Line feeds stay if they are the caller's own.
inline std::string EscapeUnseen(std::string_view text, bool keep_line_feeds) {
  std::string escaped;
  escaped.reserve(text.size());
  const auto hex = [&](char kind, unsigned value, int digits) {
    escaped += {'\\', kind};
    for (int at = digits - 1; at >= 0; --at) escaped += "0123456789abcdef"[value >> (4 * at) & 15];
  };
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const char32_t c = length == 0 ? 0 : CodePoint(text, length);
    if (length == 0) {
      hex('x', static_cast<unsigned char>(text.front()), 2);
    } else if (c == '\n' ? keep_line_feeds : !IsUnseen(c)) {
      escaped += text.substr(0, length);
    } else if (c <= 0xffff) {
      hex('u', static_cast<unsigned>(c), 4);
    } else {
      hex('u', 0xd800 + static_cast<unsigned>((c - 0x10000) >> 10), 4);
      hex('u', 0xdc00 + static_cast<unsigned>((c - 0x10000) & 0x3ff), 4);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return escaped;
}

}  // namespace assent
