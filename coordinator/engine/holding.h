#pragma once

// A slot of the log of which this shard serves the transactions, or its part of them.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_map.h>

#include <assent/slot.h>

#include "coordinator/core/types.h"
#include "coordinator/engine/adopted.h"
#include "coordinator/engine/live.h"

namespace assent::engine {

struct Holding {
  //  (elsewhere) ──taken up──► kServing ──given up──► kParting ──all ended, or time is up──►
  //  kClosed ──everybody has been told, and the log has answered all writes──► (elsewhere)
  //
  // kParting: nothing new begins. kClosed: nothing of it is moved on, handed to the log or sent.
  enum class State : std::uint8_t { kServing, kParting, kClosed };

  Holding(Slot s, std::uint64_t epoch, std::string why)
      : slot(s), slot_epoch(epoch), damage(std::move(why)) {}
  bool closed() const { return state == State::kClosed; }

  const Slot slot;
  std::uint64_t slot_epoch;
  const std::string damage;      // not empty: nothing of it is served, and why
  std::uint64_t generation = 0;  // of the store that it was loaded from
  State state = State::kServing;
  core::MonoTime until = core::kNever;  // kParting
  std::function<void()> left;           // told when it is gone
  std::size_t unanswered = 0;           // entries that the log has
  // By gid, which is the transaction's own.
  absl::flat_hash_map<std::string_view, std::unique_ptr<Live>> live;
  Adopted adopted;
  std::map<std::string, std::string, std::less<>> aside;  // by gid: what is said of it
};

}  // namespace assent::engine
