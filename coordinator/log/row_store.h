#pragma once

// What one database does for a log: rows, in local transactions. Everything else, the queue, the
// groups, their order, who is refused and when the log stops, is queued_log.h, the same for all.
//
// Single-threaded, but for NextSerial. A failure that is not named here is one after which nobody
// knows what is stored: an unknown commit is the store's to settle before it returns, and if it
// cannot, the log stops for good, and the process with it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/log.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

// What became of the entries of one group.
struct GroupOutcome {
  std::vector<std::vector<RefusedEntry>> refused;  // by batch
  std::vector<std::uint64_t> never_begun;          // serials of the refused kBegins
};

// How far a walk over the rows of a store has got: the unfinished ones first, in order.
struct WalkPlace {
  enum class Among : std::uint8_t { kLive, kFinished, kEnd };
  Among among = Among::kLive;
  Slot slot = 0;             // kLive
  std::uint64_t serial = 0;  // of the last that was seen
};
// Sees the bytes of a row; true: it has put others in their place, which mean the same.
using RowEditor =
    std::function<bool(const std::string& gid, std::string& spec, std::string& state)>;

class RowStore {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~RowStore() = default;  // writes nothing

  // Of Log. A slot that is not loaded is not written to; nor is a damaged one.
  virtual Result<Joined> Join() = 0;
  virtual Status Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
                      std::vector<DamagedSlot>& damaged) = 0;
  // Of what was loaded last: see Loaded.
  virtual std::uint64_t generation() const { return 0; }
  // kFailedPrecondition: there is nobody to give them to. They have to be loaded again.
  virtual Status Release(const std::vector<Slot>& slots) = 0;

  // Writes the batches, entry by entry and in order, into one local transaction that Commit makes
  // durable: one Write, then Commit, unless Write failed. `unwritten` tells which rows never were.
  //   kResourceExhausted   no space; the group is undone without a trace, and may be written again
  //   kFailedPrecondition  a version or serial that another writer, or a mistake, must have touched
  virtual Status Write(const std::vector<const std::vector<Entry>*>& batches,
                       const Unwritten& unwritten, GroupOutcome& outcome) = 0;
  //   kResourceExhausted   as of Write
  virtual Status Commit() = 0;
  // There is no space for what begins; what has begun may find some.
  virtual bool full() const = 0;
  // Why a failure was one: others have the slots.
  virtual bool fenced() const { return false; }
  // The database does not answer, and a call of ours waits for it. From any thread.
  virtual bool away() const { return false; }
  // See Stats. From any thread.
  virtual std::int64_t answered_boot_ms() const { return 0; }

  // Before some reads: what is stored is still where it was. Cheap.
  virtual Status BeforeReads() { return OkStatus(); }
  virtual Result<Found> Find(const std::string& gid) = 0;
  // Fewer than `max_rows` does not mean that there are no more.
  virtual Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial,
                                                std::size_t max_rows) = 0;
  // Behind some reads, before anybody hears what they found: it stands. A store that others may
  // have taken over commits something of ours here, for an owner who was deposed can still read.
  // kAborted: what was read was read elsewhere, and may be not so.
  virtual Status AfterReads() { return OkStatus(); }

  // The next rows of a walk, at most `max_rows` and about 8 MiB, of slots that are loaded. What the
  // editor changes is durable when this returns; versions, order and age stay what they are.
  // Between groups. kResourceExhausted: no space, and nothing was changed; others as of Commit.
  virtual Result<WalkPlace> Walk(const WalkPlace& from, std::size_t max_rows,
                                 const RowEditor& edit) = 0;

  // Between groups, behind their answers. Cheap when there is nothing to do.
  virtual Status Upkeep() { return OkStatus(); }
  // With nothing queued; at NextDue at the latest. True: there is more to do at once.
  virtual Result<bool> UpkeepIdle() { return false; }
  virtual Clock::time_point NextDue() const { return Clock::time_point::max(); }
  // The end of a store that never failed.
  virtual Status Close() { return OkStatus(); }

  virtual std::uint64_t NextSerial(Slot slot) = 0;
  // Sets commits, finished_rows and full.
  virtual void Describe(Stats& stats) const = 0;
};

// What is put around the store of a log when it is opened; empty: nothing.
using StoreWrap = std::function<std::unique_ptr<RowStore>(std::unique_ptr<RowStore>)>;

}  // namespace assent::log
