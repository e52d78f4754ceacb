#include "coordinator/log/memory/memory_log.h"

#include <utility>

namespace assent::log {
namespace {

QueuedLogOptions QueueOptions(const MemoryLogOptions& options) {
  QueuedLogOptions queue = {.max_queued_entries = options.max_queued_entries,
                            .unix_now_ms = options.rows.unix_now_ms};
  if (!queue.unix_now_ms) {
    queue.unix_now_ms = [now = std::int64_t{0}]() mutable { return ++now; };
  }
  return queue;
}

}  // namespace

MemoryLog::MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryLogOptions options)
    : QueuedLog(std::make_unique<MemoryStore>(std::move(disk), options.rows),
                QueueOptions(options)),
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
