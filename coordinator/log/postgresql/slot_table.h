#pragma once

// Which slots this member has, and the serials that it gives in them. Shared by its lanes, which
// write, and by whoever watches the store and learns what is whose.
//
//   serial = milliseconds since 2020 (41 bits) << 22 | slot (10) << 12 | count (12)
//
// Within a slot they rise, whatever the clock does; no two members ever give the same, because one
// gives none beyond the limit that its last beat made durable, and the next owner of the slot
// begins above that.
//
// Everything from any thread.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <assent/slot.h>

#include "coordinator/log/log.h"

namespace assent::log {

inline constexpr std::int64_t kSerialsBeginUnixMs = 1'577'836'800'000;  // 2020, 1 January
inline constexpr int kSerialMsShift = 22;
inline constexpr int kSerialSlotShift = 12;

// Milliseconds since 2020, of a time and of a serial.
constexpr std::int64_t SerialMs(std::int64_t unix_ms) { return unix_ms - kSerialsBeginUnixMs; }
constexpr std::int64_t UnixMs(std::int64_t serial_ms) { return serial_ms + kSerialsBeginUnixMs; }
constexpr std::int64_t MsOfSerial(std::uint64_t serial) {
  return static_cast<std::int64_t>(serial >> kSerialMsShift);
}

class SlotTable {
 public:
  // `unix_now_ms`: empty: the machine's clock.
  explicit SlotTable(Slot slots_count, std::function<std::int64_t()> unix_now_ms = {});

  Slot slots_count() const { return slots_count_; }

  // The slot is ours, in this epoch of it, and its serials begin above `floor_ms`.
  void Assign(SlotGrant grant, std::int64_t floor_ms);
  void Drop(Slot slot);
  bool Has(Slot slot) const { return cells_[slot].epoch.load(std::memory_order_acquire) != 0; }
  // 0: not ours.
  std::uint64_t slot_epoch(Slot slot) const {
    return cells_[slot].epoch.load(std::memory_order_acquire);
  }

  // Durable with a beat of ours. Before the first there are no serials.
  void SetLimit(std::int64_t limit_ms) { limit_ms_.store(limit_ms, std::memory_order_release); }
  std::int64_t limit_ms() const { return limit_ms_.load(std::memory_order_acquire); }
  // Above every serial that the slot has ever had; 0: the limit is reached, because no beat of ours
  // has been durable for a minute.
  std::uint64_t Next(Slot slot);
  // A serial that is there already.
  void NoteSerial(Slot slot, std::uint64_t serial);
  // What the next owner begins above.
  std::int64_t LastMs(Slot slot) const;
  // Of all slots that are ours: serials go on from there, also where the clock is behind it.
  std::int64_t HighestMs() const;

  // How long the cluster has run, as of a beat of ours.
  void SetAge(std::int64_t age_ms) { age_ms_.store(age_ms, std::memory_order_release); }
  std::int64_t age_ms() const { return age_ms_.load(std::memory_order_acquire); }

  // Of the store, as the observer saw it last.
  void SetGeneration(std::uint64_t generation) {
    generation_.store(generation, std::memory_order_release);
  }
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  struct Cell {
    std::atomic<std::uint64_t> epoch = 0;
    std::atomic<std::uint64_t> last = 0;
  };

  const Slot slots_count_;
  const std::function<std::int64_t()> unix_now_ms_;
  const std::unique_ptr<Cell[]> cells_;
  std::atomic<std::int64_t> limit_ms_ = -1;
  std::atomic<std::int64_t> age_ms_ = 0;
  std::atomic<std::uint64_t> generation_ = 0;
};

}  // namespace assent::log
