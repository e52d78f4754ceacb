#pragma once

// Where the token comes from that is shown to coordinators.

#include <string>

namespace assent::ctl {

// A token on the command line would be seen by whoever lists processes: there is no flag for it.
struct TokenSource {
  std::string file = {};
  std::string token = {};  // of the environment
  bool over_plain = false;
};

}  // namespace assent::ctl
