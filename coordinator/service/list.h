#pragma once

#include <cstddef>
#include <functional>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/engine/engine.h"
#include "coordinator/service/members.h"
#include "coordinator/service/router.h"

namespace assent::service {

// Rows that one page looks at before it answers with what it has, so that a rare filter cannot hold
// up the shards or the log.
inline constexpr std::size_t kMaxExaminedRowsCount = 20'000;  // unfinished
inline constexpr std::size_t kMaxScannedRowsCount = 2000;     // finished

// Whose transactions are listed: this coordinator's, and those of all others that share its log.
struct ListScope {
  engine::Engine& engine;
  const Router& router;
  Peers* peers;
};

// Answers a List: unfinished transactions from the shards, then finished ones from the log. With a
// slice, of this coordinator alone. `done` is called once, from another thread.
void RunList(const ListScope& scope, v1::ListRequest request,
             std::function<void(const Status&, v1::ListReply)> done);

}  // namespace assent::service
