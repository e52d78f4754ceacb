#pragma once

// A List for one who sees only what he began himself.

#include <functional>

#include <assent/status.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/engine/requests.h"
#include "coordinator/service/list.h"

namespace assent::service {

// As RunList, of what `own` began; nullptr: of everybody's. Other members are asked for everything,
// as a coordinator may, and what is not his is left out here, so that it is of no account what
// their rules say of him.
void RunListOf(const engine::OnlyOf& own, const ListScope& scope, v1::ListRequest request,
               std::function<void(const Status&, v1::ListReply)> done);

}  // namespace assent::service
