#include "participant-sdk/cpp/src/text.h"

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::internal {
namespace {

bool NameByte(char c, bool slash) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == ':' || c == '-' || (slash && c == '/');
}

bool Continues(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// The length of the UTF-8 character at the front of `text`, or 0 if there is none (overlong forms
// and surrogates are none).
std::size_t CharacterBytes(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if ((first & 0xF0) == 0xE0) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length || at(1) < low || at(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (!Continues(at(i))) return 0;
  }
  return length;
}

}  // namespace

Status CheckName(std::string_view field, std::string_view name, std::size_t max_bytes, bool slash) {
  const std::string allowed = std::string("1 to ") + std::to_string(max_bytes) +
                              (slash ? " of [A-Za-z0-9._:/-]" : " of [A-Za-z0-9._:-]");
  if (name.empty()) return InvalidArgument(std::string(field) + " is empty; it must be " + allowed);
  if (name.size() > max_bytes) {
    return InvalidArgument(std::string(field) + " has " + std::to_string(name.size()) +
                           " bytes; it must be " + allowed);
  }
  for (const char c : name) {
    if (!NameByte(c, slash)) {
      return InvalidArgument(std::string(field) + " '" + CleanText(name, max_bytes) +
                             "' holds a character that is not allowed; it must be " + allowed);
    }
  }
  return OkStatus();
}

std::string CleanText(std::string_view text, std::size_t max_bytes) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = CharacterBytes(text);
    const std::string_view next = length == 0 ? std::string_view("?") : text.substr(0, length);
    if (clean.size() + next.size() > max_bytes) break;
    clean.append(next);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

std::string OneLine(std::string_view text, std::size_t max_bytes) {
  std::string line = CleanText(text, max_bytes);
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte < 0x20 || byte == 0x7f) line[i] = '?';
    // U+0080 to U+009F are controls too, of two bytes.
    const bool c1 = byte == 0xc2 && static_cast<unsigned char>(line[i + 1]) < 0xa0;
    if (c1) line.replace(i, 2, "?");
  }
  return line;
}

}  // namespace assent::internal
