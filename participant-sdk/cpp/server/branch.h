#pragma once

// A branch, as every adapter of a database's server names it.

#include <algorithm>
#include <cctype>
#include <string_view>

namespace assent::server {

struct BranchKey {
  std::string_view gid;
  std::string_view branch_id;
};

// Letters, digits and . _ : - as on the wire (and / in actions): such words need no quotes.
inline bool IsPlain(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == ':' || c == '-';
  });
}

}  // namespace assent::server
