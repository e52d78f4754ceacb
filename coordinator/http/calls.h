#pragma once

// A request of /v1 on its way through the service and back, wherever its transaction is.

#include <memory>

#include "coordinator/http/exchange.h"
#include "coordinator/http/routes.h"
#include "coordinator/service/service.h"
#include "coordinator/service/way.h"

namespace assent::http {

struct Rooms {
  service::Service& service;
  // With several coordinators; nullptr: there is one.
  service::Way* way = nullptr;
};

// What was asked, by whom. The exchange is answered, perhaps from within; the door keeps what comes
// back until it is over, if anything does.
struct Order {
  const Route* route = nullptr;
  service::Caller caller{};
  Asked asked{};
  // The last one that the caller of a watch has had.
  std::string last_event_id{};
  std::string traceparent{};
  std::string tracestate{};
  std::shared_ptr<Exchange> exchange{};
};
std::shared_ptr<Pending> Begin(const Rooms& rooms, Order order);

}  // namespace assent::http
