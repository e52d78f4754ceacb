#include "coordinator/log/memory/memory_log.h"

#include <utility>

namespace assent::log {
namespace {

std::unique_ptr<MemoryStore> MakeStore(std::shared_ptr<MemoryDisk> disk,
                                       const MemoryLogOptions& options) {
  return std::make_unique<MemoryStore>(
      std::move(disk), MemoryStoreOptions{.slots_count = options.slots_count,
                                          .max_finished_rows = options.max_finished_rows,
                                          .retention_age = options.retention_age,
                                          .mono_now_ms = options.mono_now_ms,
                                          .unix_now_ms = options.unix_now_ms});
}

QueuedLogOptions QueueOptions(const MemoryLogOptions& options) {
  QueuedLogOptions queue = {.max_queued_entries = options.max_queued_entries,
                            .unix_now_ms = options.unix_now_ms};
  if (!queue.unix_now_ms) {
    queue.unix_now_ms = [now = std::int64_t{0}]() mutable { return ++now; };
  }
  return queue;
}

}  // namespace

MemoryLog::MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryLogOptions options)
    : QueuedLog(MakeStore(std::move(disk), options), QueueOptions(options)),
      rows_(static_cast<MemoryStore&>(store())),
      inline_completion_(options.inline_completion) {}

MemoryLog::~MemoryLog() {
  if (killed_ || !rows_.begun()) return;
  while (Step()) {
  }
}

Result<Joined> MemoryLog::Join(SlotEvents& events) {
  events_ = &events;
  return QueuedLog::Join(events);
}

// The first slots are loaded at once, whoever takes the steps.
void MemoryLog::OnQueued() {
  if (stepping_ || (rows_.begun() && !inline_completion_)) return;
  while (Step()) {
  }
}

void MemoryLog::Sync() {
  stepping_ = true;
  Commit();
  (void)AnswerReads();
  stepping_ = false;
}

bool MemoryLog::Step() {
  if (killed_) return false;
  stepping_ = true;
  bool any = Write();
  any = any || Unanswered();
  Commit();
  any = AnswerReads() || any;
  stepping_ = false;
  return any;
}

void MemoryLog::SetFull(Full full) {
  rows_.SetFull(full);
  Publish();
}

void MemoryLog::Kill() {
  killed_ = true;
  Abandon();
}

void MemoryLog::Fence(const Status& why) {
  rows_.SetFenced();
  Poison(why);
}

}  // namespace assent::log
