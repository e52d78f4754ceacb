#pragma once

// The files that say who may what, read and in force.

#include <assent/status.h>

#include "coordinator/daemon/config.h"
#include "coordinator/security/guard.h"

namespace assent::daemon {

// Without --auth-rules there are none, and everybody may everything. INVALID_ARGUMENT names the
// file and the line.
Status EnforceRules(const Config& config, security::Guard& guard);
// Again, for a daemon that runs: what cannot be read leaves what is in force, and the log says so.
Status ReloadRules(const Config& config, security::Guard& guard);
// Says that somebody has shown credentials that are none, since this was called last: in one line,
// however many. Call about once a second.
void TellFailures(security::Guard& guard);

}  // namespace assent::daemon
