#pragma once

// What happens, as it happens, as server-sent events.

#include <memory>

#include "coordinator/http/calls.h"

namespace assent::http {

// Any number of `event`, each with its position as its id, and `missed`; a position may stand
// alone.
std::shared_ptr<Pending> BeginEvents(const Rooms& rooms, Order&& order);

}  // namespace assent::http
