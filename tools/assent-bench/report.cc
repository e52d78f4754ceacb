#include "tools/assent-bench/report.h"

#include <algorithm>
#include <cstdio>

namespace assent::bench {
namespace {

double Ms(std::uint64_t us) { return static_cast<double>(us) / 1000; }
double Count(const Measurement& m) {
  return std::max<double>(1, static_cast<double>(m.committed + m.aborted));
}
using Ull = unsigned long long;

}  // namespace

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
                      {"refused", m.refused},
                      {"seconds", m.seconds},
                      {"ended_in_whole_run", m.ended},
                      {"longest_gap_ms", m.longest_gap_ms},
                      {"messages_per_transaction", m.messages},
                      {"tcp_bytes_per_transaction", m.tcp_bytes},
                      {"tcp_segments_per_transaction", m.tcp_segments},
                      {"log_records_per_transaction", m.log_records},
                      {"log_commits_per_transaction", m.log_commits},
                      {"group_commit_records", m.group_size},
                      {"log_commits", m.commits},
                      {"log_checkpoints", m.checkpoints},
                      {"log_file_bytes", m.file_bytes},
                      {"peak_kib_each", m.peak_kib_each}};
  if (m.failed > 0) json["first_failure"] = m.first_failure;
  if (m.local_group > 0) json["operations_per_local_commit"] = m.local_group;
  for (const auto& [name, calls] : m.syscalls) json["syscalls_per_transaction"][name] = calls;
  const auto histogram = [](const Histogram& h) {
    return nlohmann::json{{"p50", h.Percentile(0.5)},
                          {"p90", h.Percentile(0.9)},
                          {"p99", h.Percentile(0.99)},
                          {"p99.9", h.Percentile(0.999)},
                          {"max", h.max()}};
  };
  json["latency_us"] = histogram(m.latency);
  if (m.refused > 0) json["refusal_us"] = histogram(m.refusal);
  for (const auto& [name, usage] : m.usage) {
    json["processes"][name] = {
        {"cpu_us_per_transaction", usage.cpu_seconds * 1e6 / Count(m)},
        {"cpu_seconds", usage.cpu_seconds},
        {"bytes_written_per_transaction", static_cast<double>(usage.written_bytes) / Count(m)},
        {"resident_kib", usage.resident_kib},
        {"peak_kib", usage.peak_kib}};
  }
  return json;
}

void Print(const std::string& title, const Measurement& m) {
  std::printf(
      "%-10s %9.0f transactions/s   p50 %6.2f ms  p90 %6.2f  p99 %6.2f  p99.9 %6.2f  max %6.2f\n",
      title.c_str(), m.throughput(), Ms(m.latency.Percentile(0.5)), Ms(m.latency.Percentile(0.9)),
      Ms(m.latency.Percentile(0.99)), Ms(m.latency.Percentile(0.999)), Ms(m.latency.max()));
  for (const auto& [name, usage] : m.usage) {
    std::printf(
        "  %-12s %7.1f us CPU and %6.0f bytes to files per transaction, %5.0f MiB at most\n",
        name.c_str(), usage.cpu_seconds * 1e6 / Count(m),
        static_cast<double>(usage.written_bytes) / Count(m),
        static_cast<double>(usage.peak_kib) / 1024);
  }
  std::printf("  wire         %.1f messages, %.0f bytes in %.2f TCP segments per transaction\n",
              m.messages, m.tcp_bytes, m.tcp_segments);
  if (m.commits > 0) {
    std::printf(
        "  log          %.2f records per transaction, %.1f records per commit, %llu commits, %llu "
        "checkpoints\n",
        m.log_records, m.group_size, static_cast<Ull>(m.commits), static_cast<Ull>(m.checkpoints));
  }
  if (m.local_group > 0)
    std::printf("  participants %.1f operations per local commit\n", m.local_group);
  for (const auto& [name, calls] : m.syscalls)
    std::printf("  coordinator  %.3f %s per transaction\n", calls, name.c_str());
  std::printf("  longest gap  %.1f ms between two that ended\n", m.longest_gap_ms);
  if (m.aborted > 0) std::printf("  aborted      %llu\n", static_cast<Ull>(m.aborted));
  if (m.refused > 0)
    std::printf("  refused      %llu, p50 after %.2f ms, p99 %.2f\n", static_cast<Ull>(m.refused),
                Ms(m.refusal.Percentile(0.5)), Ms(m.refusal.Percentile(0.99)));
  if (m.failed > 0)
    std::printf("  FAILED       %llu, first: %s\n", static_cast<Ull>(m.failed),
                m.first_failure.c_str());
}

}  // namespace assent::bench
