#pragma once

#include <cstdint>

#include "coordinator/audit/store.h"
#include "coordinator/log/postgresql/connection.h"

namespace assent::audit {

// A table beside those of a log that several coordinators share: each of them finds what was asked
// of any. Who writes as `epoch` is alone, and has chains of its own: "deeds-7".
OpenStore InPostgres(log::ConnectionOptions options, std::uint64_t epoch);

}  // namespace assent::audit
