#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace assent {

// At blanks, into lines of at most so many columns of a terminal, unless a word is longer.
std::string Wrap(std::string_view text, std::size_t columns);

}  // namespace assent
