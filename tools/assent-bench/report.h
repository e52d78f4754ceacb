#pragma once

// Measurements for people and for scripts.

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tools/assent-bench/fleet.h"

namespace assent::bench {

nlohmann::json ToJson(const Measurement& m);
void Print(const std::string& title, const Measurement& m);

double Median(std::vector<double> values);

// Floor and engine in turn, `rounds` times: throughput with load.in_flight, then latency with one
// transaction in flight. The ratio of each pair, so that a drifting machine cancels out; their
// medians. The exit code.
int Compare(const Load& load, int rounds, bool json);

// assentd without TLS and with mutual TLS on each connection, as above.
int CompareTls(const Load& load, int rounds, bool json);

// 1, 2, ... load.coordinators in turn, each with load.in_flight under way at it, `rounds` times.
int Scale(const Load& load, int rounds, bool json);

}  // namespace assent::bench
