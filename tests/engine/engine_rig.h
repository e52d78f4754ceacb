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

// What coordinators share: the rows of all of them. The log in memory is single-threaded; the
// shards are not.
struct SharedRows {
  explicit SharedRows(Slot slots_count)
      : log(std::make_shared<log::MemoryDisk>(),
            log::MemoryLogOptions{.rows = {.slots_count = slots_count}}) {}
  std::recursive_mutex mutex;  // who is answered may ask again
  log::MemoryLog log;
  std::optional<log::Joined> joined;  // by the first who did
};

// One coordinator's log, of which others may have some of the slots.
class LockedLog final : public log::Log {
 public:
  explicit LockedLog(Slot slots_count = 1) : LockedLog(std::make_shared<SharedRows>(slots_count)) {}
  explicit LockedLog(std::shared_ptr<SharedRows> rows) : rows_(std::move(rows)) {}

  log::SlotEvents* events_ = nullptr;
  std::atomic<int> released_ = 0;
  // From the start; nothing: all.
  std::optional<std::vector<log::SlotGrant>> grants_;
  std::vector<log::DamagedSlot> damaged_;
  std::vector<std::vector<Slot>> loads_;
  std::atomic<bool> away_ = false;
  std::atomic<std::int64_t> answered_boot_ms_ = 0;
  std::function<void(Slot)> on_released_;
  // What is appended waits until LetGo.
  std::atomic<bool> holding_ = false;

  void LetGo() {
    const std::lock_guard lock(rows_->mutex);
    holding_ = false;
    for (const auto& append : std::exchange(held_, {})) append();
  }

  Result<log::Joined> Join(log::SlotEvents& events) override {
    const std::lock_guard lock(rows_->mutex);
    events_ = &events;
    if (!rows_->joined) {
      Result<log::Joined> joined = rows_->log.Join(events);
      if (!joined.ok()) return joined;
      rows_->joined = *std::move(joined);
    }
    log::Joined joined = *rows_->joined;
    if (grants_) joined.slots = *grants_;
    return joined;
  }
  void Load(std::vector<Slot> slots, LiveVisitor visit,
            std::function<void(log::Loaded)> done) override {
    const std::lock_guard lock(rows_->mutex);
    loads_.push_back(slots);
    std::vector<log::DamagedSlot> damaged;
    for (const log::DamagedSlot& one : damaged_) {
      if (std::count(slots.begin(), slots.end(), one.slot) > 0) damaged.push_back(one);
    }
    rows_->log.Load(std::move(slots), std::move(visit),
                    [damaged, done = std::move(done)](log::Loaded loaded) {
                      loaded.damaged = damaged;
                      done(std::move(loaded));
                    });
  }
  void Release(Slot slot, std::function<void(Status)> done) override {
    {
      const std::lock_guard lock(rows_->mutex);
      rows_->log.Release(slot, std::move(done));
    }
    ++released_;
    if (on_released_) on_released_(slot);
  }
  void Drain(std::function<void(Status)> done) override {
    const std::lock_guard lock(rows_->mutex);
    rows_->log.Drain(std::move(done));
  }
  std::uint64_t NextSerial(Slot slot) override { return rows_->log.NextSerial(slot); }
  void Append(std::vector<log::Entry> batch, std::function<void(log::AppendResult)> done) override {
    const std::lock_guard lock(rows_->mutex);
    if (holding_) {
      return held_.push_back(
          [this, batch, done = std::move(done)] { rows_->log.Append(batch, done); });
    }
    rows_->log.Append(std::move(batch), std::move(done));
  }
  void Find(std::string gid, std::function<void(Result<log::Found>)> done) override {
    const std::lock_guard lock(rows_->mutex);
    rows_->log.Find(std::move(gid), std::move(done));
  }
  void Scan(std::uint64_t before_serial, std::size_t max_rows,
            std::function<void(Result<std::vector<log::FinishedRow>>)> done) override {
    const std::lock_guard lock(rows_->mutex);
    rows_->log.Scan(before_serial, max_rows, std::move(done));
  }
  log::Stats GetStats() const override {
    const std::lock_guard lock(rows_->mutex);
    log::Stats stats = rows_->log.GetStats();
    stats.away = away_;
    stats.answered_boot_ms = answered_boot_ms_;
    return stats;
  }

 private:
  const std::shared_ptr<SharedRows> rows_;
  std::vector<std::function<void()>> held_;
};

// What a participant says that has done it.
inline transport::Reply DoneReply(const transport::Command& command) {
  transport::Reply reply;
  reply.gid = command.gid;
  reply.branch = command.branch;
  reply.operation = command.operation;
  reply.attempt = command.attempt;
  reply.result = core::AttemptResult::kDone;
  return reply;
}

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
