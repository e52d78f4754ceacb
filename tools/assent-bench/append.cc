// What the fence costs: the same groups of rows, as a lane of a coordinator writes them, and as
// somebody would who is alone. In turn, and on one connection: where the kernel puts two processes
// matters more than what is measured.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/slot.h>

#include "coordinator/log/postgresql/group.h"
#include "coordinator/log/postgresql/lane.h"
#include "coordinator/log/postgresql/member_store.h"
#include "coordinator/log/postgresql/slot_table.h"
#include "tools/assent-bench/child.h"
#include "tools/assent-bench/database.h"
#include "tools/assent-bench/report.h"
#include "tools/assent-bench/shapes.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

using Clock = std::chrono::steady_clock;
using log::Entry;
using log::EntryKind;

constexpr std::array kRows{1, 32, 128};
constexpr std::int64_t kUnixMs = 1'700'000'000'000;

void Check(const Status& status, const char* what) {
  if (!status.ok()) Die(std::string("append: ") + what + ": " + status.message());
}

class Appends {
 public:
  Appends(const std::string& url, Shape shape) : shape_(std::move(shape)) {
    const log::ConnectionOptions connection{.url = url};
    log::PostgresMemberStore member(
        {.connection = connection, .schema = {}, .origin = {}, .serial_now_ms = [] {
           return log::SerialMs(kUnixMs);
         }});
    const Result<cluster::Joined> joined = member.Join({.node = "bench", .address = "bench:1"});
    Check(joined.status(), "join");
    slots_count_ = joined->slots_count;
    lane_ = std::make_unique<log::Lane>(log::LaneOptions{.connection = connection});
    Check(lane_->Open(joined->epoch, 0), "open the lane");
  }

  // So many transactions begin, change and end, a group each; how long that took.
  double Write(int count, bool fenced) {
    const std::uint64_t first = next_serial_;
    next_serial_ += static_cast<std::uint64_t>(count);
    double seconds = 0;
    for (const EntryKind kind : {EntryKind::kBegin, EntryKind::kUpdate, EntryKind::kEnd}) {
      std::vector<Entry> batch;
      for (std::uint64_t serial = first; serial < next_serial_; ++serial)
        batch.push_back(MakeEntry(kind, serial));
      const auto began = Clock::now();
      WriteGroup(batch, fenced);
      seconds += std::chrono::duration<double>(Clock::now() - began).count();
    }
    return seconds;
  }

 private:
  Entry MakeEntry(EntryKind kind, std::uint64_t serial) const {
    // As they are issued.
    std::array<char, 40> gid{};
    std::snprintf(gid.data(), gid.size(), "0001-00000001-%016llx",
                  static_cast<unsigned long long>(serial));
    Entry entry{.kind = kind, .serial = serial, .gid = gid.data(), .spec = {}, .state = {}};
    entry.slot = SlotOf(entry.gid, slots_count_);
    entry.version = kind == EntryKind::kBegin ? 1 : kind == EntryKind::kUpdate ? 2 : 3;
    if (kind != EntryKind::kUpdate) entry.spec = shape_.spec;
    entry.state = kind == EntryKind::kBegin    ? shape_.begun
                  : kind == EntryKind::kUpdate ? shape_.decided
                                               : shape_.finished;
    if (kind == EntryKind::kEnd) entry.outcome = 1;
    if (kind == EntryKind::kEnd) entry.finished_unix_ms = kUnixMs;
    return entry;
  }

  void WriteGroup(const std::vector<Entry>& batch, bool fenced) {
    const std::vector<const std::vector<Entry>*> batches{&batch};
    log::Group group(
        batches, unwritten_, [](Slot) { return true; }, 0);
    Check(group.Plan({}), "plan");
    std::vector<log::Answer> answers;
    if (fenced) {
      log::GroupResult result =
          lane_->Commit([&group](log::Connection& connection) { group.AddTo(connection); });
      if (result.what != log::GroupResult::What::kCommitted) Die("append: a group was refused");
      answers = std::move(result.answers);
    } else {
      const Result<log::Connection*> ready = lane_->ForReading();
      Check(ready.status(), "the lane");
      log::Connection& alone = **ready;
      alone.Add("begin", {});
      group.AddTo(alone);
      alone.Add("commit", {});
      answers = alone.Exchange();
      for (const log::Answer& answer : answers) Check(answer.status("a group"), "write");
      answers.erase(answers.begin());
      answers.pop_back();
    }
    log::GroupOutcome outcome;
    group.Take(answers, outcome);
  }

  const Shape shape_;
  assent::Slot slots_count_ = 1;
  std::unique_ptr<log::Lane> lane_;
  std::uint64_t next_serial_ = 1;
  const log::Unwritten unwritten_;
};

struct Rates {
  std::vector<double> fenced;  // rows a second, for each round
  std::vector<double> alone;
  std::vector<double> ratio;
};

void TakeRound(Appends& appends, int rows, double seconds, Rates& rates) {
  const auto until = Clock::now() + std::chrono::duration<double>(seconds);
  double fenced = 0;
  double alone = 0;
  double written = 0;
  do {
    alone += appends.Write(rows, false);
    fenced += appends.Write(rows, true);
    written += 3 * rows;
  } while (Clock::now() < until);
  rates.fenced.push_back(written / fenced);
  rates.alone.push_back(written / alone);
  rates.ratio.push_back(fenced / alone);
}

}  // namespace

int Append(const Load& load, int rounds, bool json) {
  if (load.log.empty()) Die("append needs --log postgresql://…");
  const Database database(load.log, load.commit_delay_ms);
  std::array<Rates, kRows.size()> rates;
  {
    Appends appends(database.url(), ShapeOf(load));
    for (int round = 0; round <= rounds; ++round) {
      for (std::size_t i = 0; i < kRows.size(); ++i) {
        Rates warm_up;
        TakeRound(appends, kRows[i], load.seconds, round == 0 ? warm_up : rates[i]);
      }
    }
  }
  nlohmann::json out{{"rounds", rounds}};
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    const auto [low, high] = std::minmax_element(rates[i].ratio.begin(), rates[i].ratio.end());
    const double ratio = Median(rates[i].ratio);
    if (!json)
      std::printf(
          "%4d rows a group: fenced %8.0f rows/s, alone %8.0f, the fence takes %.2f times as long "
          "(%.2f to %.2f)\n",
          kRows[i], Median(rates[i].fenced), Median(rates[i].alone), ratio, *low, *high);
    out["groups"].push_back({{"rows", kRows[i]},
                             {"fenced_per_second", Median(rates[i].fenced)},
                             {"alone_per_second", Median(rates[i].alone)},
                             {"ratio", ratio},
                             {"ratio_low", *low},
                             {"ratio_high", *high}});
  }
  if (json) std::cout << out.dump() << "\n";
  return 0;
}

}  // namespace assent::bench
