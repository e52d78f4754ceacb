#include "proto/manual/wrap.h"

#include <algorithm>

namespace assent {

std::string Wrap(std::string_view text, std::size_t columns) {
  std::string wrapped;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    const std::string_view word = text.substr(0, blank);
    const std::size_t width =
        std::count_if(word.begin(), word.end(), [](char c) { return (c & 0xC0) != 0x80; });
    if (used > 0) wrapped += used + 1 + width > columns ? '\n' : ' ';
    used = used > 0 && wrapped.back() == ' ' ? used + 1 + width : width;
    wrapped += word;
    text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
  }
  return wrapped;
}

}  // namespace assent
