#include "coordinator/discovery/name.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <assent/address.h>

namespace assent::discovery {
namespace {

using Form = Name::Form;

using Registry = Name::Registry;

constexpr std::pair<std::string_view, Registry> kSchemes[] = {{"dns:", Registry::kDns},
                                                              {"etcd:", Registry::kEtcd}};
constexpr std::pair<std::string_view, Form> kForms[] = {
    {"tls:", Form::kGrpcTls}, {"http://", Form::kHttp}, {"https://", Form::kHttps}};
// The values have the URLs.
constexpr std::pair<std::string_view, Form> kEtcdForms[] = {
    {"tls:", Form::kGrpcTls}, {"http:", Form::kHttp}, {"https:", Form::kHttps}};

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

template <std::size_t kCount>
void TakeForm(const std::pair<std::string_view, Form> (&forms)[kCount], std::string_view& rest,
              Name& name) {
  for (const auto& [prefix, form] : forms) {
    if (rest.rfind(prefix, 0) != 0) continue;
    name.form = form;
    return rest.remove_prefix(prefix.size());
  }
}

Result<Name> ParseDnsName(Name name, std::string_view rest) {
  TakeForm(kForms, rest, name);
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

// "/pay" is not "/payroll": what is under it begins behind a slash.
Result<Name> ParseEtcdName(Name name, std::string_view rest) {
  TakeForm(kEtcdForms, rest, name);
  if (rest.rfind("//", 0) == 0)
    return Wrong("it takes etcd:http:PREFIX or etcd:https:PREFIX: the values have the URLs");
  const bool printable =
      std::all_of(rest.begin(), rest.end(), [](char c) { return c > ' ' && c < 127; });
  if (rest.empty() || rest == "/" || !printable || rest.size() >= kMaxEtcdPrefixBytes) {
    return Wrong("it takes etcd:PREFIX, of up to " + std::to_string(kMaxEtcdPrefixBytes - 1) +
                 " printable characters without spaces");
  }
  name.host = rest;
  if (name.host.back() != '/') name.host += '/';
  return name;
}

}  // namespace

bool IsName(std::string_view address) {
  return std::any_of(std::begin(kSchemes), std::end(kSchemes),
                     [&](const auto& known) { return address.rfind(known.first, 0) == 0; });
}

Result<Name> ParseName(std::string_view text) {
  for (const auto& [scheme, registry] : kSchemes) {
    if (text.rfind(scheme, 0) != 0) continue;
    Name name;
    name.text = text;
    name.registry = registry;
    const std::string_view rest = text.substr(scheme.size());
    return registry == Registry::kDns ? ParseDnsName(std::move(name), rest)
                                      : ParseEtcdName(std::move(name), rest);
  }
  return Wrong("it does not begin with dns: or etcd:");
}

transport::Endpoint EndpointOf(const Name& name, const Place& place) {
  const bool v6 = place.host.find(':') != std::string::npos;
  const std::string at =
      (v6 ? "[" + place.host + "]:" : place.host + ":") + std::to_string(place.port);
  // Of etcd it is whoever is named there.
  const bool by_etcd = name.registry == Registry::kEtcd;
  const std::string called = place.name.empty() && !by_etcd ? name.host : place.name;
  const std::string& path = by_etcd ? place.path : name.path;
  switch (name.form) {
    case Form::kGrpc: return {at, called};
    case Form::kGrpcTls: return {std::string(transport::kTlsScheme) + at, called};
    case Form::kHttp: return {"http://" + at + path, called};
    case Form::kHttps: break;
  }
  return {"https://" + at + path, called};
}

}  // namespace assent::discovery
