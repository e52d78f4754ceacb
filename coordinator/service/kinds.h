#pragma once

// What a door has to know of a request before anybody takes it, read off its fields.

#include <type_traits>

#include "assent/v1/batch.pb.h"
#include "assent/v1/transaction.pb.h"

namespace assent::service {

// It brings a transaction with it.
template <typename Request>
inline constexpr bool kTransaction = requires(const Request& request) {
  request.transaction();
};
// What an operator does goes on record, each time.
template <typename Request>
inline constexpr bool kRepeatable = !requires(const Request& request) {
  request.action();
};
// It does so for all that match, wherever they are.
template <typename Request>
inline constexpr bool kBatch = std::is_same_v<Request, v1::BatchRequest>;
template <typename Request>
inline constexpr bool kNewWork =
    kTransaction<Request> || std::is_same_v<Request, v1::ExecuteBranchRequest>;
// One that is answered in pages is about many, whatever it is filtered by.
template <typename Request>
inline constexpr bool kPaged = requires(const Request& request) {
  request.page_token();
};
// It is about one transaction, which may be another coordinator's.
template <typename Request>
inline constexpr bool kTravels = kTransaction<Request> ||
                                 (!kRepeatable<Request> && !kBatch<Request>) ||
                                 (requires(const Request& request) { request.gid(); } &&
                                  !kPaged<Request>);

}  // namespace assent::service
