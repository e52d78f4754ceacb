#include "coordinator/http/host.h"

#include <algorithm>
#include <cctype>

namespace assent::http {
namespace {

// Without its port.
std::string_view HostOf(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool IsAddress(std::string_view host) {
  if (host.starts_with('[')) return true;
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return c == '.' || std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

// It ends with a dot or not: both are the name's whole form.
bool IsLocalhost(std::string_view host) {
  constexpr std::string_view kName = "localhost";
  if (host.ends_with('.')) host.remove_suffix(1);
  return std::equal(host.begin(), host.end(), kName.begin(), kName.end(),
                    [](unsigned char c, char name) { return std::tolower(c) == name; });
}

}  // namespace

bool IsLocal(std::string_view host) {
  const std::string_view bare = HostOf(host);
  return IsAddress(bare) || IsLocalhost(bare);
}

}  // namespace assent::http
