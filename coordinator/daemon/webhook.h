#pragma once

// What the engine wants a person to know, in words, on its way to the receiver of --webhook-url.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <assent/status.h>

#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config.h"
#include "coordinator/engine/ports.h"
#include "coordinator/webhook/sender.h"

namespace assent::daemon {

// nullptr: there is to be none. kInvalidArgument: the file of the secret has none. It lives no
// longer than the certificates.
Result<std::unique_ptr<webhook::Sender>> OpenWebhook(const Config& config,
                                                     const Certificates& certificates);
// If what is told goes over a network in the clear.
void WarnOfWebhook(const Config& config);
webhook::Teller TellerOf(const Config& config, std::uint64_t log_id, const std::string& http);
// Empty if there is no sender, which outlives what is returned.
decltype(engine::ShardOptions::on_alarm) AlarmsTo(webhook::Sender* sender);
// Says so if events are left.
void CloseWebhook(webhook::Sender& sender);

}  // namespace assent::daemon
