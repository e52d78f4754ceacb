#include "coordinator/post/target.h"

#include <algorithm>

#include <assent/address.h>

namespace assent::post {

namespace {

bool HasPort(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  return colon != std::string_view::npos && (bracket == std::string_view::npos || bracket < colon);
}

}  // namespace

Result<Target> ParseUrl(std::string_view url) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kSecure = "https://";
  const auto wrong = InvalidArgument(
      "it takes http://HOST:PORT/PATH or https://HOST:PORT/PATH, without a user name, a query or a "
      "fragment, which would be shown with the settings");
  Target target;
  target.secure = url.substr(0, kSecure.size()) == kSecure;
  const std::string_view scheme = target.secure ? kSecure : kPlain;
  if (url.substr(0, scheme.size()) != scheme) return wrong;
  url.remove_prefix(scheme.size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  target.authority = url.substr(0, slash);
  target.path = url.substr(slash);
  if (target.path.empty()) target.path = "/";
  const bool plain = std::all_of(target.path.begin(), target.path.end(), [](char c) {
    return c > ' ' && c < 127 && c != '?' && c != '#' && c != '"' && c != '\\';
  });
  const bool by_default = target.secure && !HasPort(target.authority);
  const std::string dialled = target.authority + (by_default ? std::string(":") + kSecurePort : "");
  if (!IsHostAndPort(dialled) || !plain || target.path.size() > kMaxPathBytes) return wrong;
  const std::size_t colon = dialled.rfind(':');
  target.host = dialled.substr(0, colon);
  target.port = dialled.substr(colon + 1);
  if (target.host.front() == '[') target.host = target.host.substr(1, target.host.size() - 2);
  return target;
}

}  // namespace assent::post
