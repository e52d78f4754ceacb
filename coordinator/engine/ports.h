#pragma once

// What a shard needs of the world, and how it is set.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/core/transaction.h"
#include "coordinator/core/types.h"
#include "coordinator/engine/alarm.h"
#include "coordinator/engine/events.h"
#include "coordinator/engine/requests.h"
#include "coordinator/log/log.h"
#include "coordinator/tracing/span.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// Every call returns at once; answers come back through Shard::Handle.
class ShardPorts {
 public:
  virtual ~ShardPorts() = default;
  // Above every serial that the slot has ever had, and no other slot's. 0: none can be given now.
  virtual std::uint64_t NextSerial(Slot slot) = 0;
  // Of the store that is appended to (log.h).
  virtual std::uint64_t Generation() { return 0; }
  // Answered by AppendedRequest with the same batch number, in order.
  virtual void Append(std::vector<log::Entry> entries, std::uint64_t batch) = 0;
  // Answered by FoundRequest with the same token.
  virtual void Find(std::string gid, std::uint64_t token) = 0;
  virtual void Send(std::vector<transport::Command> commands) = 0;
  // To the shard that owns request.gid, as a request of a later turn.
  virtual void GiveWay(GiveWayRequest request) = 0;
  // So many transactions more (or fewer) than before wait for a service of which nobody can be
  // reached.
  virtual void Waiting(const std::string& service, std::int64_t more) = 0;
  // The log cannot be trusted any more: the process must end without another word to anybody.
  virtual void Fatal(const Status& status) = 0;
};

struct ShardOptions {
  std::size_t max_live_count = 1'000'000;
  // What initiators and participants have attached to unfinished transactions (payloads, results,
  // headers, labels). Beyond it nothing begins and no branch is added.
  std::size_t max_live_bytes = std::size_t{1} << 30;
  // After a start, when a service is back, and when the time of many comes at once, so many
  // transactions go on in one turn: others are served between, and what all of them write and send
  // at once stays small.
  std::size_t slice_count = 256;
  // While so many of those whose service is back are not answered the next ones wait, but no longer
  // than this.
  std::size_t wave_count = 256;
  core::Millis wave_time{100};
  // How long a record that gates nothing may wait for a batch to ride with.
  core::Millis lazy_write_delay{20};
  // After the disk was found full.
  core::Millis full_retry_delay{250};
  // In a slot that is wanted elsewhere nothing begins, and what has begun goes on for so long.
  core::Millis farewell_time{2000};
  std::uint64_t seed = 1;  // of the jitter
  // Told, in a sentence with its name, of each row of the log that cannot be carried on. On the
  // shard's thread.
  std::function<void(const std::string& sentence)> on_set_aside{};
  // Told of each that begins to need a person (also once more after a start, or in another
  // coordinator), and of each bad end. On the shard's thread, which it may not keep.
  std::function<void(Alarm alarm, const core::Transaction& txn, const core::Now& now)> on_alarm{};
  // Told of each span that has ended (engine/spans.h), on the shard's thread, which it may not
  // keep.
  // Empty: there are none, and none is made.
  std::function<void(tracing::Span&& span)> on_span{};
  // Of the transactions that come without a trace, how many get one: 0 (none) to 1 (all).
  double trace_sample_ratio = 1;
  // Where what happens is told. nullptr: nowhere. Outlives the shard.
  Events* events = nullptr;
  // Where what each initiator has under way is counted, with other shards' transactions. nullptr:
  // nowhere, and nobody has a limit. Outlives the shard.
  Initiators* initiators = nullptr;
};

}  // namespace assent::engine
