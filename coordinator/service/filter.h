#pragma once

// Which transactions a List, or a count by causes, is about.

#include <cstdint>
#include <string>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/core/cause.h"
#include "coordinator/core/transaction.h"

namespace assent::service {

// The names of a cause, from the widest: its service; what is asked of it and how it goes; in these
// words. They are hashes, the same everywhere and for ever.
struct CauseKey {
  std::string service;
  std::string group;
  std::string exact;
};
// A decision that is not durable yet is nobody's cause.
core::Cause CauseOf(const core::Transaction& txn, bool decision_visible);
CauseKey KeyOf(const core::Cause& cause);
// `request`'s cause, if it has one, may have been given by ListCauses.
Status CheckCause(const v1::ListRequest& request);

// Whether a row may be passed over.
bool IsFiltered(const v1::ListRequest& request);
bool Matches(const v1::ListRequest& request, const core::Transaction& txn, bool decision_visible,
             core::WallTime now);

}  // namespace assent::service
