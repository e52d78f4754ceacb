// Floor and engine in turn, and what both did side by side: only a floor that does the same is a
// floor.

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "tools/assent-bench/report.h"

namespace assent::bench {
namespace {

struct Ratio {
  std::vector<double> values;
  double median() const { return Median(values); }
  double low() const { return *std::min_element(values.begin(), values.end()); }
  double high() const { return *std::max_element(values.begin(), values.end()); }
};

// Medians over the rounds of what a transaction took.
struct Work {
  std::string name;
  std::vector<double> floor;
  std::vector<double> engine;
};

void AddWork(std::vector<Work>& table, const Measurement& floor, const Measurement& engine) {
  if (table.empty()) {
    for (const char* name :
         {"messages", "TCP bytes", "TCP segments", "log records", "log commits", "bytes to the log",
          "coordinator CPU us", "participants CPU us", "initiators CPU us"})
      table.push_back({.name = name, .floor = {}, .engine = {}});
    if (floor.usage.count("postgresql") > 0)
      table.push_back({.name = "postgresql CPU us", .floor = {}, .engine = {}});
  }
  const auto values = [](const Measurement& m) {
    const double count = std::max<double>(1, static_cast<double>(m.committed + m.aborted));
    const Usage coordinators = m.coordinators();
    const auto cpu = [&](const char* name) { return m.usage.at(name).cpu_seconds * 1e6 / count; };
    std::vector<double> all{m.messages,
                            m.tcp_bytes,
                            m.tcp_segments,
                            m.log_records,
                            m.log_commits,
                            static_cast<double>(coordinators.written_bytes) / count,
                            coordinators.cpu_seconds * 1e6 / count,
                            cpu("participants"),
                            cpu("initiators")};
    if (m.usage.count("postgresql") > 0) all.push_back(cpu("postgresql"));
    return all;
  };
  const std::vector<double> f = values(floor);
  const std::vector<double> e = values(engine);
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i].floor.push_back(f[i]);
    table[i].engine.push_back(e[i]);
  }
}

nlohmann::json WorkJson(const std::vector<Work>& table) {
  nlohmann::json json = nlohmann::json::array();
  for (const Work& work : table)
    json.push_back(
        {{"what", work.name}, {"floor", Median(work.floor)}, {"engine", Median(work.engine)}});
  return json;
}

void PrintWork(const char* title, const std::vector<Work>& table) {
  std::printf("\nper transaction, %-18s %10s %10s\n", title, "floor", "assentd");
  for (const Work& work : table)
    std::printf("  %-32s %10.2f %10.2f\n", work.name.c_str(), Median(work.floor),
                Median(work.engine));
}

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
  std::vector<Work> many;
  std::vector<Work> one;
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
    AddWork(many, floor, engine);
    AddWork(one, floor_single, engine_single);
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
  out["work"] = WorkJson(many);
  out["work_one_in_flight"] = WorkJson(one);
  if (json) {
    std::cout << out.dump() << "\n";
    return failed ? 1 : 0;
  }
  PrintWork(("with " + std::to_string(load.in_flight)).c_str(), many);
  PrintWork("with 1", one);
  std::printf(
      "\nthroughput ratio %.2f (%.2f to %.2f), latency ratio %.2f (%.2f to %.2f); medians of %d "
      "rounds\n",
      throughput.median(), throughput.low(), throughput.high(), latency.median(), latency.low(),
      latency.high(), rounds);
  return failed ? 1 : 0;
}

}  // namespace assent::bench
