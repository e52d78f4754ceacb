#pragma once

// Streams of server-sent events: what they are made of, and what happens, as it happens.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/http/calls.h"
#include "coordinator/http/exchange.h"

namespace assent::http {

// Events of a watch, in their order: any number of `transaction`, then `end` (it has finished, and
// there is nothing more to come) or `error` (google.rpc.Status; who wants to see more asks again).
inline constexpr char kEndEvent[] = "end";
std::string EventText(std::string_view name, std::string_view data, std::string_view id = {});

// Whoever only looks has lost nothing. `asked`: it was he who said how long.
Status TooLateToLook(std::chrono::milliseconds after, bool asked);

// Any number of `event`, each with its position as its id, and `missed`; a position may stand
// alone.
std::shared_ptr<Pending> BeginEvents(const Rooms& rooms, Order&& order);

}  // namespace assent::http
