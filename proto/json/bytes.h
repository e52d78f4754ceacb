#pragma once

// Bytes that may be text, or are not: how JSON has them.

#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::json {

// C0, DEL and C1.
constexpr bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }
// Valid UTF-8 without control characters other than tab, line feed and carriage return.
bool IsText(std::string_view bytes);

std::string ToBase64(std::string_view bytes);
// Standard alphabet with padding; nothing else is taken. The message quotes what is wrong as it is.
Result<std::string> FromBase64(std::string_view text);

}  // namespace assent::json
