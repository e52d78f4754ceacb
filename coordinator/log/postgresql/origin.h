#pragma once

// Whether the server that answers is the one that the log was written on. What was promised to
// participants is in the log that promised it: when another server has taken over, which may lack
// commits, the store is of a new generation, and nothing of an older one is presumed about.
//
// Each connection through which anything is learnt looks first, whenever it is opened: whoever
// waited for another to notice would find nothing where something has been, and presume.

#include <functional>
#include <string>

#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"

namespace assent::log {

struct OriginOptions {
  // A standby that takes over has all that was committed. Only believed of a server that has
  // synchronous standbys.
  bool lossless_failover = false;
  // By whoever notices first.
  std::function<void(const std::string& words)> on_new_generation{};
};

// OK: the store's generation is that of this server. kUnavailable: it may be, or not.
Status CheckOrigin(Connection& connection, const OriginOptions& options);

}  // namespace assent::log
