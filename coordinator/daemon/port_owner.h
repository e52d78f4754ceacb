#pragma once

#include <cstdint>
#include <string>

namespace assent::daemon {

// "process 1234 (assentd)" listens at this port of this machine, by what the kernel shows of
// processes in `proc`. "": it does not show it, such as of other users' processes.
std::string OwnerOfPort(std::uint16_t port, const std::string& proc = "/proc");

}  // namespace assent::daemon
