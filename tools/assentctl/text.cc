#include "tools/assentctl/text.h"

#include <array>
#include <cstdint>
#include <cstdio>

#include <assent/text.h>

namespace assent::ctl {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

// "\n", "\x1b" of a control or of a byte that is no UTF-8, "\u202e" of anything else.
std::string Escaped(std::string_view character, bool valid) {
  if (character == "\n") return "\\n";
  if (character == "\t") return "\\t";
  if (character == "\r") return "\\r";
  char escape[16];
  std::string text;
  const char32_t c = valid ? CodePoint(character, character.size()) : 0;
  if (valid && !IsControl(c)) {
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

bool IsText(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = Utf8Length(bytes.substr(at));
    if (length == 0) return false;
    const char c = bytes[at];
    if (IsControl(CodePoint(bytes.substr(at), length)) && c != '\t' && c != '\n' && c != '\r')
      return false;
    at += length;
  }
  return true;
}

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

std::string Wrap(std::string_view text, std::size_t columns) {
  std::string wrapped;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    const std::string_view word = text.substr(0, blank);
    const std::size_t width = Columns(word);
    if (used > 0) wrapped += used + 1 + width > columns ? '\n' : ' ';
    used = used > 0 && wrapped.back() == ' ' ? used + 1 + width : width;
    wrapped += word;
    text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
  }
  return wrapped;
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

std::string ToBase64(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t have = bytes.size() - at < 3 ? bytes.size() - at : 3;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < have ? ByteAt(bytes, at + i) : 0);
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= have ? kAlphabet[group >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

Result<std::string> FromBase64(std::string_view text) {
  std::string bytes;
  if (text.size() % 4 != 0) return InvalidArgument("base64 comes in groups of four characters");
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const bool last = at + 4 == text.size();
    std::size_t have = 3;
    if (last && text[at + 3] == '=') have = text[at + 2] == '=' ? 1 : 2;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t value = i <= have ? kAlphabet.find(text[at + i]) : 0;
      if (value == std::string_view::npos) {
        return InvalidArgument("not base64: '" + Visible(text.substr(at, 4)) + "'");
      }
      group = group << 6 | static_cast<std::uint32_t>(value);
    }
    // Bits that a shorter last group leaves over must be zero, or two texts would name the same
    // bytes.
    if ((group & ((1U << (8 * (3 - have))) - 1)) != 0) {
      return InvalidArgument("not base64: '" + Visible(text.substr(at, 4)) + "' has stray bits");
    }
    for (std::size_t i = 0; i < have; ++i) bytes += static_cast<char>(group >> (16 - 8 * i) & 255);
  }
  return bytes;
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

}  // namespace assent::ctl
