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
  std::uint64_t Generation() override;
  void Append(std::vector<log::Entry> entries, std::uint64_t batch) override;
  void Find(std::string gid, std::uint64_t token) override;
  void Send(std::vector<transport::Command> commands) override;
  void GiveWay(engine::GiveWayRequest request) override;
  void Waiting(const std::string& service, std::int64_t more) override;
  void Fatal(const Status& status) override;

 private:
  log::Log& log();

  Coordinator& owner_;
  const std::size_t shard_;
};

struct Coordinator::Life {
  Life(Sim& sim, Coordinator& owner, const std::shared_ptr<log::MemoryDisk>& disk,
       std::uint64_t life_number);
  ~Life();
  void MakeLog(Sim& sim, const std::shared_ptr<log::MemoryDisk>& disk);
  void MakeShards(Sim& sim, Coordinator& owner);
  static transport::DispatcherLimits Limits(const Options& options) {
    transport::DispatcherLimits limits;
    if (options.router_queue != 0) limits.max_queued_count = options.router_queue;
    return limits;
  }

  const std::uint64_t number;
  std::uint64_t epoch = 0;
  bool fatal = false;

  std::unique_ptr<log::MemoryLog> log;  // of a coordinator that has one for itself
  std::unique_ptr<Cluster> cluster;     // ... or shares one
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
