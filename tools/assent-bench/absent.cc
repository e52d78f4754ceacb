// What many that wait for a participant who is not there do to those who are well, and what looking
// at them costs everybody.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/report.h"
#include "tools/assent-bench/side.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kFirstPages = 21;
constexpr double kQuietSeconds = 3;
constexpr std::chrono::milliseconds kScreenPeriod(200);
constexpr std::chrono::milliseconds kFiguresPeriod(10);

double MillisSince(Clock::time_point began) {
  return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
}

enum class Looks { kNowhere, kAtFigures, kAtFiguresAndList };

// Asks again and again: for figures, as often as a monitoring that is in a hurry; or for them and
// the first page, as an operator's screen does.
class Looker {
 public:
  Looker(Side& side, Looks looks)
      : thread_([this, &side, looks] {
          const Asker asker(side.endpoint());
          const Clock::duration period =
              looks == Looks::kAtFigures ? kFiguresPeriod : kScreenPeriod;
          for (auto next = Clock::now(); !stop_; next += period) {
            (void)asker.Ask();
            v1::ListRequest request;
            if (looks == Looks::kAtFiguresAndList) (void)side.Page(request);
            PassUntil(std::min(next + period, Clock::now() + period));
          }
        }) {}
  ~Looker() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

void BeginAbsent(Side& side, std::uint64_t transactions, nlohmann::json& out) {
  const auto began = Clock::now();
  out["waiting"] = side.BeginAbsent(transactions);
  out["begin_seconds"] = MillisSince(began) / 1000;
  const Asker asker(side.endpoint());
  const std::uint64_t before = asker.Ask().records;
  Pass(std::chrono::duration<double>(kQuietSeconds));
  out["records_while_nothing_happens"] = asker.Ask().records - before;
}

void List(Side& side, nlohmann::json& out) {
  std::vector<double> first;
  for (int i = 0; i < kFirstPages; ++i) {
    v1::ListRequest request;
    const auto began = Clock::now();
    (void)side.Page(request);
    first.push_back(MillisSince(began));
  }
  out["first_page_ms"] = Median(first);
  v1::ListRequest request;
  request.set_page_size(1000);
  std::set<std::string> gids;
  std::uint64_t rows = 0;
  std::uint64_t pages = 0;
  const auto began = Clock::now();
  do {
    const v1::ListReply page = side.Page(request);
    for (const v1::Transaction& row : page.transactions()) {
      gids.insert(row.gid());
      ++rows;
    }
    ++pages;
  } while (!request.page_token().empty());
  out["all_pages_ms"] = MillisSince(began);
  out["pages"] = pages;
  out["rows"] = rows;
  out["distinct_rows"] = gids.size();
}

}  // namespace

int BesideAbsent(const Load& wanted, std::uint64_t transactions, int rounds, bool json) {
  Load load = wanted;
  if (load.rate <= 0) load.rate = 500;
  nlohmann::json out{{"transactions", transactions}, {"rate", load.rate}, {"rounds", rounds}};
  Side without(load);
  Side with(load);
  BeginAbsent(with, transactions, out);
  List(with, out);
  struct Case {
    const char* name;
    Side& side;
    Looks looks;
    std::vector<double> p50, p99, longest;
  };
  std::vector<Case> cases{{"without", without, Looks::kNowhere, {}, {}, {}},
                          {"with", with, Looks::kNowhere, {}, {}, {}},
                          {"with_and_figures", with, Looks::kAtFigures, {}, {}, {}},
                          {"with_and_looked_at", with, Looks::kAtFiguresAndList, {}, {}, {}}};
  for (int round = 0; round < rounds; ++round) {
    for (Case& one : cases) {
      ShowProgress(one.name, round, rounds);
      std::unique_ptr<Looker> looker;
      if (one.looks != Looks::kNowhere) looker = std::make_unique<Looker>(one.side, one.looks);
      const auto latency = Histogram::FromJson(one.side.Initiate(load).at("latency"));
      one.p50.push_back(static_cast<double>(latency.Percentile(0.5)) / 1000);
      one.p99.push_back(static_cast<double>(latency.Percentile(0.99)) / 1000);
      one.longest.push_back(static_cast<double>(latency.max()) / 1000);
    }
  }
  EndProgress();
  // Of each round, so that a machine that drifts does so for all.
  const auto ratio = [&](const Case& one) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < one.p99.size(); ++i) ratios.push_back(one.p99[i] / cases[0].p99[i]);
    return Median(ratios);
  };
  for (const Case& one : cases) {
    out[one.name] = {{"p50_ms", Median(one.p50)},
                     {"p99_ms", Median(one.p99)},
                     {"longest_ms", Median(one.longest)},
                     {"p99_ratio", ratio(one)}};
  }
  if (json) {
    std::cout << out.dump() << "\n";
    return 0;
  }
  std::printf("%llu wait for a participant that is not there; records written in %.0f s: %llu\n",
              out["waiting"].get<unsigned long long>(), kQuietSeconds,
              out["records_while_nothing_happens"].get<unsigned long long>());
  std::printf("list: first page %.2f ms, all %llu pages %.0f ms\n",
              out["first_page_ms"].get<double>(), out["pages"].get<unsigned long long>(),
              out["all_pages_ms"].get<double>());
  for (const Case& one : cases) {
    std::printf("%-20s p50 %.2f ms, p99 %.2f ms (ratio %.2f), longest %.1f ms\n", one.name,
                Median(one.p50), Median(one.p99), ratio(one), Median(one.longest));
  }
  return 0;
}

}  // namespace assent::bench
