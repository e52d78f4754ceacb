#pragma once

// What an answer of the DNS says of a service: RFC 2782.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

namespace assent::discovery::dns {

struct ServiceRecord {
  std::uint16_t priority = 0;  // the lowest first
  std::uint16_t port = 0;
  std::string target;  // a name
  std::uint32_t ttl_seconds = 0;

  auto operator<=>(const ServiceRecord&) const = default;
};

// Those of the lowest priority, from an answer as it came. kUnavailable: it says that there is no
// such service, or cannot be read.
Result<std::vector<ServiceRecord>> ReadServiceRecords(std::string_view answer);

}  // namespace assent::discovery::dns
