#pragma once

// The configuration file, read strictly: whatever is not understood is an error with its line, so
// that no file which is not one of ours passes for an empty one. A subset of TOML, in UTF-8:
//
//   # comment                         blank lines and comments
//   name = value   # comment          bare, up to a # or the end of the line; "…" with \" \\ \t;
//                                    or '…' as it is
//   name = ["a", 'b', c]              a list, which may go on over several lines
//
// A name is set once. No sections: a line with one is an error like any other.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

namespace assent::daemon {

struct FileSetting {
  std::size_t line = 0;
  std::vector<std::string> values;
};

// By name. kInvalidArgument: "LINE: what is wrong". `known` are the names that there are.
Result<std::map<std::string, FileSetting>> ReadConfigFile(std::string_view text,
                                                          const std::set<std::string>& known);

// `value` as a file has to write it.
std::string QuoteForConfigFile(std::string_view value);

}  // namespace assent::daemon
