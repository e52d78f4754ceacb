#pragma once

// What of the coordinator dies with its process.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/assent-sim/carriers.h"
#include "tools/assent-sim/coordinator.h"

namespace assent::sim {

// What shard number `shard` needs of the world.
class Coordinator::Ports final : public engine::ShardPorts {
 public:
  Ports(Coordinator& owner, std::size_t shard) : owner_(owner), shard_(shard) {}
  std::uint64_t NextSerial(Slot) override;
  void Append(std::vector<log::Entry> entries, std::uint64_t batch) override;
  void Find(std::string gid, std::uint64_t token) override;
  void Send(std::vector<transport::Command> commands) override;
  void GiveWay(engine::GiveWayRequest request) override;
  void Waiting(const std::string& service, std::int64_t more) override;
  void Fatal(const Status& status) override;

 private:
  Coordinator& owner_;
  const std::size_t shard_;
};

struct Coordinator::Life {
  Life(Sim& sim, Coordinator& owner, const std::shared_ptr<log::MemoryDisk>& disk,
       std::uint64_t life_number)
      : number(life_number),
        clock(sim),
        ears(owner),
        board(Limits(sim.options), ears, clock),
        hub({}, board),
        calls(owner, Dialled(owner)),
        dialer(Addresses(owner), calls, board) {
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
    for (std::uint32_t i = 0; i < sim.options.shards; ++i) {
      options.seed = sim.dice.Next();
      ports.push_back(std::make_unique<Ports>(owner, i));
      shards.push_back(std::make_unique<engine::Shard>(options, *ports.back()));
    }
    mailboxes.resize(shards.size());
    turn_at.resize(shards.size(), -1);
  }

  static std::vector<std::uint32_t> Dialled(const Coordinator& owner) {
    std::vector<std::uint32_t> services;
    for (std::uint32_t i = 0; i < owner.unary_.size(); ++i) {
      if (owner.unary_[i]) services.push_back(i);
    }
    return services;
  }
  static transport::UnaryDialerOptions Addresses(const Coordinator& owner) {
    transport::UnaryDialerOptions options;
    for (const std::uint32_t i : Dialled(owner)) {
      const std::string name = "s" + std::to_string(i);
      options.services[name] = {name};
    }
    return options;
  }
  static transport::DispatcherLimits Limits(const Options& options) {
    transport::DispatcherLimits limits;
    if (options.router_queue != 0) limits.max_queued_count = options.router_queue;
    return limits;
  }

  const std::uint64_t number;
  std::uint64_t epoch = 0;
  bool fatal = false;

  std::unique_ptr<log::MemoryLog> log;
  enum class LogStage : std::uint8_t { kIdle, kWriting, kSyncing };
  LogStage log_stage = LogStage::kIdle;
  bool log_again = false;
  // Rows handed to the log, and of those the ones that the next synchronisation makes durable.
  struct Appended {
    std::size_t txn;
    std::uint64_t serial;
  };
  std::vector<Appended> appended;
  std::vector<Appended> written;
  std::map<std::uint64_t, std::size_t> serials;  // of rows, to transactions

  std::vector<std::unique_ptr<Ports>> ports;
  std::vector<std::unique_ptr<engine::Shard>> shards;
  std::map<std::string, std::int64_t> waiting;  // transactions, by absent service
  std::vector<std::vector<engine::Request>> mailboxes;
  std::vector<Time> turn_at;

  const SimClock clock;
  Ears ears;
  transport::Switchboard board;
  transport::SessionHub hub;
  Calls calls;
  transport::UnaryDialer dialer;
  std::map<std::uint64_t, std::unique_ptr<Stream>> streams;  // by connection
  // The tick, by which what has expired is settled, is armed: only while something may expire.
  bool ticking = false;
  Time last_send = 0;
};

}  // namespace assent::sim
