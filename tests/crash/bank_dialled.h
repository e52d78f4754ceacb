#pragma once

// A bank that the coordinator dials (assent.v1.Participant), instead of one that dials in.

#include <string>

#include <assent/resource.h>

namespace assent::crash {

// Call it before the first thread is made.
void BlockSigterm();
// Serves `resource` at "host:port" until SIGTERM; the process's exit status.
int ServeDialled(Resource& resource, const std::string& address);

}  // namespace assent::crash
