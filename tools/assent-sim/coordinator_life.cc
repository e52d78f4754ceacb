#include "tools/assent-sim/coordinator_life.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "tools/assent-sim/coordinator_cluster.h"

namespace assent::sim {

namespace {

// As hasty as everything else in here.
traffic::Policies PoliciesOf(std::uint32_t drawn) {
  traffic::Policies policies;
  traffic::Policy& all = policies.all;
  if (drawn == 0) return policies;
  Dice dice(drawn);
  all.select = static_cast<traffic::Select>(dice.Below(5));
  all.breaker = {.on = true,
                 .of_service = dice.Chance(300),
                 .failure_percent = 30,
                 .slow_percent = dice.Chance(300) ? 60U : 0U,
                 .slow = core::Millis(5),
                 .window = core::Millis(dice.Between(200, 2'000)),
                 .min_calls_count = static_cast<unsigned>(dice.Between(1, 4)),
                 .open = core::Millis(dice.Between(10, 300)),
                 .probes_count = static_cast<unsigned>(dice.Between(1, 3))};
  all.limit = {.adaptive = dice.Chance(500),
               .slow_start = static_cast<std::size_t>(dice.Between(1, 4))};
  if (dice.Chance(300)) all.rate_per_second = 500;
  if (dice.Chance(300)) all.retry_percent = 20;
  return policies;
}

}  // namespace

Coordinator::Life::Life(Sim& sim, Coordinator& owner, const std::shared_ptr<log::MemoryDisk>& disk,
                        std::uint64_t life_number)
    : number(life_number),
      clock(sim),
      ears(owner),
      board(Limits(sim.options), ears, clock),
      hub({}, board),
      calls(owner),
      dialer(calls, board) {
  board.SetAlarm([&sim, life_number](core::MonoTime at) {
    if (at == core::kNever) return;
    const Time left = std::max<Time>((at - sim.Mono()).count(), 0);
    sim.After(left, EventKind::kPace, life_number);
  });
  board.SetPolicies(std::make_shared<const traffic::Policies>(PoliciesOf(sim.options.policies)));
  if (owner.place_.store == nullptr) MakeLog(sim, disk);
  MakeShards(sim, owner);
  if (owner.place_.store != nullptr) cluster = std::make_unique<Cluster>(owner, life_number);
}

Coordinator::Life::~Life() = default;

void Coordinator::Life::MakeLog(Sim& sim, const std::shared_ptr<log::MemoryDisk>& disk) {
  log::MemoryLogOptions log_options;
  log_options.inline_completion = false;
  log_options.rows.unix_now_ms = [&sim] { return sim.Wall().time_since_epoch().count(); };
  if (sim.options.retention > 0) {
    log_options.rows.retention_age =
        std::chrono::milliseconds(sim.options.retention / kMillisecond);
    log_options.rows.mono_now_ms = [&sim] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(sim.Mono().time_since_epoch())
          .count();
    };
  }
  if (sim.options.log_queue != 0) log_options.max_queued_entries = sim.options.log_queue;
  log = std::make_unique<log::MemoryLog>(disk, std::move(log_options));
}

void Coordinator::Life::MakeShards(Sim& sim, Coordinator& owner) {
  engine::ShardOptions options;
  options.on_set_aside = [&sim](const std::string& sentence) {
    sim.marks.Set(Mark::kSetAside);
    sim.Say([&] { return sentence; });
  };
  if (sim.options.max_live != 0) options.max_live_count = sim.options.max_live;
  if (sim.options.lazy_write != 0)
    options.lazy_write_delay = core::Millis(1 + sim.options.lazy_write / kMillisecond);
  options.slice_count = 2;  // recovery, and a service that is back, in several turns
  options.wave_count = 3;   // ... of which some must wait for the answers of others
  if (owner.place_.store != nullptr)
    options.farewell_time = core::Millis(1 + sim.options.lease / 2 / kMillisecond);
  for (std::uint32_t i = 0; i < sim.options.shards; ++i) {
    options.seed = sim.dice.Next();
    ports.push_back(std::make_unique<Ports>(owner, i));
    shards.push_back(std::make_unique<engine::Shard>(options, *ports.back()));
  }
  mailboxes.resize(shards.size());
  turn_at.resize(shards.size(), -1);
}

}  // namespace assent::sim
