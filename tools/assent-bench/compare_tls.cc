// The same coordinator, participants and initiators without TLS and with mutual TLS on each
// connection. Connections are made before the measured time, so that what shows is records and not
// handshakes.

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "tools/assent-bench/report.h"
#include "tools/assent-bench/work.h"

namespace assent::bench {
namespace {

double P50(const Measurement& m) {
  return static_cast<double>(std::max<std::uint64_t>(1, m.latency.Percentile(0.5)));
}

// Of all processes, for a transaction. Who else is busy on this machine changes it less than what
// passes in a second.
double CpuUs(const Measurement& m) {
  double seconds = 0;
  for (const auto& [name, usage] : m.usage) seconds += usage.cpu_seconds;
  return seconds * 1e6 / std::max<double>(1, static_cast<double>(m.committed + m.aborted));
}

// A value for each round, of both.
struct Figure {
  std::vector<double> plain;
  std::vector<double> tls;

  void Add(double without, double with) {
    plain.push_back(without);
    tls.push_back(with);
  }
  double ratio() const { return Median(tls) / std::max(1.0, Median(plain)); }
  // Of the two that followed one another.
  std::vector<double> EachRatio() const {
    std::vector<double> all;
    for (std::size_t i = 0; i < plain.size(); ++i) all.push_back(tls[i] / std::max(1.0, plain[i]));
    return all;
  }
  double low() const {
    const auto all = EachRatio();
    return *std::min_element(all.begin(), all.end());
  }
  double high() const {
    const auto all = EachRatio();
    return *std::max_element(all.begin(), all.end());
  }
};

class Comparison {
 public:
  Comparison(const Load& load, int rounds) : many_(load), one_(load), rounds_(rounds) {
    one_.in_flight = 1;
  }

  void Round(int number, bool json) {
    const auto [plain, tls] = Both(many_, number);
    const auto [plain_one, tls_one] = Both(one_, number);
    throughput_.Add(plain.throughput(), tls.throughput());
    latency_.Add(P50(plain_one), P50(tls_one));
    cpu_.Add(CpuUs(plain), CpuUs(tls));
    work_many_.Add(plain, tls);
    work_one_.Add(plain_one, tls_one);
    if (json) return;
    std::printf(
        "plain %8.0f/s  TLS %8.0f/s  ratio %.2f    one in flight: plain p50 %5.0f us  TLS %5.0f "
        "us  ratio %.2f\n",
        plain.throughput(), tls.throughput(), throughput_.EachRatio().back(), P50(plain_one),
        P50(tls_one), latency_.EachRatio().back());
    std::fflush(stdout);
  }

  nlohmann::json ToJson() const {
    nlohmann::json out{{"workload", many_.workload},
                       {"branches", many_.branches},
                       {"payload", many_.payload_bytes},
                       {"in_flight", many_.in_flight},
                       {"ratio_throughput", throughput_.ratio()},
                       {"ratio_throughput_spread", {throughput_.low(), throughput_.high()}},
                       {"plain_throughput", Median(throughput_.plain)},
                       {"tls_throughput", Median(throughput_.tls)},
                       {"ratio_cpu", cpu_.ratio()},
                       {"ratio_cpu_spread", {cpu_.low(), cpu_.high()}},
                       {"plain_cpu_us", Median(cpu_.plain)},
                       {"tls_cpu_us", Median(cpu_.tls)},
                       {"ratio_latency", latency_.ratio()},
                       {"ratio_latency_spread", {latency_.low(), latency_.high()}},
                       {"plain_p50_us", Median(latency_.plain)},
                       {"tls_p50_us", Median(latency_.tls)},
                       {"work", work_many_.ToJson("plain", "tls")},
                       {"work_one_in_flight", work_one_.ToJson("plain", "tls")}};
    for (std::size_t i = 0; i < throughput_.plain.size(); ++i) {
      out["rounds"].push_back({{"plain_throughput", throughput_.plain[i]},
                               {"tls_throughput", throughput_.tls[i]},
                               {"ratio_throughput", throughput_.EachRatio()[i]},
                               {"ratio_cpu", cpu_.EachRatio()[i]},
                               {"plain_p50_us", latency_.plain[i]},
                               {"tls_p50_us", latency_.tls[i]},
                               {"ratio_latency", latency_.EachRatio()[i]}});
    }
    return out;
  }

  void Print() const {
    work_many_.Print("with " + std::to_string(many_.in_flight), "plain", "TLS");
    work_one_.Print("with 1", "plain", "TLS");
    std::printf(
        "\nwith mutual TLS, of the same without; medians of %d rounds, and single rounds:\n",
        rounds_);
    PrintRatio("throughput", throughput_);
    PrintRatio("processor time of all", cpu_);
    PrintRatio("p50 of one in flight", latency_);
  }

  bool failed() const { return failed_; }

 private:
  struct Pair {
    Measurement plain;
    Measurement tls;
  };

  static void PrintRatio(const char* what, const Figure& figure) {
    std::printf("  %-22s %.2f (%.2f to %.2f)\n", what, figure.ratio(), figure.low(), figure.high());
  }

  // Who is first changes with each round: the second finds a warmer machine, or a more tired disk.
  Pair Both(const Load& load, int round) {
    Pair pair;
    for (const bool tls : {round % 2 == 1, round % 2 == 0})
      (tls ? pair.tls : pair.plain) = Take(load, tls, round);
    return pair;
  }

  Measurement Take(Load load, bool tls, int round) {
    const char* name = tls ? "mutual TLS" : "plain";
    load.tls = tls;
    load.title = "round " + std::to_string(round + 1) + " of " + std::to_string(rounds_) + ", " +
                 name + ", " + std::to_string(load.in_flight) + " in flight";
    Measurement m = Measure(load, Kind::kEngine, "");
    if (m.failed > 0) std::fprintf(stderr, "assent-bench: %s: %s\n", name, m.first_failure.c_str());
    failed_ = failed_ || m.failed > 0;
    return m;
  }

  const Load many_;
  Load one_;
  const int rounds_;
  Figure throughput_;
  Figure latency_;
  Figure cpu_;
  WorkTable work_many_;
  WorkTable work_one_;
  bool failed_ = false;
};

}  // namespace

int CompareTls(const Load& load, int rounds, bool json) {
  Comparison comparison(load, rounds);
  for (int round = 0; round < rounds; ++round) comparison.Round(round, json);
  if (json) {
    std::cout << comparison.ToJson().dump() << "\n";
  } else {
    comparison.Print();
  }
  return comparison.failed() ? 1 : 0;
}

}  // namespace assent::bench
