#pragma once

// What a shop with locks (--secure) does not let happen: a right certificate in the wrong place, a
// wrong one, and none.

#include <string>
#include <vector>

#include "examples/order/driver/shop.h"

namespace demo {

// What whoever tried was told.
struct Told {
  bool refused = false;
  std::string words;
};

struct Attempt {
  const char* name;   // "refused-pose"
  const char* title;  // "Payment's certificate poses as the inventory."
  const char* holds;  // what refused it
  Told (*attempt)(const Shop& shop);
};
const std::vector<Attempt>& Attempts();

}  // namespace demo
