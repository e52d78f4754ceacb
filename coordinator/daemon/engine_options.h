#pragma once

#include "coordinator/daemon/config.h"
#include "coordinator/engine/engine.h"
#include "coordinator/webhook/sender.h"

namespace assent::daemon {

// What the engine has to say goes to the log, and its alarms to `webhook` (nullptr: to nobody),
// which outlives it.
engine::EngineOptions EngineOptions(const Config& config, webhook::Sender* webhook);

}  // namespace assent::daemon
