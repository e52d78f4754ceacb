#pragma once

// Whether others could listen on the way to the database, or pose as it.

#include <optional>
#include <string>

namespace assent::log {

struct Exposure {
  std::string host;     // the first that is elsewhere
  std::string sslmode;  // what holds: of the address, a service file, the environment, or libpq's
};

// Nothing: every host is a Unix socket or a loopback address, or sslmode is verify-full. Anything
// less takes whoever answers for the database, or has a certificate of the same CA. An address
// that cannot be read is somebody else's to refuse. May ask the resolver of names.
std::optional<Exposure> ExposureOf(const std::string& url);

}  // namespace assent::log
