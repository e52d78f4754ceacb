#pragma once

#include <cstdint>

namespace assent::internal {

// From the kernel: spreads the waits of processes that were started together.
std::uint64_t RandomSeed();

}  // namespace assent::internal
