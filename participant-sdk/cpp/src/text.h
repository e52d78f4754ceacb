#pragma once

// Names and reasons: what the contract allows in them.

#include <cstddef>
#include <string>
#include <string_view>

#include <assent/name.h>
#include <assent/status.h>
#include <assent/text.h>

namespace assent::internal {

// kInvalidArgument begins with `field`.
Status CheckName(std::string_view field, std::string_view name, NameRule rule);
// CleanText on one line: with every control character replaced too.
std::string OneLine(std::string_view text, std::size_t max_bytes);

}  // namespace assent::internal
