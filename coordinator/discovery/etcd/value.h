#pragma once

// What stands under a key: where an instance is.
//
//   pay-1.internal:7001                     as the instance, or whoever starts it, has written it
//   {"Op":0,"Addr":"10.0.0.7:7001",…}       as etcd's own naming package for Go writes it
//   tls:10.0.0.7:7001, http://10.0.0.7:80/  with the scheme, if it is that of the setting

#include <cstddef>
#include <string_view>

#include <assent/status.h>

#include "coordinator/discovery/name.h"

namespace assent::discovery::etcd {

inline constexpr std::size_t kMaxValueBytes = 4096;

// kInvalidArgument: it is none, and why. How it is dialled is the setting's to say: whoever writes
// keys takes no TLS away.
Result<Place> ReadPlace(const Name& name, std::string_view value);

}  // namespace assent::discovery::etcd
