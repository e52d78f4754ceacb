#include "coordinator/discovery/etcd/value.h"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <assent/address.h>

namespace assent::discovery::etcd {
namespace {

using Form = Name::Form;

Status Wrong(const std::string& why) { return InvalidArgument(why); }

std::string_view SchemeOf(Form form) {
  switch (form) {
    case Form::kGrpc: return "";
    case Form::kGrpcTls: return transport::kTlsScheme;
    case Form::kHttp: return "http://";
    case Form::kHttps: break;
  }
  return "https://";
}

Result<std::string> AddressIn(std::string_view value) {
  if (value.size() > kMaxValueBytes)
    return Wrong("it has more than " + std::to_string(kMaxValueBytes) + " bytes");
  while (!value.empty() && (value.back() == '\n' || value.back() == ' ')) value.remove_suffix(1);
  if (value.empty() || value.front() != '{') return std::string(value);
  const auto json = nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Wrong("it is no JSON");
  const auto address = json.find("Addr");
  if (address == json.end() || !address->is_string()) return Wrong("it has no \"Addr\"");
  return address->get<std::string>();
}

bool IsPath(std::string_view path) {
  return path.size() >= 1 && path.front() == '/' &&
         path.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@%/"
             "?") == std::string_view::npos;
}

}  // namespace

Result<Place> ReadPlace(const Name& name, std::string_view value) {
  Result<std::string> address = AddressIn(value);
  if (!address.ok()) return address.status();
  std::string_view rest = *address;
  const std::string_view scheme = SchemeOf(name.form);
  if (rest.rfind(scheme, 0) == 0)
    rest.remove_prefix(scheme.size());
  else if (name.http())
    return Wrong("it does not begin with " + std::string(scheme));
  Place place;
  if (name.http()) {
    const std::size_t slash = rest.find('/');
    place.path = slash == std::string_view::npos ? "" : rest.substr(slash);
    if (!IsPath(place.path)) return Wrong("its URL takes a path: at least \"/\"");
    rest = rest.substr(0, slash);
  }
  if (!IsHostAndPort(rest)) return Wrong("it is no HOST:PORT");
  const std::size_t colon = rest.rfind(':');
  std::string_view host = rest.substr(0, colon);
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  if (host.size() > kMaxDnsNameBytes) return Wrong("that is no name of a host");
  place.host = host;
  place.port = static_cast<std::uint16_t>(std::stoi(std::string(rest.substr(colon + 1))));
  return place;
}

}  // namespace assent::discovery::etcd
