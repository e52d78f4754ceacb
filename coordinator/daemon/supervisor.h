#pragma once

#include <string>

namespace assent::daemon {

// Tells whoever started the daemon how it is, by the protocol of sd_notify(3): lines such as
// "READY=1" or "STATUS=recovering", in a datagram to the socket that NOTIFY_SOCKET names. Nothing
// if there is none. What cannot be said within a second is not said. Any thread.
void TellSupervisor(const std::string& lines);

}  // namespace assent::daemon
