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
// What can be wrong with the fields that lists, counts and batches have in common. A cause, if
// there is one, may have been given by ListCauses.
Status CheckFilter(const v1::ListRequest& request);
// The filter of a request that has List's fields under List's numbers.
template <typename Request>
v1::ListRequest FilterOf(const Request& request) {
  v1::ListRequest filter;
  ASSENT_CHECK(filter.ParseFromString(request.SerializeAsString()));
  filter.DiscardUnknownFields();
  filter.clear_slice();
  return filter;
}

// Whether a row may be passed over.
bool IsFiltered(const v1::ListRequest& request);
bool Matches(const v1::ListRequest& request, const core::Transaction& txn, bool decision_visible,
             core::WallTime now);

}  // namespace assent::service
