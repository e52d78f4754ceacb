#include "tools/assentctl/text.h"

#include <array>
#include <cstdint>
#include <cstdio>

#include <assent/text.h>

#include "proto/json/bytes.h"

namespace assent::ctl {
namespace {

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// "\n", "\x1b" of a control or of a byte that is no UTF-8, "\u202e" of anything else.
std::string Escaped(std::string_view character, bool valid) {
  if (character == "\n") return "\\n";
  if (character == "\t") return "\\t";
  if (character == "\r") return "\\r";
  char escape[16];
  std::string text;
  const char32_t c = valid ? CodePoint(character, character.size()) : 0;
  if (valid && !json::IsControl(c)) {
    std::snprintf(escape, sizeof escape, c > 0xffff ? "\\U%08x" : "\\u%04x",
                  static_cast<unsigned>(c));
    return escape;
  }
  for (std::size_t i = 0; i < character.size(); ++i) {
    std::snprintf(escape, sizeof escape, "\\x%02x", ByteAt(character, i));
    text += escape;
  }
  return text;
}

}  // namespace

std::string Visible(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = Utf8Length(bytes.substr(at));
    const std::string_view character = bytes.substr(at, length == 0 ? 1 : length);
    if (length != 0 && !IsUnseen(CodePoint(character, length))) {
      text += character;
    } else {
      text += Escaped(character, length != 0);
    }
    at += character.size();
  }
  return text;
}

std::size_t Columns(std::string_view utf8) {
  std::size_t columns = 0;
  for (const char c : utf8) {
    if ((static_cast<std::uint8_t>(c) & 0xC0) != 0x80) ++columns;
  }
  return columns;
}

std::string Cut(std::string_view utf8, std::size_t columns) {
  if (Columns(utf8) <= columns) return std::string(utf8);
  if (columns == 0) return "";
  std::size_t seen = 0;
  std::size_t at = 0;
  while (at < utf8.size()) {
    if ((ByteAt(utf8, at) & 0xC0) != 0x80 && seen++ == columns - 1) break;
    ++at;
  }
  return std::string(utf8.substr(0, at)) + "…";
}

std::string ToHex(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    text += "0123456789abcdef"[ByteAt(bytes, at) >> 4];
    text += "0123456789abcdef"[ByteAt(bytes, at) & 15];
  }
  return text;
}

std::string FormatBytes(std::size_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  const bool mebi = bytes >= 1024 * 1024;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s",
                static_cast<double>(bytes) / (mebi ? 1024.0 * 1024.0 : 1024.0),
                mebi ? "MiB" : "KiB");
  return text;
}

std::string Count(std::uint64_t count, std::string_view singular) {
  return std::to_string(count) + " " + std::string(singular) + (count == 1 ? "" : "s");
}

std::string Grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace assent::ctl
