// assent-bench: what the coordinator does on this machine, and what the machine could do.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/synchronization/mutex.h>
#include <nlohmann/json.hpp>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {

std::string ServiceName(int participant) { return "bench-" + std::to_string(participant); }

std::string ProtocolOf(const Load& load) {
  return load.workload == "2pc" || load.workload == "saga" ? load.workload : "tcc";
}

std::vector<std::string> LoadArguments(const Load& load) {
  return {"--workload",     load.workload,
          "--branches",     std::to_string(load.branches),
          "--participants", std::to_string(load.participants),
          "--initiators",   std::to_string(load.initiators),
          "--in-flight",    std::to_string(load.in_flight),
          "--rate",         std::to_string(load.rate),
          "--payload",      std::to_string(load.payload_bytes),
          "--seconds",      std::to_string(load.seconds),
          "--warmup",       std::to_string(load.warmup_seconds),
          "--wait",         load.wait};
}

namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0 : n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

nlohmann::json ToJson(const Measurement& m) {
  nlohmann::json json{{"throughput", m.throughput()},
                      {"committed", m.committed},
                      {"aborted", m.aborted},
                      {"failed", m.failed},
                      {"seconds", m.seconds},
                      {"log_records_per_transaction", m.log_records},
                      {"group_commit_records", m.group_size},
                      {"log_commits", m.log_commits}};
  if (m.failed > 0) json["first_failure"] = m.first_failure;
  json["latency_us"] = {{"p50", m.latency.Percentile(0.5)},
                        {"p90", m.latency.Percentile(0.9)},
                        {"p99", m.latency.Percentile(0.99)},
                        {"p99.9", m.latency.Percentile(0.999)},
                        {"max", m.latency.max()}};
  const double count = std::max<double>(1, static_cast<double>(m.committed + m.aborted));
  for (const auto& [name, usage] : m.usage) {
    json["processes"][name] = {
        {"cpu_us_per_transaction", usage.cpu_seconds * 1e6 / count},
        {"bytes_written_per_transaction", static_cast<double>(usage.written_bytes) / count},
        {"peak_kib", usage.peak_kib}};
  }
  return json;
}

void Print(const std::string& title, const Measurement& m) {
  std::printf(
      "%-10s %9.0f transactions/s   p50 %6.2f ms  p90 %6.2f  p99 %6.2f  p99.9 %6.2f  max %6.2f\n",
      title.c_str(), m.throughput(), static_cast<double>(m.latency.Percentile(0.5)) / 1e3,
      static_cast<double>(m.latency.Percentile(0.9)) / 1e3,
      static_cast<double>(m.latency.Percentile(0.99)) / 1e3,
      static_cast<double>(m.latency.Percentile(0.999)) / 1e3,
      static_cast<double>(m.latency.max()) / 1e3);
  const double count = std::max<double>(1, static_cast<double>(m.committed + m.aborted));
  for (const auto& [name, usage] : m.usage) {
    std::printf("  %-12s %7.1f us CPU and %6.0f bytes written per transaction, %5.0f MiB at most\n",
                name.c_str(), usage.cpu_seconds * 1e6 / count,
                static_cast<double>(usage.written_bytes) / count,
                static_cast<double>(usage.peak_kib) / 1024);
  }
  if (m.log_commits > 0) {
    std::printf("  log          %.2f records per transaction, %.1f records per commit\n",
                m.log_records, m.group_size);
  }
  if (m.aborted > 0)
    std::printf("  aborted      %llu\n", static_cast<unsigned long long>(m.aborted));
  if (m.failed > 0)
    std::printf("  FAILED       %llu, first: %s\n", static_cast<unsigned long long>(m.failed),
                m.first_failure.c_str());
}

// Floor and engine in turn, for throughput and for latency. The ratio of each pair, so that a drifting machine cancels out.
int Compare(Load load, int rounds, bool json) {
  nlohmann::json out;
  std::vector<double> throughput_ratios;
  std::vector<double> latency_ratios;
  for (int round = 0; round < rounds; ++round) {
    if (isatty(2) != 0) std::fprintf(stderr, "\rround %d of %d", round + 1, rounds);
    const Measurement floor = Measure(load, true, {});
    const Measurement engine = Measure(load, false, {});
    Load single = load;
    single.in_flight = 1;
    const Measurement floor_single = Measure(single, true, {});
    const Measurement engine_single = Measure(single, false, {});
    throughput_ratios.push_back(engine.throughput() / std::max(1.0, floor.throughput()));
    latency_ratios.push_back(
        static_cast<double>(engine_single.latency.Percentile(0.5)) /
        static_cast<double>(std::max<std::uint64_t>(1, floor_single.latency.Percentile(0.5))));
    out["rounds"].push_back({{"floor_throughput", floor.throughput()},
                             {"throughput", engine.throughput()},
                             {"floor_p50_us", floor_single.latency.Percentile(0.5)},
                             {"p50_us", engine_single.latency.Percentile(0.5)},
                             {"ratio_throughput", throughput_ratios.back()},
                             {"ratio_latency", latency_ratios.back()}});
  }
  if (isatty(2) != 0) std::fprintf(stderr, "\n");
  const auto [low_t, high_t] =
      std::minmax_element(throughput_ratios.begin(), throughput_ratios.end());
  const auto [low_l, high_l] = std::minmax_element(latency_ratios.begin(), latency_ratios.end());
  out["ratio_throughput"] = Median(throughput_ratios);
  out["ratio_latency"] = Median(latency_ratios);
  if (json) {
    std::cout << out.dump() << "\n";
    return 0;
  }
  for (const auto& r : out["rounds"]) {
    std::printf(
        "floor %8.0f/s  assentd %8.0f/s  ratio %.2f    one in flight: floor p50 %5.0f us  assentd "
        "%5.0f us  ratio %.2f\n",
        r["floor_throughput"].get<double>(), r["throughput"].get<double>(),
        r["ratio_throughput"].get<double>(), r["floor_p50_us"].get<double>(),
        r["p50_us"].get<double>(), r["ratio_latency"].get<double>());
  }
  std::printf(
      "throughput ratio %.2f (%.2f to %.2f), latency ratio %.2f (%.2f to %.2f); medians of %d "
      "rounds\n",
      Median(throughput_ratios), *low_t, *high_t, Median(latency_ratios), *low_l, *high_l, rounds);
  return 0;
}

