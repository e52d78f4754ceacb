#pragma once

// A sentence of the rules that says how much an identity may:
//
//   limit spiffe://shop/* to 200 requests per second, 1000 transactions, 64 MiB, 10 sessions
//
// Also: calls, streams, bytes, KiB, GiB.

#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "coordinator/security/quota.h"

namespace assent::security {

struct Limit {
  int line = 0;
  std::string text{};      // as it stands in the file
  std::string identity{};  // as a rule's
  Quota quota{};
};

// Of the words of a line that begins with "limit". INVALID_ARGUMENT: what is wrong with it.
Status ReadLimit(const std::vector<std::string_view>& words, Limit& limit);

}  // namespace assent::security
