#pragma once

// What a collector wants to see with each request, such as who sends it: in a file, so that no
// command line, environment, setting or bundle shows it.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/status.h>

namespace assent::tracing {

inline constexpr std::size_t kMaxHeadersFileBytes = 16'384;
inline constexpr std::size_t kMaxHeadersCount = 32;

using Headers = std::vector<std::pair<std::string, std::string>>;

// "Name: value" on each line; empty lines, and those that begin with #, are none. kInvalidArgument
// names the line and none of its text.
Result<Headers> ParseHeaders(std::string_view text);
// kNotFound: it cannot be read.
Result<Headers> ReadHeaders(const std::string& file);

}  // namespace assent::tracing