void AddLoad(CLI::App& app, Load& load) {
  app.add_option("--workload", load.workload,
                 "tcc, 2pc, saga, order, interactive, unary or mixed-faults")
      ->check(
          CLI::IsMember({"tcc", "2pc", "saga", "order", "interactive", "unary", "mixed-faults"}))
      ->capture_default_str();
  app.add_option("--branches", load.branches, "Branches of a transaction")
      ->check(CLI::Range(1, 128))
      ->capture_default_str();
  app.add_option("--participants", load.participants, "Participant processes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--initiators", load.initiators, "Initiator processes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--in-flight", load.in_flight, "Closed loop: transactions under way")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--rate", load.rate, "Open loop: transactions per second (0: closed loop)")
      ->check(CLI::Range(0.0, 1e7))
      ->capture_default_str();
  app.add_option("--payload", load.payload_bytes, "Bytes of payload per branch")
      ->check(CLI::Range(0, 1024 * 1024))
      ->capture_default_str();
  app.add_option("--seconds", load.seconds, "Measured time")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  app.add_option("--warmup", load.warmup_seconds, "Time before it")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app.add_option("--wait", load.wait, "What the initiator waits for: decided or completed")
      ->check(CLI::IsMember({"decided", "completed"}))
      ->capture_default_str();
}

int Main(int argc, char** argv) {
  CLI::App app(
      "assent-bench measures assentd with real processes over loopback: coordinator, participants, "
      "initiators.\n\n"
      "Example:\n  assent-bench run --workload tcc --in-flight 1024 --seconds 10\n"
      "  assent-bench compare --rounds 5 --json");
  app.require_subcommand(1);
  Load load;
  bool json = false;
  int rounds = 5;
  int number = 0;
  std::string endpoint;
  std::string folder;
  const auto add = [&](const char* name, const char* help, bool shown = true) {
    CLI::App* sub = app.add_subcommand(name, help);
    AddLoad(*sub, load);
    sub->add_flag("--json", json, "One JSON object on standard output");
    sub->add_option("--folder", folder,
                    "Where the data lies; default: a temporary folder, removed afterwards");
    if (!shown) {
      sub->group("");
      sub->add_option("--number", number);
      sub->add_option("--endpoint", endpoint);
    }
    return sub;
  };
  CLI::App* run = add("run", "Measure assentd");
  CLI::App* floor = add(
      "floor",
      "Measure the floor: the same processes, messages, frames and rows, with no engine between");
  CLI::App* compare = add("compare", "Floor and assentd in turn, and their ratios");
  compare->add_option("--rounds", rounds, "How often")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI::App* participant = add("participant", "A process of the fleet", false);
  CLI::App* unary = add("unary-participant", "A process of the fleet", false);
  CLI::App* initiator = add("initiator", "A process of the fleet", false);
  CLI::App* coordinator = add("floor-coordinator", "A process of the fleet", false);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (participant->parsed()) return RunParticipant(load, number, endpoint, folder);
  if (unary->parsed()) return RunUnaryParticipant(endpoint);
  if (initiator->parsed()) return RunInitiator(load, endpoint);
  if (coordinator->parsed()) return RunFloorCoordinator(endpoint, folder);
  const bool threaded = load.workload == "interactive" || load.workload == "unary";
  if (threaded && load.in_flight > 256) load.in_flight = 256;  // a thread each
  if (compare->parsed()) return Compare(load, rounds, json);
  if (floor->parsed() && (threaded || load.workload == "order" || load.workload == "saga" ||
                          load.workload == "mixed-faults")) {
    std::fprintf(stderr, "assent-bench: the floor is that of tcc and 2pc\n");
    return 2;
  }
  const Measurement measured = Measure(load, floor->parsed(), folder);
  if (json) {
    std::cout << ToJson(measured).dump() << "\n";
  } else {
    Print(run->parsed() ? load.workload : "floor", measured);
  }
  return measured.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace assent::bench

int main(int argc, char** argv) {
  // As assentd does, so that the floor is not slowed down by what the daemon is spared.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return assent::bench::Main(argc, argv);
}
