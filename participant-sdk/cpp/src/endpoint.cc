#include "participant-sdk/cpp/src/endpoint.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <assent/address.h>

#include "participant-sdk/cpp/src/text.h"

namespace assent::internal {
namespace {

constexpr std::size_t kMaxShownBytes = 128;

// What gRPC resolves by another name than "host:port".
bool IsResolverName(std::string_view text) {
  constexpr std::array<std::string_view, 5> kSchemes = {
      "unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:"};
  return std::any_of(kSchemes.begin(), kSchemes.end(), [text](std::string_view scheme) {
    return text.size() > scheme.size() && text.substr(0, scheme.size()) == scheme;
  });
}

}  // namespace

Status CheckEndpoint(std::string_view field, const std::string& endpoint) {
  if (IsResolverName(endpoint)) return OkStatus();
  const std::string shown = std::string(field) + " '" + OneLine(endpoint, kMaxShownBytes) + "'";
  const char* const wanted = "\"host:port\", such as \"127.0.0.1:7400\"";
  if (endpoint.empty())
    return InvalidArgument(std::string(field) + " is empty; it must be " + wanted);
  if (endpoint.find("://") != std::string::npos)
    return InvalidArgument(shown + " is a URL; it must be " + wanted);
  const std::size_t colon = endpoint.rfind(':');
  const bool has_port = colon != std::string::npos && endpoint.back() != ']';
  if (!has_port) return InvalidArgument(shown + " has no port; it must be " + wanted);
  if (!IsPort(std::string_view(endpoint).substr(colon + 1)))
    return InvalidArgument(
        shown + " has no port from 1 to 65535 after its last colon; it must be " + wanted);
  if (!IsHost(std::string_view(endpoint).substr(0, colon)))
    return InvalidArgument(shown + " does not begin with a host; it must be " + wanted);
  return OkStatus();
}

}  // namespace assent::internal
