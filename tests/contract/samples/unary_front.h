#pragma once

// Serves a Resource of the SDK as assent.v1.Participant/Execute, for coordinators that dial.

#include <string>

#include <assent/resource.h>
#include <assent/status.h>

namespace assent::contract::samples {

// Before the first thread is started: SIGTERM and SIGINT are for ServeUnary alone.
void HoldSignals();
// Listens at "host:port" until SIGTERM or SIGINT; then answers what it has.
Status ServeUnary(Resource& resource, const std::string& listen);

}  // namespace assent::contract::samples
