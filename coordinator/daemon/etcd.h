#pragma once

// How etcd is reached, by the settings.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config.h"
#include "coordinator/discovery/etcd/registration.h"
#include "coordinator/discovery/etcd/store.h"

namespace assent::daemon {

// Of --etcd-password-file.
inline constexpr std::size_t kMaxEtcdPasswordBytes = 4096;

// Those of --etcd-endpoints, as they stand there.
std::vector<std::string> EtcdEndpoints(const Config& config);
// Over TLS; and without its scheme, "HOST:PORT".
bool IsEtcdSecure(std::string_view endpoint);
std::string_view EtcdAddress(std::string_view endpoint);
// Empty: there is no file. A line feed at its end is none of it.
Result<std::string> ReadEtcdPassword(const Config& config);
// How one of the endpoints is dialled. kInvalidArgument: its password cannot be read.
Result<discovery::etcd::Dial> OpenEtcd(const Config& config, const Certificates& certificates);
// Where this coordinator is, as --etcd-register says; nullptr: it does not. `address`: where it
// listens.
std::unique_ptr<discovery::etcd::Registration> RegisterInEtcd(const Config& config,
                                                              discovery::etcd::Dial dial,
                                                              const std::string& address);

}  // namespace assent::daemon
