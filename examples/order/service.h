#pragma once

// What the three services have in common: flags, a database of their own, a connection to the
// coordinator, and running until SIGTERM. What makes each of them what it is stands in
// order_service.cc, inventory_service.cc and payment_service.cc.

#include <functional>
#include <string>
#include <vector>

#include <assent/call.h>
#include <assent/sqlite.h>

#include "examples/order/order.h"

namespace shop {

struct Service {
  std::string name;
  // Ways to break it on purpose (--fault NAME), so that the demo can be seen to notice.
  std::vector<std::string> faults;
  // Creates the service's tables, the first time with what it opens business with.
  std::function<void(assent::sqlite::Db&)> tables;
  // Registers its actions. `fault` is one of the above, or empty.
  std::function<void(assent::sqlite::Store&, const std::string& fault)> actions;
};

// The body of main(): --database FILE, --coordinator HOST:PORT, and for the demo --fault and --stop
// (see tripwire.h). The exit code: 0 after SIGTERM or SIGINT, 1 for a failure, 2 for a wrong
// command line.
int Serve(int argc, char** argv, const Service& service);

// A handler that is given the order instead of the call's bytes.
using OrderHandler = std::function<assent::Reply(assent::sqlite::Db&, const Order&)>;
assent::sqlite::DbHandler OnOrder(OrderHandler handler);

}  // namespace shop
