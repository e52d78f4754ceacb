#pragma once

#include "coordinator/daemon/config.h"
#include "coordinator/engine/engine.h"
#include "coordinator/tracing/otlp/exporter.h"
#include "coordinator/webhook/sender.h"

namespace assent::daemon {

// What the engine has to say goes to the log, its alarms to `webhook`, its spans to `tracing`
// (nullptr: to nobody), which outlive it.
engine::EngineOptions EngineOptions(const Config& config, webhook::Sender* webhook,
                                    tracing::Exporter* tracing);

}  // namespace assent::daemon
