#pragma once

// A file of pairs: a line "NAME: VALUE" for each; empty lines, and those that begin with #, are
// none.

#include <algorithm>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::base {

// Without the blanks around it.
inline std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Hands each on: take(name, value) says what is wrong with it, or "". The name is as it stands
// before the colon, the value without the blanks around it. `form`: what a line without a colon is
// not. INVALID_ARGUMENT names the line.
template <typename Take>
Status ForPairLines(std::string_view text, std::string_view form, Take take) {
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    const std::string wrong = colon == std::string_view::npos
                                  ? "is no " + std::string(form)
                                  : take(line.substr(0, colon), Trimmed(line.substr(colon + 1)));
    if (!wrong.empty()) return InvalidArgument("line " + std::to_string(number) + " " + wrong);
  }
  return OkStatus();
}

}  // namespace assent::base
