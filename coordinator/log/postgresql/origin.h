#pragma once

// Whether what answers is the store that the log was written on. What was promised to participants
// is in the log that promised it: when another server has taken over, or a copy was put in its
// place, commits may be missing. Then the store is of a new generation, nothing of an older one is
// presumed about, and the slots' epochs are above all that participants may have heard.
//
// Each connection through which anything is learnt looks first, whenever it is opened: whoever
// waited for another to notice would find nothing where something has been, and presume.

#include <cstdint>
#include <functional>
#include <optional>
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

// The store's generation, which is that of what answers. kUnavailable: it may be, or not.
// `lost_in`: it lacks what it had acknowledged to the caller in this generation. A store that does
// not know itself that it is a copy is told so.
Result<std::uint64_t> CheckOrigin(Connection& connection, const OriginOptions& options,
                                  std::optional<std::uint64_t> lost_in = std::nullopt);

// Of two origins: a standby that takes over is the same cluster with the same tables, on another
// timeline. What was dumped and read in again has other tables.
bool SameTables(const std::string& a, const std::string& b);

// Whether it is another than the one on which a coordinator worked last. Writes nothing.
Result<bool> IsElsewhere(Connection& connection);

}  // namespace assent::log
