#pragma once

// What there is to look at when the stories are over and the shop stays: orders that do not end,
// each for a reason that an operator can find.

#include <string>
#include <vector>

#include <assent/status.h>

#include "examples/order/driver/shop.h"

namespace demo {

struct Outage {
  int waiting = 0;            // orders that wait for the payment service, which has been stopped
  std::string uncompensated;  // the order whose goods are not taken back
  // The order whose payment goes to a service that nobody is; empty: the rules have refused it.
  std::string misspelt;
};

// Places the orders and takes the payment service down. On return each of them says why it is not
// finished. The shop runs, and its books have been looked at: they balance no more until the
// orders have ended.
assent::Result<Outage> MakeOutage(Shop& shop);

// What a person can type in this shop, as lines to print.
std::vector<std::string> ThingsToTry(const Shop& shop, const Outage& outage);

}  // namespace demo
