#pragma once

// Names and reasons: what the contract allows in them.

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::internal {

// 1 to `max_bytes` of [A-Za-z0-9._:-], and '/' where `slash` says so. kInvalidArgument begins with
// `field`.
Status CheckName(std::string_view field, std::string_view name, std::size_t max_bytes, bool slash);
// The longest prefix within `max_bytes` that does not end inside a UTF-8 character, with every byte
// sequence that is not UTF-8 replaced by '?': protobuf strings must be UTF-8, and a what() may be
// anything.
std::string CleanText(std::string_view text, std::size_t max_bytes);
// The same on one line: with every control character replaced too.
std::string OneLine(std::string_view text, std::size_t max_bytes);

}  // namespace assent::internal
