#pragma once

// Numbers as others write them.

#include <charconv>
#include <string_view>
#include <system_error>

namespace assent {

// The whole text is one in figures, and has room in `number`. False: `number` may be anything.
template <typename Number>
bool ReadNumber(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && at == end;
}

}  // namespace assent
