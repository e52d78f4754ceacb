#include "coordinator/log/postgresql/exposure.h"

#include <array>
#include <memory>
#include <sstream>
#include <string_view>

#include <libpq-fe.h>

namespace assent::log {
namespace {

struct Free {
  void operator()(PQconninfoOption* info) const { PQconninfoFree(info); }
  void operator()(PGconn* connection) const { PQfinish(connection); }
};

bool IsHere(std::string_view host) {
  if (host.empty() || host.front() == '/' || host.front() == '@') return true;  // a socket
  if (host == "localhost" || host == "::1") return true;
  return host.rfind("127.", 0) == 0 &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

std::optional<Exposure> ExposureOf(const std::string& url) {
  // Begun and given up: nothing else of libpq says what a service file and the environment add.
  const std::array<const char*, 2> names{"dbname", nullptr};
  const std::array<const char*, 2> values{url.c_str(), nullptr};
  const std::unique_ptr<PGconn, Free> begun(PQconnectStartParams(names.data(), values.data(), 1));
  const std::unique_ptr<PQconninfoOption, Free> info(begun ? PQconninfo(begun.get()) : nullptr);
  std::string hosts;
  std::string addresses;
  std::string sslmode;
  for (const PQconninfoOption* option = info.get(); option && option->keyword; ++option) {
    const std::string_view keyword = option->keyword;
    if (option->val == nullptr) continue;
    if (keyword == "host") hosts = option->val;
    if (keyword == "hostaddr") addresses = option->val;
    if (keyword == "sslmode") sslmode = option->val;
  }
  if (sslmode == "verify-full") return std::nullopt;
  // An address is what is dialled, whatever the name beside it is.
  std::istringstream each(addresses.empty() ? hosts : addresses);
  for (std::string host; std::getline(each, host, ',');) {
    if (!IsHere(host)) return Exposure{host, sslmode};
  }
  return std::nullopt;
}

}  // namespace assent::log
