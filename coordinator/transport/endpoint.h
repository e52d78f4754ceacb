#pragma once

// Where a participant is dialled.

#include <compare>
#include <string>
#include <string_view>
#include <utility>

namespace assent::transport {

// "tls:HOST:PORT" is dialled over TLS.
inline constexpr std::string_view kTlsScheme = "tls:";

// Over HTTP, and not over gRPC.
inline bool IsHttp(std::string_view address) {
  return address.rfind("http://", 0) == 0 || address.rfind("https://", 0) == 0;
}

struct Endpoint {
  Endpoint(std::string where,  // NOLINT(google-explicit-constructor)
           std::string called = {})
      : address(std::move(where)), name(std::move(called)) {}

  std::string address;  // "host:port", "tls:host:port", "http(s)://host:port/path"
  // Who is asked for there, and must be in its certificate, where the host is only where a name has
  // led. Empty: the host.
  std::string name;

  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace assent::transport
