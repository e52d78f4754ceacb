#pragma once

#include <functional>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/engine/engine.h"

namespace assent::api {

// Answers a List: unfinished transactions from the shards, then finished ones from the log. `done` is called once, from
// another thread.
void RunList(engine::Engine& engine, v1::ListRequest request,
             std::function<void(const Status&, v1::ListReply)> done);

}  // namespace assent::api
