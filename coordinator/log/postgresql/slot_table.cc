#include "coordinator/log/postgresql/slot_table.h"

#include <algorithm>
#include <utility>

#include "coordinator/base/clock.h"

namespace assent::log {
namespace {

// The first serial of a moment; the last is one below that of the next.
std::uint64_t FirstOf(std::int64_t ms, Slot slot) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 0)) << kSerialMsShift |
         static_cast<std::uint64_t>(slot) << kSerialSlotShift;
}

constexpr std::uint64_t kLastCount = (1U << kSerialSlotShift) - 1;

void RaiseTo(std::atomic<std::uint64_t>& value, std::uint64_t least) {
  std::uint64_t seen = value.load(std::memory_order_relaxed);
  while (seen < least && !value.compare_exchange_weak(seen, least)) {
  }
}

}  // namespace

SlotTable::SlotTable(Slot slots_count, std::function<std::int64_t()> unix_now_ms)
    : slots_count_(slots_count),
      unix_now_ms_(unix_now_ms ? std::move(unix_now_ms) : &base::UnixNowMs),
      cells_(std::make_unique<Cell[]>(slots_count)) {}

void SlotTable::Assign(SlotGrant grant, std::int64_t floor_ms) {
  RaiseTo(cells_[grant.slot].last, FirstOf(floor_ms, grant.slot) | kLastCount);
  cells_[grant.slot].epoch.store(grant.slot_epoch, std::memory_order_release);
}

void SlotTable::Drop(Slot slot) { cells_[slot].epoch.store(0, std::memory_order_release); }

std::uint64_t SlotTable::Next(Slot slot) {
  const std::int64_t limit = limit_ms();
  const std::uint64_t now = FirstOf(std::min(SerialMs(unix_now_ms_()), limit), slot);
  std::atomic<std::uint64_t>& last = cells_[slot].last;
  std::uint64_t seen = last.load(std::memory_order_relaxed);
  for (;;) {
    // Behind a full moment comes the next one.
    const std::uint64_t after =
        (seen & kLastCount) == kLastCount ? FirstOf(MsOfSerial(seen) + 1, slot) : seen + 1;
    const std::uint64_t next = std::max(after, now);
    if (MsOfSerial(next) > limit) return 0;
    if (last.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return next;
  }
}

void SlotTable::NoteSerial(Slot slot, std::uint64_t serial) { RaiseTo(cells_[slot].last, serial); }

std::int64_t SlotTable::HighestMs() const {
  std::int64_t highest = 0;
  for (Slot slot = 0; slot < slots_count_; ++slot) {
    if (Has(slot)) highest = std::max(highest, LastMs(slot));
  }
  return highest;
}

std::int64_t SlotTable::LastMs(Slot slot) const {
  return MsOfSerial(cells_[slot].last.load(std::memory_order_relaxed));
}

}  // namespace assent::log
