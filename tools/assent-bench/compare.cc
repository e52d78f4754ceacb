// Floor and engine in turn, and what both did side by side: only a floor that does the same is a
// floor.

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "tools/assent-bench/report.h"
#include "tools/assent-bench/work.h"

namespace assent::bench {
namespace {

struct Ratio {
  std::vector<double> values;
  double median() const { return Median(values); }
  double low() const { return *std::min_element(values.begin(), values.end()); }
  double high() const { return *std::max_element(values.begin(), values.end()); }
};

double P50(const Measurement& m) {
  return static_cast<double>(std::max<std::uint64_t>(1, m.latency.Percentile(0.5)));
}

void PrintRound(const Measurement& floor, const Measurement& engine,
                const Measurement& floor_single, const Measurement& engine_single) {
  std::printf(
      "floor %8.0f/s  assentd %8.0f/s  ratio %.2f    one in flight: floor p50 %5.0f us  "
      "assentd %5.0f us  ratio %.2f\n",
      floor.throughput(), engine.throughput(),
      engine.throughput() / std::max(1.0, floor.throughput()), P50(floor_single),
      P50(engine_single), P50(engine_single) / P50(floor_single));
  std::fflush(stdout);
}

}  // namespace

int Compare(const Load& load, int rounds, bool json) {
  nlohmann::json out;
  Ratio throughput;
  Ratio latency;
  std::vector<double> floor_rates, engine_rates, floor_p50, engine_p50;
  WorkTable many;
  WorkTable one;
  bool failed = false;
  const auto take = [&](const Load& what, Kind kind, int round, const char* name) {
    Load titled = what;
    titled.title = "round " + std::to_string(round + 1) + " of " + std::to_string(rounds) + ", " +
                   name + ", " + std::to_string(what.in_flight) + " in flight";
    const Measurement m = Measure(titled, kind, "");
    if (m.failed > 0) std::fprintf(stderr, "assent-bench: %s: %s\n", name, m.first_failure.c_str());
    failed = failed || m.failed > 0;
    return m;
  };
  Load single = load;
  single.in_flight = 1;
  for (int round = 0; round < rounds; ++round) {
    const Measurement floor = take(load, Kind::kFloor, round, "floor");
    const Measurement engine = take(load, Kind::kEngine, round, "assentd");
    const Measurement floor_single = take(single, Kind::kFloor, round, "floor");
    const Measurement engine_single = take(single, Kind::kEngine, round, "assentd");
    many.Add(floor, engine);
    one.Add(floor_single, engine_single);
    throughput.values.push_back(engine.throughput() / std::max(1.0, floor.throughput()));
    latency.values.push_back(P50(engine_single) / P50(floor_single));
    floor_rates.push_back(floor.throughput());
    engine_rates.push_back(engine.throughput());
    floor_p50.push_back(P50(floor_single));
    engine_p50.push_back(P50(engine_single));
    out["rounds"].push_back({{"floor_throughput", floor.throughput()},
                             {"throughput", engine.throughput()},
                             {"floor_p50_us", P50(floor_single)},
                             {"p50_us", P50(engine_single)},
                             {"p99_us", engine_single.latency.Percentile(0.99)},
                             {"max_us", engine_single.latency.max()},
                             {"ratio_throughput", throughput.values.back()},
                             {"ratio_latency", latency.values.back()}});
    if (!json) PrintRound(floor, engine, floor_single, engine_single);
  }
  out["ratio_throughput"] = throughput.median();
  out["ratio_throughput_spread"] = {throughput.low(), throughput.high()};
  out["ratio_latency"] = latency.median();
  out["ratio_latency_spread"] = {latency.low(), latency.high()};
  out["throughput"] = Median(engine_rates);
  out["floor_throughput"] = Median(floor_rates);
  out["p50_us"] = Median(engine_p50);
  out["floor_p50_us"] = Median(floor_p50);
  out["workload"] = load.workload;
  out["branches"] = load.branches;
  out["payload"] = load.payload_bytes;
  out["in_flight"] = load.in_flight;
  out["work"] = many.ToJson("floor", "engine");
  out["work_one_in_flight"] = one.ToJson("floor", "engine");
  if (json) {
    std::cout << out.dump() << "\n";
    return failed ? 1 : 0;
  }
  many.Print("with " + std::to_string(load.in_flight), "floor", "assentd");
  one.Print("with 1", "floor", "assentd");
  std::printf(
      "\nthroughput ratio %.2f (%.2f to %.2f), latency ratio %.2f (%.2f to %.2f); medians of %d "
      "rounds\n",
      throughput.median(), throughput.low(), throughput.high(), latency.median(), latency.low(),
      latency.high(), rounds);
  return failed ? 1 : 0;
}

}  // namespace assent::bench
