#pragma once

// What a call shows, of its lines `authorization`: said once for both doors.

#include <cstddef>
#include <string_view>

namespace assent::security {

// A credential that is none: the guard refuses it, and counts it.
inline constexpr std::string_view kNoCredential = "(several lines, or an empty one)";

// The one line; nothing, if there is none. Several lines, or an empty one, are no credential, and
// not none at all: whoever sent them meant to be known by them, and a proxy and a door could each
// read another one.
inline std::string_view ShownBy(std::size_t lines_count, std::string_view line) {
  if (lines_count == 0) return {};
  return lines_count > 1 || line.empty() ? kNoCredential : line;
}

}  // namespace assent::security
