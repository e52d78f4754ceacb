#pragma once

#include "coordinator/audit/store.h"
#include "coordinator/log/postgresql/connection.h"

namespace assent::audit {

// A table beside those of a log that several coordinators share: each of them finds what was asked
// of any.
OpenStore InPostgres(log::ConnectionOptions options);

}  // namespace assent::audit
