// 1, 2, ... coordinators in turn on one database whose commits are what is waited for.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "tools/assent-bench/report.h"

namespace assent::bench {
namespace {

double CpuUs(const Measurement& m, const Usage& usage) {
  const auto count = std::max<double>(1, static_cast<double>(m.committed + m.aborted));
  return usage.cpu_seconds * 1e6 / count;
}

// What so many coordinators did, a value for each round.
struct Row {
  std::map<std::string, std::vector<double>> values;

  void Add(const Measurement& m, double one_per_second) {
    values["throughput"].push_back(m.throughput());
    values["of_one"].push_back(m.throughput() / std::max(1.0, one_per_second));
    values["p50_ms"].push_back(static_cast<double>(m.latency.Percentile(0.5)) / 1000);
    values["p99_ms"].push_back(static_cast<double>(m.latency.Percentile(0.99)) / 1000);
    values["records_per_commit"].push_back(m.group_size);
    double cpu_seconds = 0;
    for (const auto& [name, usage] : m.usage) {
      values["cpu_us " + name].push_back(CpuUs(m, usage));
      cpu_seconds += usage.cpu_seconds;
    }
    values["cores"].push_back(cpu_seconds / m.seconds);
  }
  double median(const std::string& name) const { return Median(values.at(name)); }
};

nlohmann::json ToJson(const Row& row, int coordinators) {
  nlohmann::json json{{"coordinators", coordinators}};
  for (const auto& [name, values] : row.values) {
    if (name.starts_with("cpu_us ")) {
      json["cpu_us"][name.substr(name.find(' ') + 1)] = Median(values);
    } else {
      json[name] = {{"median", Median(values)},
                    {"low", *std::min_element(values.begin(), values.end())},
                    {"high", *std::max_element(values.begin(), values.end())}};
    }
  }
  return json;
}

void PrintRow(const Row& row, int coordinators) {
  std::printf(
      "%d %-12s %8.0f/s   %.2f of one   p50 %6.2f ms  p99 %6.2f   %5.1f records a commit   "
      "%.2f cores\n",
      coordinators, coordinators == 1 ? "coordinator" : "coordinators", row.median("throughput"),
      row.median("of_one"), row.median("p50_ms"), row.median("p99_ms"),
      row.median("records_per_commit"), row.median("cores"));
  for (const auto& [name, values] : row.values) {
    if (name.starts_with("cpu_us "))
      std::printf("  %-16s %7.1f us CPU a transaction\n", name.c_str() + 7, Median(values));
  }
}

}  // namespace

int Scale(const Load& load, int rounds, bool json) {
  std::vector<Row> rows(static_cast<std::size_t>(load.coordinators));
  bool failed = false;
  for (int round = 0; round < rounds; ++round) {
    double one_per_second = 0;
    for (int count = 1; count <= load.coordinators; ++count) {
      Load some = load;
      some.coordinators = count;
      some.in_flight = count * load.in_flight;
      some.title = "round " + std::to_string(round + 1) + " of " + std::to_string(rounds) + ", " +
                   std::to_string(count) + (count == 1 ? " coordinator" : " coordinators");
      const Measurement m = Measure(some, Kind::kEngine, "");
      if (m.failed > 0) std::fprintf(stderr, "assent-bench: %s\n", m.first_failure.c_str());
      failed = failed || m.failed > 0;
      if (count == 1) one_per_second = m.throughput();
      rows[static_cast<std::size_t>(count) - 1].Add(m, one_per_second);
    }
  }
  nlohmann::json out{{"workload", load.workload},
                     {"in_flight_each", load.in_flight},
                     {"commit_delay_ms", load.commit_delay_ms},
                     {"rounds", rounds}};
  for (int count = 1; count <= load.coordinators; ++count) {
    const Row& row = rows[static_cast<std::size_t>(count) - 1];
    out["rows"].push_back(ToJson(row, count));
    if (!json) PrintRow(row, count);
  }
  if (json) {
    std::cout << out.dump() << "\n";
  } else {
    std::printf("\n%d in flight at each, commits %.0f ms longer; medians of %d rounds\n",
                load.in_flight, load.commit_delay_ms, rounds);
  }
  return failed ? 1 : 0;
}

}  // namespace assent::bench
