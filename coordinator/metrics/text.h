#pragma once

// Prometheus' text format, and the one list of what there is in it. docs/metrics.md has the same.

#include <string>

#include "coordinator/metrics/snapshot.h"

namespace assent::metrics {

inline constexpr char kTextType[] = "text/plain; version=0.0.4; charset=utf-8";

std::string Text(const Snapshot& snapshot);

}  // namespace assent::metrics
