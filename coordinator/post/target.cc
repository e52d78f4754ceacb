#include "coordinator/post/target.h"

#include <algorithm>

#include <assent/address.h>

namespace assent::post {

Result<Target> ParseUrl(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const auto wrong = InvalidArgument(
      "it takes http://HOST:PORT/PATH, without a user name, a query or a fragment, which would be "
      "shown with the settings");
  if (url.substr(0, kScheme.size()) != kScheme) return wrong;
  url.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(url.find('/'), url.size());
  Target target;
  target.authority = url.substr(0, slash);
  target.path = url.substr(slash);
  if (target.path.empty()) target.path = "/";
  const bool plain = std::all_of(target.path.begin(), target.path.end(), [](char c) {
    return c > ' ' && c < 127 && c != '?' && c != '#' && c != '"' && c != '\\';
  });
  if (!IsHostAndPort(target.authority) || !plain || target.path.size() > kMaxPathBytes)
    return wrong;
  const std::size_t colon = target.authority.rfind(':');
  target.host = target.authority.substr(0, colon);
  target.port = target.authority.substr(colon + 1);
  if (target.host.front() == '[') target.host = target.host.substr(1, target.host.size() - 2);
  return target;
}

}  // namespace assent::post
