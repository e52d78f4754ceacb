#include "coordinator/daemon/etcd.h"

#include <utility>

#include <spdlog/spdlog.h>

#include <assent/address.h>

#include "coordinator/base/read_file.h"
#include "coordinator/daemon/config_checks.h"
#include "coordinator/discovery/etcd/grpc_store.h"
#include "coordinator/discovery/name.h"

namespace assent::daemon {
namespace {

constexpr std::string_view kPlain = "http://";
constexpr std::string_view kSecure = "https://";

}  // namespace

bool IsEtcdSecure(std::string_view endpoint) { return endpoint.rfind(kSecure, 0) == 0; }

// As etcd's own programs take it too.
std::string_view EtcdAddress(std::string_view endpoint) {
  for (const std::string_view scheme : {kPlain, kSecure})
    if (endpoint.rfind(scheme, 0) == 0) return endpoint.substr(scheme.size());
  return endpoint;
}

std::vector<std::string> EtcdEndpoints(const Config& config) {
  return SplitAtCommas(config.etcd_endpoints);
}

Status CheckEtcd(const Config& c) {
  bool any_secure = false;
  for (const std::string& one : EtcdEndpoints(c)) {
    if (!IsHostAndPort(EtcdAddress(one))) {
      return InvalidArgument("etcd-endpoints has " + Quoted(one) +
                             ": it takes HOST:PORT, or https://HOST:PORT, with commas between "
                             "several");
    }
    any_secure = any_secure || IsEtcdSecure(one);
  }
  if (any_secure && c.tls_etcd_ca.empty()) {
    return InvalidArgument(
        "etcd-endpoints has an https:// address: that takes --tls-etcd-ca, the file of the CA that "
        "signs etcd's certificate");
  }
  if (!c.tls_etcd_ca.empty() && !any_secure) {
    return InvalidArgument(
        "tls-etcd-ca is of use with an https:// address in etcd-endpoints alone");
  }
  if (c.etcd_user.empty() != c.etcd_password_file.empty())
    return InvalidArgument("etcd-user and etcd-password-file are of use together");
  if (c.etcd_user.empty() || !c.etcd_endpoints.empty()) return OkStatus();
  return InvalidArgument("etcd-user is of use with etcd-endpoints alone");
}

Result<std::string> ReadEtcdPassword(const Config& config) {
  const std::string& file = config.etcd_password_file;
  if (file.empty()) return std::string();
  const auto wrong = [&file](const std::string& what) {
    return InvalidArgument("etcd-password-file is " + file + ": " + what);
  };
  Result<std::string> text = base::ReadAtMost(file, kMaxEtcdPasswordBytes);
  if (!text.ok()) return wrong(text.status().message());
  if (text->size() > kMaxEtcdPasswordBytes)
    return wrong("it has more than " + std::to_string(kMaxEtcdPasswordBytes) + " bytes");
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  if (text->empty()) return wrong("it is empty");
  return text;
}

Status CheckEtcdRegister(const Config& c) {
  if (c.etcd_register.empty()) return OkStatus();
  const auto wrong = [&c](const std::string& why) {
    return InvalidArgument("etcd-register is " + Quoted(c.etcd_register) + ": " + why);
  };
  if (c.etcd_endpoints.empty()) return wrong("that takes --etcd-endpoints");
  if (!discovery::ParseName("etcd:" + c.etcd_register).ok())
    return wrong("it takes a prefix, such as /assent/coordinators");
  const std::string address = c.AdvertisedAddress();
  const std::string host = address.substr(0, address.rfind(':'));
  if (host != "0.0.0.0" && host != "[::]" && address.rfind("unix:", 0) != 0) return OkStatus();
  return wrong("nobody can reach " + address + ": give --advertise=HOST:PORT");
}

Result<discovery::etcd::Dial> OpenEtcd(const Config& config, const Certificates& certificates) {
  Result<std::string> password = ReadEtcdPassword(config);
  if (!password.ok()) return password.status();
  return discovery::etcd::Dial([user = config.etcd_user, password = std::move(password).value(),
                                credentials = certificates.OfEtcd()](const std::string& endpoint) {
    return discovery::etcd::DialStore(
        std::string(EtcdAddress(endpoint)),
        {IsEtcdSecure(endpoint) ? credentials : nullptr, user, password});
  });
}

std::unique_ptr<discovery::etcd::Registration> RegisterInEtcd(const Config& config,
                                                              discovery::etcd::Dial dial,
                                                              const std::string& address) {
  if (config.etcd_register.empty()) return nullptr;
  const std::string where = config.advertise.empty() ? address : config.advertise;
  const std::string key = discovery::ParseName("etcd:" + config.etcd_register)->host + where;
  auto registration = std::make_unique<discovery::etcd::Registration>(
      EtcdEndpoints(config), std::move(dial), key, where, [key](const Status& registered) {
        if (registered.ok()) return spdlog::info("event=registered key={}", key);
        spdlog::warn("event=not_registered key={} why={}", key, Quoted(registered.message()));
      });
  registration->Start();
  return registration;
}

}  // namespace assent::daemon
