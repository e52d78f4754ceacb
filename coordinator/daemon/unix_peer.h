#pragma once

// Who is at the other end of a Unix socket, as the kernel says.

#include <optional>

#include <sys/types.h>

namespace assent::daemon {

std::optional<uid_t> UserOfPeer(int descriptor);

}  // namespace assent::daemon
