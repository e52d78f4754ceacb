#pragma once

// How large the rows are that assentd writes for a transaction: from its own state machine and
// codec, run once.

#include <string>

#include "tools/assent-bench/options.h"

namespace assent::bench {

struct Shape {
  std::string spec;
  std::string begun;     // the state in BEGIN's record
  std::string decided;   // ... in the decision's
  std::string finished;  // ... in END's
};

// Of a TCC or two-phase transaction that commits.
Shape ShapeOf(const Load& load);

}  // namespace assent::bench
