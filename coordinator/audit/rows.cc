#include <utility>

#include "coordinator/audit/store.h"

namespace assent::audit {

Row AskedRow(const Entry& entry) {
  return {.chain = std::string(kDeeds),
          .kind = entry.kind,
          .at_unix_ms = entry.id.at_unix_ms,
          .about = entry.id,
          .node = entry.node,
          .deed = entry.deed};
}

Row EndingRow(const Ending& ending, std::int64_t at_unix_ms) {
  return {.chain = std::string(kDeeds),
          .kind = Kind::kEnding,
          .at_unix_ms = at_unix_ms,
          .about = ending.id,
          .before = ending.before,
          .code = static_cast<std::uint8_t>(ending.code),
          .said = ending.said};
}

}  // namespace assent::audit
