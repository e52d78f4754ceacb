#include "coordinator/security/jose.h"

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace assent::security {
namespace {

// The six bits of a character; 64 and more: it is none.
constexpr unsigned kNoBits = 64;
constexpr unsigned BitsOf(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<unsigned>(c - 'A');
  if (c >= 'a' && c <= 'z') return static_cast<unsigned>(c - 'a') + 26;
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0') + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : kNoBits;
}

}  // namespace

std::optional<std::string> FromBase64Url(std::string_view text) {
  if (text.size() % 4 == 1) return {};
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  for (const char c : text) {
    const unsigned bits = BitsOf(c);
    if (bits == kNoBits) return {};
    held = held << 6 | bits;
    held_bits += 6;
    if (held_bits < 8) continue;
    held_bits -= 8;
    bytes += static_cast<char>(held >> held_bits & 0xff);
  }
  // What is left over is nothing: else several texts would be the same bytes.
  if ((held & ((1U << held_bits) - 1)) != 0) return {};
  return bytes;
}

std::optional<nlohmann::json> ReadObject(std::string_view text) {
  // The library takes a NUL for the end, and passes over a mark of byte order.
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.find('\0') != std::string_view::npos || text.starts_with(kByteOrderMark)) return {};
  using Event = nlohmann::json::parse_event_t;
  std::vector<std::set<std::string, std::less<>>> names;
  bool sound = true;
  const auto watch = [&](int depth, Event event, nlohmann::json& parsed) {
    if (depth > kMaxJoseDepth) sound = false;
    if (!sound) return false;
    if (event == Event::object_start) names.emplace_back();
    if (event == Event::object_end && !names.empty()) names.pop_back();
    if (event == Event::key)
      sound = !names.empty() && names.back().insert(parsed.get<std::string>()).second;
    return sound;
  };
  nlohmann::json read =
      nlohmann::json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false);
  if (!sound || !read.is_object()) return {};
  return read;
}

std::optional<std::string> TextOf(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return {};
  return found->get<std::string>();
}

}  // namespace assent::security
