#include "proto/json/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include <assent/text.h>

namespace assent::json {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint8_t kNoFigure = 64;

constexpr std::array<std::uint8_t, 256> kFigures = [] {
  std::array<std::uint8_t, 256> figures{};
  figures.fill(kNoFigure);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    figures[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  return figures;
}();

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
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

std::string ToBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
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
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const bool last = at + 4 == text.size();
    std::size_t have = 3;
    if (last && text[at + 3] == '=') have = text[at + 2] == '=' ? 1 : 2;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint8_t value = i <= have ? kFigures[ByteAt(text, at + i)] : 0;
      if (value == kNoFigure) {
        return InvalidArgument("not base64: '" + std::string(text.substr(at, 4)) + "'");
      }
      group = group << 6 | value;
    }
    // Bits that a shorter last group leaves over must be zero, or two texts would name the same
    // bytes.
    if ((group & ((1U << (8 * (3 - have))) - 1)) != 0) {
      return InvalidArgument("not base64: '" + std::string(text.substr(at, 4)) +
                             "' has stray bits");
    }
    for (std::size_t i = 0; i < have; ++i) bytes += static_cast<char>(group >> (16 - 8 * i) & 255);
  }
  return bytes;
}

}  // namespace assent::json
