#pragma once

// What an answer means for the spans that were sent: OTLP's rules, as values.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "coordinator/post/poster.h"

namespace assent::tracing {

enum class Fate : std::uint8_t {
  kTaken,    // but for `rejected` of them
  kRefused,  // for good: they would be refused again
  kLater     // the same may be sent again
};

struct Verdict {
  Fate fate = Fate::kTaken;
  std::size_t rejected = 0;       // of all `sent`
  std::string said{};             // in words, of what is not well
  std::chrono::seconds pause{0};  // that the collector asks for
};
Verdict Judge(const post::Answer& answer, std::size_t sent);

}  // namespace assent::tracing
