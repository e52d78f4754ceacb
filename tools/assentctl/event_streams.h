#pragma once

#include <memory>

#include "tools/assentctl/service.h"

namespace assent::ctl {

// Over connections of their own, one to each coordinator.
std::unique_ptr<EventStreams> MakeEventStreams();

}  // namespace assent::ctl
