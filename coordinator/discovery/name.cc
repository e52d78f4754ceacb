#include "coordinator/discovery/name.h"

#include <algorithm>
#include <utility>

#include <assent/address.h>

namespace assent::discovery {
namespace {

using Form = Name::Form;

constexpr std::string_view kDnsScheme = "dns:";
constexpr std::pair<std::string_view, Form> kForms[] = {
    {"tls:", Form::kGrpcTls}, {"http://", Form::kHttp}, {"https://", Form::kHttps}};

Status Wrong(std::string_view why) { return InvalidArgument(std::string(why)); }

bool IsDnsName(std::string_view host) {
  return !host.empty() && host.size() <= kMaxDnsNameBytes && host.front() != '.' &&
         host.find("..") == std::string_view::npos &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

// An address needs nobody to be asked.
bool IsDigits(std::string_view host) {
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

bool IsName(std::string_view address) { return address.rfind(kDnsScheme, 0) == 0; }

Result<Name> ParseName(std::string_view text) {
  if (!IsName(text)) return Wrong("it does not begin with dns:");
  Name name;
  name.text = text;
  std::string_view rest = text.substr(kDnsScheme.size());
  for (const auto& [prefix, form] : kForms) {
    if (rest.rfind(prefix, 0) != 0) continue;
    name.form = form;
    rest.remove_prefix(prefix.size());
    break;
  }
  if (name.http()) {
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos) return Wrong("its URL takes a path: at least \"/\"");
    name.path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  const std::size_t colon = rest.rfind(':');
  name.host = rest.substr(0, colon);
  if (!IsDnsName(name.host)) return Wrong("that is no name of a host");
  if (IsDigits(name.host)) return Wrong("that is an address, which stands without dns:");
  if (colon != std::string_view::npos) {
    name.port = rest.substr(colon + 1);
    if (!IsPort(name.port)) return Wrong("it takes a port from 1 to 65535");
    return name;
  }
  if (name.host.front() == '_') return name;
  return Wrong("it takes dns:HOST:PORT, or dns:_SERVICE._tcp.DOMAIN for a name with SRV records");
}

transport::Endpoint EndpointOf(const Name& name, const Place& place) {
  const bool v6 = place.host.find(':') != std::string::npos;
  const std::string at =
      (v6 ? "[" + place.host + "]:" : place.host + ":") + std::to_string(place.port);
  const std::string& called = place.name.empty() ? name.host : place.name;
  switch (name.form) {
    case Form::kGrpc: return {at, called};
    case Form::kGrpcTls: return {std::string(transport::kTlsScheme) + at, called};
    case Form::kHttp: return {"http://" + at + name.path, called};
    case Form::kHttps: break;
  }
  return {"https://" + at + name.path, called};
}

}  // namespace assent::discovery
