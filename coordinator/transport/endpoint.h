#pragma once

// Where a participant is dialled.

#include <compare>
#include <string>
#include <string_view>
#include <tuple>
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
           std::string called = {}, std::string known_by = {})
      : address(std::move(where)), name(std::move(called)), source(std::move(known_by)) {}

  std::string address;  // "host:port", "tls:host:port", "http(s)://host:port/path"
  // Who is asked for there, and must be in its certificate, where the host is only where a name has
  // led. Empty: the host.
  std::string name;
  // By what it is known, in words: for people. Who differs in nothing else is the same.
  std::string source;

  auto operator<=>(const Endpoint& other) const {
    return std::tie(address, name) <=> std::tie(other.address, other.name);
  }
  bool operator==(const Endpoint& other) const {
    return std::tie(address, name) == std::tie(other.address, other.name);
  }
};

}  // namespace assent::transport
