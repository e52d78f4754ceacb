#include "tools/assent-sim/commands.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <nlohmann/json.hpp>

namespace assent::sim {
namespace {

constexpr std::size_t kShowFailures = 5;

}  // namespace

void PrintTrace(const std::vector<std::string>& trace) {
  for (const std::string& line : trace) std::printf("%s\n", line.c_str());
}

int ReportCampaign(const CampaignOptions& options, bool json) {
  const bool full = options.form == Form::kFull;
  const CampaignReport report = RunCampaign(options);
  const std::vector<std::string> missed = report.marks.Missed();
  const double rate =
      report.seconds > 0 ? static_cast<double>(report.schedules) / report.seconds : 0;
  if (json) {
    nlohmann::ordered_json out{{"schedules", report.schedules},
                               {"violations", report.failures.size()},
                               {"schedules_per_second", rate},
                               {"marks_missed", missed},
                               {"seed", options.seed},
                               {"form", full ? "full" : "lite"},
                               {"coordinators", options.coordinators},
                               {"events", report.events},
                               {"repeated", report.repeated},
                               {"threads", options.threads},
                               {"seconds", report.seconds},
                               {"cpu_seconds", report.cpu_seconds}};
    for (std::size_t i = 0; i < Marks::kCount; ++i)
      out["marks"][MarkCounts::Name(i)] = report.marks[i];
    out["failures"] = nlohmann::json::array();
    for (const Failure& failure : report.failures)
      out["failures"].push_back({{"seed", failure.seed}, {"what", failure.what}});
    std::printf("%s\n", out.dump().c_str());
    return report.failures.empty() ? 0 : 1;
  }
  std::printf(
      "%llu schedules (%llu events) in %.1f s on %u threads: %.0f a second, %.0f a second of "
      "processor time; %zu violations; %llu "
      "run twice and compared\n",
      static_cast<unsigned long long>(report.schedules),
      static_cast<unsigned long long>(report.events), report.seconds, options.threads, rate,
      static_cast<double>(report.schedules) / report.cpu_seconds, report.failures.size(),
      static_cast<unsigned long long>(report.repeated));
  std::printf("marks: %zu of %zu reached\n", Marks::kCount - missed.size(), Marks::kCount);
  for (const std::string& mark : missed) std::printf("  missed %s\n", mark.c_str());
  for (std::size_t i = 0; i < std::min(report.failures.size(), kShowFailures); ++i) {
    const Failure& failure = report.failures[i];
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(failure.seed),
                failure.what.c_str());
    if (i > 0) continue;
    const ReplayReport replay = Replay(failure.seed, options.form, options.coordinators, true);
    std::printf("options: %s\n", replay.options.c_str());
    PrintTrace(replay.trace);
    if (options.planted) continue;  // `replay` has no bug in it: it would find nothing
    const std::string several =
        options.coordinators == 0 ? "" : " --coordinators " + std::to_string(options.coordinators);
    std::printf("again:   assent-sim replay %llu --trace%s%s\n",
                static_cast<unsigned long long>(failure.seed), full ? " --full" : "",
                several.c_str());
  }
  return report.failures.empty() ? 0 : 1;
}

int ReportExploration(const ExplorerOptions& options, bool json) {
  const ExplorerReport report = Explore(options);
  if (json) {
    nlohmann::ordered_json out{{"points", report.points},
                               {"pairs", report.pairs},
                               {"violations", report.findings.size()},
                               {"interleavings", report.interleavings},
                               {"incomplete", report.incomplete},
                               {"scenarios", report.scenarios},
                               {"seconds", report.seconds},
                               {"cpu_seconds", report.cpu_seconds}};
    for (const auto& [name, count] : report.orders) {
      out["orders"][name] = {{"walked", count.runs},
                             {"redundant", count.redundant},
                             {"complete", count.complete},
                             {"misfortunes", count.misfortunes},
                             {"early_timers", count.early_timers}};
    }
    out["findings"] = nlohmann::json::array();
    for (std::size_t i = 0; i < std::min(report.findings.size(), std::size_t{100}); ++i)
      out["findings"].push_back(
          {{"where", report.findings[i].where}, {"what", report.findings[i].what}});
    std::printf("%s\n", out.dump().c_str());
    return report.findings.empty() ? 0 : 1;
  }
  std::printf(
      "%llu scenarios in %.1f s: %llu crash points, %llu pairs, %llu interleavings (%llu scenarios "
      "cut off); %zu violations\n",
      static_cast<unsigned long long>(report.scenarios), report.seconds,
      static_cast<unsigned long long>(report.points), static_cast<unsigned long long>(report.pairs),
      static_cast<unsigned long long>(report.interleavings),
      static_cast<unsigned long long>(report.incomplete), report.findings.size());
  for (const auto& [name, count] : report.orders) {
    std::printf(
        "  orders of %-16s %8llu walked, %8llu given up as equal to one of these; at most %llu "
        "misfortunes and %llu timers among the messages; %s\n",
        (name + ":").c_str(), static_cast<unsigned long long>(count.runs),
        static_cast<unsigned long long>(count.redundant),
        static_cast<unsigned long long>(count.misfortunes),
        static_cast<unsigned long long>(count.early_timers),
        count.complete ? "all" : "CUT OFF by --max-interleavings");
  }
  for (std::size_t i = 0; i < std::min(report.findings.size(), kShowFailures); ++i) {
    const ExplorerFinding& finding = report.findings[i];
    std::printf("%s\n  again: assent-sim exhaustive --replay '%s'\n", finding.what.c_str(),
                finding.where.c_str());
    if (i > 0) continue;
    PrintTrace(ReplayExploration(finding.where).trace);
  }
  return report.findings.empty() ? 0 : 1;
}

}  // namespace assent::sim
