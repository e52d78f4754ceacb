#pragma once

// Spans on their way to the collector of --trace-endpoint.

#include <cstdint>
#include <memory>

#include <assent/status.h>

#include "coordinator/daemon/certificates.h"
#include "coordinator/daemon/config.h"
#include "coordinator/tracing/otlp/exporter.h"

namespace assent::daemon {

// nullptr: there is to be none. kInvalidArgument: the file of headers has none. It lives no longer
// than the certificates.
Result<std::unique_ptr<tracing::Exporter>> OpenTracing(const Config& config,
                                                       const Certificates& certificates);
// If spans go over a network in the clear, and what a collector wants to see with them.
void WarnOfTracing(const Config& config);
tracing::Resource ResourceOf(const Config& config, std::uint64_t log_id);
// Says so if spans are left.
void CloseTracing(tracing::Exporter& exporter);

}  // namespace assent::daemon
