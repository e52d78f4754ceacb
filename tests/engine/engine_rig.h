#pragma once

// What an engine with its threads stands between, in tests: a log and a transport.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/log/memory/memory_log.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// The log in memory is single-threaded; the shards are not.
// A coordinator's, of a log of which others may have some of the slots.
class LockedLog : public log::Log {
 public:
  explicit LockedLog(Slot slots_count = 1,
                     std::shared_ptr<log::MemoryDisk> disk = std::make_shared<log::MemoryDisk>())
      : log_(std::move(disk), log::MemoryLogOptions{.rows = {.slots_count = slots_count}}) {}
  log::SlotEvents* events_ = nullptr;
  std::atomic<int> released_ = 0;
  // From the start; nothing: all.
  std::optional<std::vector<log::SlotGrant>> grants_;
  std::vector<log::DamagedSlot> damaged_;
  std::vector<std::vector<Slot>> loads_;
  std::atomic<bool> away_ = false;
  std::atomic<std::int64_t> answered_boot_ms_ = 0;

  Result<log::Joined> Join(log::SlotEvents& events) override {
    const std::lock_guard lock(mutex_);
    events_ = &events;
    Result<log::Joined> joined = log_.Join(events);
    if (joined.ok() && grants_) joined->slots = *grants_;
    return joined;
  }
  void Load(std::vector<Slot> slots, LiveVisitor visit,
            std::function<void(log::Loaded)> done) override {
    const std::lock_guard lock(mutex_);
    loads_.push_back(slots);
    std::vector<log::DamagedSlot> damaged;
    for (const log::DamagedSlot& one : damaged_) {
      if (std::count(slots.begin(), slots.end(), one.slot) > 0) damaged.push_back(one);
    }
    log_.Load(std::move(slots), std::move(visit),
              [damaged, done = std::move(done)](log::Loaded loaded) {
                loaded.damaged = damaged;
                done(std::move(loaded));
              });
  }
  void Release(Slot slot, std::function<void(Status)> done) override {
    const std::lock_guard lock(mutex_);
    log_.Release(slot, std::move(done));
    ++released_;
  }
  void Drain(std::function<void(Status)> done) override {
    const std::lock_guard lock(mutex_);
    log_.Drain(std::move(done));
  }
  std::uint64_t NextSerial(Slot slot) override { return log_.NextSerial(slot); }
  void Append(std::vector<log::Entry> batch, std::function<void(log::AppendResult)> done) override {
    const std::lock_guard lock(mutex_);
    log_.Append(std::move(batch), std::move(done));
  }
  void Find(std::string gid, std::function<void(Result<log::Found>)> done) override {
    const std::lock_guard lock(mutex_);
    log_.Find(std::move(gid), std::move(done));
  }
  void Scan(std::uint64_t before_serial, std::size_t max_rows,
            std::function<void(Result<std::vector<log::FinishedRow>>)> done) override {
    const std::lock_guard lock(mutex_);
    log_.Scan(before_serial, max_rows, std::move(done));
  }
  log::Stats GetStats() const override {
    const std::lock_guard lock(mutex_);
    log::Stats stats = log_.GetStats();
    stats.away = away_;
    stats.answered_boot_ms = answered_boot_ms_;
    return stats;
  }

 private:
  mutable std::mutex mutex_;
  log::MemoryLog log_;
};

// Keeps what is sent until the test takes it.
class Outbox final : public transport::Transport {
 public:
  void Send(std::vector<transport::Command> commands) override {
    const std::lock_guard lock(mutex_);
    for (transport::Command& command : commands) commands_.push_back(std::move(command));
    arrived_.notify_all();
  }
  // So many commands, or fewer if they do not come.
  std::vector<transport::Command> Take(std::size_t count) {
    std::unique_lock lock(mutex_);
    (void)arrived_.wait_for(lock, std::chrono::seconds(30),
                            [&] { return commands_.size() >= count; });
    return std::exchange(commands_, {});
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return commands_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<transport::Command> commands_;
};

}  // namespace assent::engine
