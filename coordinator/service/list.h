#pragma once

#include <cstddef>
#include <functional>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/engine/engine.h"

namespace assent::service {

// Rows that one page looks at before it answers with what it has, so that a rare filter cannot hold
// up the shards or the log.
inline constexpr std::size_t kMaxExaminedRowsCount = 20'000;  // unfinished
inline constexpr std::size_t kMaxScannedRowsCount = 2000;     // finished

// Answers a List: unfinished transactions from the shards, then finished ones from the log. `done`
// is called once, from another thread.
void RunList(engine::Engine& engine, v1::ListRequest request,
             std::function<void(const Status&, v1::ListReply)> done);

}  // namespace assent::service
