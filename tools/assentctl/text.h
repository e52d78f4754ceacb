#pragma once

// Bytes and strings of unknown origin, made fit to be shown.

#include <cstddef>
#include <string>
#include <string_view>

namespace assent::ctl {

// One line that cannot move the cursor, change colours or turn the direction of what stands beside
// it: control characters and what is not UTF-8 as \n, \t, \x1b; other characters that nobody sees
// as \u202e. Whatever came from a participant goes through here before it reaches a terminal.
std::string Visible(std::string_view bytes);

// How many columns a string of UTF-8 takes, one per code point.
std::size_t Columns(std::string_view utf8);
// At most `columns` of it, ending in "…" when cut.
std::string Cut(std::string_view utf8, std::size_t columns);

std::string ToHex(std::string_view bytes);

// "0 B", "512 B", "3.4 KiB", "1.0 MiB".
std::string FormatBytes(std::size_t bytes);

// "1 attempt", "3 attempts".
std::string Count(std::uint64_t count, std::string_view singular);
// "1,001".
std::string Grouped(std::uint64_t number);

}  // namespace assent::ctl
