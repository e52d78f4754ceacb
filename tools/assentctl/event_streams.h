#pragma once

#include <memory>

#include "tools/assentctl/channel.h"
#include "tools/assentctl/service.h"

namespace assent::ctl {

// Over connections of their own, one to each coordinator.
std::unique_ptr<EventStreams> MakeEventStreams(Dialling dialling);

}  // namespace assent::ctl
