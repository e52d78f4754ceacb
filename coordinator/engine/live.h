#pragma once

// A live transaction: the state machine, where its writing stands, and who waits for it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/btree_map.h>

#include <assent/status.h>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/alarm.h"
#include "coordinator/engine/audience.h"
#include "coordinator/engine/timer_queue.h"

namespace assent::engine {

// Where the writing of a transaction stands. One write at a time is outstanding; what happens
// meanwhile waits for the next one.
//
//             changes           effects wait
//   kClean ────────────► kLazy ─────────────► kUrgent           to be handed to the log
//     ▲ ▲                  │ ▲                  │ ▲
//     │ │       handed over│ │durable           │ │durable
//     │ │                  ▼ │                  ▼ │
//     │ └──durable── kWriting ──► kWritingLazy ──► kWritingUrgent      the log has it
//     │                      changes        effects wait
//     └─ (gone) ◄──durable── kEnding             handed over finished: the last write
//
// Refused for want of room, each of those that the log has becomes kUrgent.
enum class WriteState : std::uint8_t {
  kClean,
  kLazy,
  kUrgent,
  kWriting,
  kWritingLazy,
  kWritingUrgent,
  kEnding
};
constexpr bool IsWriting(WriteState state) { return state >= WriteState::kWriting; }
constexpr bool IsListed(WriteState state) {
  return state == WriteState::kLazy || state == WriteState::kUrgent;
}
constexpr bool IsUrgent(WriteState state) {
  return state == WriteState::kUrgent || state == WriteState::kWritingUrgent;
}
constexpr WriteState Changed(WriteState state, bool effects_wait) {
  switch (state) {
    case WriteState::kClean:
    case WriteState::kLazy: return effects_wait ? WriteState::kUrgent : WriteState::kLazy;
    case WriteState::kWriting:
    case WriteState::kWritingLazy:
      return effects_wait ? WriteState::kWritingUrgent : WriteState::kWritingLazy;
    case WriteState::kUrgent:
    case WriteState::kWritingUrgent:
    case WriteState::kEnding: break;
  }
  return state;
}
constexpr WriteState Durable(WriteState state) {
  switch (state) {
    case WriteState::kWritingLazy: return WriteState::kLazy;
    case WriteState::kWritingUrgent: return WriteState::kUrgent;
    case WriteState::kClean:
    case WriteState::kLazy:
    case WriteState::kUrgent:
    case WriteState::kWriting:
    case WriteState::kEnding: break;
  }
  return WriteState::kClean;
}

// What counts towards ShardOptions::max_live_bytes.
std::size_t AttachedBytes(const core::TransactionSpec& spec);
std::size_t AttachedBytes(const core::BranchSpec& branch);

struct Holding;
struct Live;

// Those to whom a command of theirs could not be sent, by service and serial, until it appears or
// something else happens.
using Rooms = std::map<std::string, absl::btree_map<std::uint64_t, Live*>>;  // by service

// There may be a million of them: two kilobytes each is the limit, with all that hangs on it
// (docs/performance.md).
struct Live {
  struct Parking {
    Rooms::iterator room;
    bool absent = false;
  };
  struct Rare {  // what few transactions have
    std::vector<Parking> parkings;
    // The latest look (0: none yet) when it began to need a person, when it ceased to, when it
    // began again …
    std::vector<std::uint64_t> stuck_changes;
    Alarm told = Alarm::kNone;  // the latest, while it is so
    bool told_need = false;     // that it needs a person, among the events
  };

  Live(core::Transaction t, std::uint64_t s, Holding& h)
      : txn(std::move(t)), serial(s), holding(h) {
    timer.owner = this;
  }
  Rare& AddRare() {
    if (!rare) rare = std::make_unique<Rare>();
    return *rare;
  }

  core::Transaction txn;
  const std::uint64_t serial;
  Holding& holding;
  std::uint64_t version = 0;       // last handed to the log
  std::size_t attached_bytes = 0;  // its part of the shard's
  Timer timer;
  std::vector<core::Effect> after_next_write;
  std::vector<core::Effect> after_this_write;  // not empty: kWriting… or kEnding
  WriteState write = WriteState::kClean;
  core::Phase counted =
      core::Phase::kFinished;  // where it stands in the figures; finished: nowhere
  bool counted_resting = false;
  Audience audience;
  std::unique_ptr<Rare> rare;
};

}  // namespace assent::engine
