#pragma once

// What the settings may have in place of an address: a name, and who is to be asked where that is.
//
//   dns:pay.internal:7001                    each address of that name, at that port
//   dns:_assent._tcp.pay.internal            hosts and ports by the name's SRV records
//   dns:tls:pay.internal:7001                likewise over TLS: the certificate says pay.internal
//   dns:https://pay.internal:8443/assent     participants that serve HTTP
//
//   etcd:/services/pay                       what stands under that prefix of etcd
//   etcd:tls:/services/pay                   likewise over TLS; etcd:http:… and etcd:https:… of HTTP
//
// First the scheme, by which the resolver is chosen, then the address as it stands without one.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/transport/endpoint.h"

namespace assent::discovery {

// RFC 1035, 2.3.4, with the dots between.
inline constexpr std::size_t kMaxDnsNameBytes = 253;

// Of a prefix of etcd, with the slash that ends it.
inline constexpr std::size_t kMaxEtcdPrefixBytes = 512;

struct Name {
  enum class Registry : std::uint8_t { kDns, kEtcd };
  enum class Form : std::uint8_t { kGrpc, kGrpcTls, kHttp, kHttps };

  std::string text;  // as in the settings
  Registry registry = Registry::kDns;
  Form form = Form::kGrpc;
  std::string host;  // what is asked for; of etcd: the prefix, with a slash at its end
  std::string port;  // empty: the answer has it (SRV, etcd)
  std::string path;  // of HTTP; of etcd the answer has it

  bool http() const { return form == Form::kHttp || form == Form::kHttps; }
  bool secure() const { return form == Form::kGrpcTls || form == Form::kHttps; }
  bool by_service() const { return port.empty(); }
};

// One that was found.
struct Place {
  std::string host;  // an address in digits, without brackets; of etcd a name too
  std::uint16_t port = 0;
  std::string name{};  // what its certificate must say; empty: what was asked for
  std::string path{};  // of HTTP, if the answer has it

  auto operator<=>(const Place&) const = default;
};

// Whether it begins as a name does.
bool IsName(std::string_view address);
// kInvalidArgument: it is none, and why.
Result<Name> ParseName(std::string_view text);
// How it is dialled there.
transport::Endpoint EndpointOf(const Name& name, const Place& place);

}  // namespace assent::discovery
