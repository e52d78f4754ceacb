#include "tools/assent-sim/coordinator_life.h"

#include <chrono>
#include <utility>

#include "tools/assent-sim/coordinator_cluster.h"

namespace assent::sim {

Coordinator::Life::Life(Sim& sim, Coordinator& owner, const std::shared_ptr<log::MemoryDisk>& disk,
                        std::uint64_t life_number)
    : number(life_number),
      clock(sim),
      ears(owner),
      board(Limits(sim.options), ears, clock),
      hub({}, board),
      calls(owner),
      dialer(calls, board) {
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
