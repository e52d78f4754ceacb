#pragma once

// When whom to wake: an indexed binary heap of timers, without a clock and without a thread (the
// habit is KJ's). Setting, moving and cancelling cost O(log n); memory is one entry per armed
// timer, whatever happened before.

#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/core/types.h"

namespace assent::engine {

// Embedded in what is to be woken. Must be cancelled before it dies.
struct Timer {
  static constexpr std::size_t kIdle = std::numeric_limits<std::size_t>::max();
  core::MonoTime when = core::kNever;
  std::size_t slot = kIdle;
  void* owner = nullptr;
  ~Timer() { ASSENT_CHECK(slot == kIdle); }
};

class TimerQueue {
 public:
  // Arms or moves a timer; kNever cancels it.
  void Set(Timer& timer, core::MonoTime when) {
    if (when == core::kNever) return Cancel(timer);
    timer.when = when;
    if (timer.slot == Timer::kIdle) {
      heap_.push_back(&timer);
      timer.slot = heap_.size() - 1;
    }
    Down(Up(timer.slot));
  }

  void Cancel(Timer& timer) {
    if (timer.slot == Timer::kIdle) return;
    const std::size_t slot = timer.slot;
    timer.slot = Timer::kIdle;
    timer.when = core::kNever;
    Timer* last = heap_.back();
    heap_.pop_back();
    if (last == &timer) return;
    Place(last, slot);
    Down(Up(slot));
  }

  // The earliest moment; kNever when nothing is armed.
  core::MonoTime Next() const { return heap_.empty() ? core::kNever : heap_.front()->when; }

  // The earliest timer if it is due, disarmed; else nullptr.
  Timer* PopDue(core::MonoTime now) {
    if (heap_.empty() || heap_.front()->when > now) return nullptr;
    Timer* due = heap_.front();
    Cancel(*due);
    return due;
  }

  std::size_t size() const { return heap_.size(); }

 private:
  void Place(Timer* timer, std::size_t slot) {
    heap_[slot] = timer;
    timer->slot = slot;
  }
  std::size_t Up(std::size_t slot) {
    while (slot > 0 && heap_[slot]->when < heap_[(slot - 1) / 2]->when) {
      Swap(slot, (slot - 1) / 2);
      slot = (slot - 1) / 2;
    }
    return slot;
  }
  void Down(std::size_t slot) {
    for (;;) {
      std::size_t least = slot;
      for (std::size_t child = 2 * slot + 1; child <= 2 * slot + 2 && child < heap_.size();
           ++child) {
        if (heap_[child]->when < heap_[least]->when) least = child;
      }
      if (least == slot) return;
      Swap(slot, least);
      slot = least;
    }
  }
  void Swap(std::size_t a, std::size_t b) {
    Timer* held = heap_[a];
    Place(heap_[b], a);
    Place(held, b);
  }

  std::vector<Timer*> heap_;
};

}  // namespace assent::engine
