#include "tools/assentctl/text.h"

#include <array>
#include <cstdint>
#include <cstdio>

namespace assent::ctl {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// The length of the well-formed UTF-8 sequence at `at`, or 0. Refuses overlong forms, surrogates, and beyond U+10FFFF.
std::size_t SequenceLength(std::string_view bytes, std::size_t at) {
  const std::uint8_t lead = ByteAt(bytes, at);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > bytes.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((ByteAt(bytes, at + i) & 0xC0) != 0x80) return 0;
  }
  const std::uint8_t second = ByteAt(bytes, at + 1);
  if (lead == 0xE0 && second < 0xA0) return 0;
  if (lead == 0xED && second > 0x9F) return 0;
  if (lead == 0xF0 && second < 0x90) return 0;
  if (lead == 0xF4 && second > 0x8F) return 0;
  return length;
}

// C0, DEL, and C1 (which begin with 0xC2 in UTF-8).
bool IsControl(std::string_view bytes, std::size_t at, std::size_t length) {
  const std::uint8_t lead = ByteAt(bytes, at);
  if (length == 1) return lead < 0x20 || lead == 0x7F;
  return length == 2 && lead == 0xC2 && ByteAt(bytes, at + 1) < 0xA0;
}

}  // namespace

bool IsText(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = SequenceLength(bytes, at);
    if (length == 0) return false;
    const char c = bytes[at];
    if (IsControl(bytes, at, length) && c != '\t' && c != '\n' && c != '\r') return false;
    at += length;
  }
  return true;
}

std::string Visible(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = SequenceLength(bytes, at);
    if (length != 0 && !IsControl(bytes, at, length)) {
      text.append(bytes.substr(at, length));
      at += length;
      continue;
    }
    const char c = bytes[at];
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (c == '\r') {
      text += "\\r";
    } else {
      for (std::size_t i = 0; i < (length == 0 ? 1 : length); ++i) {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\x%02x", ByteAt(bytes, at + i));
        text += escape;
      }
    }
    at += length == 0 ? 1 : length;
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
    // Bits that a shorter last group leaves over must be zero, or two texts would name the same bytes.
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
