#pragma once

// Durable facts, behind a small interface. The log stores one row per unfinished transaction (an
// immutable spec, a mutable state, both opaque bytes encoded by core) and one row per finished one
// until retention removes it. It knows nothing of protocols; it knows what is durable.
//
// Invariant: a callback that reports a position as durable is called only after a commit under full
// synchronisation has returned success, and positions become durable in order.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/base/figure.h"
#include "coordinator/log/epoch.h"

namespace assent::log {

// What an entry does to its transaction's row.
enum class EntryKind : std::uint8_t {
  kBegin,   // a new unfinished row: gid, spec, state; version 1
  kUpdate,  // replaces the state of an unfinished row, if its version is the one before
  kEnd,     // moves an unfinished row to the finished ones: gid, spec, state, outcome
  kForget,  // removes a finished row before its time: gid only
};

struct Entry {
  EntryKind kind = EntryKind::kUpdate;
  // Names the row. Unique for ever, increasing in the order of beginning: from NextSerial.
  std::uint64_t serial = 0;
  // 1 for kBegin, then one more with each write of the row. A mismatch means that two writers own
  // it: the log poisons itself.
  std::uint64_t version = 0;
  Slot slot = 0;  // SlotOf(gid)
  std::string gid;
  std::string spec;   // kBegin, kEnd
  std::string state;  // kBegin, kUpdate, kEnd
  // kEnd: for listings and retention.
  std::uint8_t outcome = 0;
  std::int64_t finished_unix_ms = 0;
};

// An unfinished row, as replayed.
struct LiveRow {
  std::uint64_t serial = 0;
  std::uint64_t version = 0;
  std::string gid;
  std::string spec;
  std::string state;
  Slot slot = 0;
};

// A finished row, as found.
struct FinishedRow {
  std::uint64_t serial = 0;
  std::string gid{};
  std::string spec{};
  std::string state{};
  std::uint8_t outcome = 0;
  std::int64_t finished_unix_ms = 0;
};

// An entry that was left out of its batch while the rest was written:
//   kAlreadyExists  kBegin: a finished row holds this gid
//                   kEnd: likewise, which no check at the beginning can have let in (an older
//                   build did). Its row stays among the unfinished, with the entry's version and
//                   state: one row that cannot be moved stops nobody else
//   kNotFound       kForget of what is not there; kUpdate and kEnd of a serial whose kBegin was
//                   refused
struct RefusedEntry {
  std::size_t index = 0;
  Status status;
};

// What became of one Append.
//   ok                  all entries but the refused ones are durable
//   kResourceExhausted  the disk or the queue is full: nothing of this batch was written, and
//                       writing may work later. A batch that builds on it (a later version of one
//                       of its rows) gets the same answer, until the missing version has been
//                       appended again and written
//   kUnknownOutcome     an I/O error, or a row that somebody else wrote: it may or may not be
//                       durable. The log refuses everything from now on; the process must stop
//                       without answering anybody, and learn at its next start what is true. What
//                       was queued behind it gets the same answer
//   kUnavailable        the log was closed or is poisoned: nothing of this batch was written
struct AppendResult {
  Status status;
  std::uint64_t position = 0;        // of this batch; dense, from 1 in each epoch
  std::int64_t durable_unix_ms = 0;  // when the commit returned
  std::vector<RefusedEntry> refused;
};

// A slot and how often it has changed hands (0: of a log that has one owner, who always has it).
struct SlotGrant {
  Slot slot = 0;
  std::uint64_t slot_epoch = 0;
};

// The epochs of a log, rising, the newest kMaxEpochsCount. What began in an epoch that is not among
// them may have ended there too, unknown to this log: it comes from another copy of it, or was too
// long ago.
using Epochs = std::shared_ptr<const std::vector<std::uint64_t>>;

// What a start found.
struct Joined {
  std::uint32_t log_id = 0;        // drawn once, kept for ever; on the wire: coordinator_id
  std::uint64_t epoch = 0;         // this start's (epoch.h): above the last
  Slot slots_count = 1;            // of the log, for ever (SlotOf)
  std::vector<SlotGrant> slots{};  // this coordinator's from the start: to be loaded
  std::uint64_t next_serial = 1;   // above every serial of an earlier start in those
  Epochs epochs{};                 // this one the last
};

// What became of a gid: looked up in every row, live or finished, of every slot, in one snapshot
// that was taken after the question was asked.
struct Found {
  enum class What : std::uint8_t { kAbsent, kLive, kFinished };
  What what = What::kAbsent;
  std::uint64_t owner = 0;  // kLive: the epoch that has its slot
  FinishedRow row{};        // kFinished
  Epochs epochs{};          // as of that snapshot
};

// A slot of which a row cannot be read. It stays as it is, and nobody serves it.
struct DamagedSlot {
  Slot slot = 0;
  std::string why{};  // names the row
};
// What became of one Load.
struct Loaded {
  Status status;
  std::vector<DamagedSlot> damaged{};  // of those asked for: some of their rows have been visited
  std::uint64_t generation = 0;        // of the store, when they were read or later
};

struct Stats {
  std::uint64_t records = 0;        // entries written since the start
  std::uint64_t commits = 0;        // group commits since the start
  std::uint64_t finished_rows = 0;  // retained now
  std::uint64_t file_bytes = 0;     // database and WAL
  std::uint64_t queued_entries = 0;
  bool full = false;          // the last append found no space
  bool away = false;          // the database does not answer: what is appended waits until it does
  std::string away_why = {};  // if it is known: a clause for people
  // When the database last answered, by CLOCK_BOOTTIME; 0: a log that nobody else can take over.
  std::int64_t answered_boot_ms = 0;
  bool poisoned = false;  // an I/O error happened; see kUnknownOutcome
  // Of group commits: entries, and how long their statements and their end took. A store that sends
  // both together has all of it in the second.
  base::Sizes<std::uint64_t> group_entries{};
  base::Durations<std::uint64_t> write_after{};
  base::Durations<std::uint64_t> commit_after{};
};

// What happens to the slots of a running coordinator. Called on the log's own thread, must be
// quick; never by a log that has one owner.
class SlotEvents {
 public:
  virtual ~SlotEvents() = default;
  // The slots are this coordinator's from now on: Load them. Of one that it has already only the
  // epoch has risen, because the store may have lost a later one: its commands go with that.
  virtual void OnAssigned(const std::vector<SlotGrant>& grants) = 0;
  // Another coordinator asks for them: Release each as soon as nothing of it is under way.
  virtual void OnWanted(const std::vector<Slot>& slots) = 0;
  // This epoch is over: others have its slots. Nothing of it may be said to anybody any more; the
  // process has to end, and whatever was not answered is not known.
  virtual void OnFenced(const Status& why) = 0;
};

// Thread-safety: Join first, once, from one thread; then everything from any thread. Callbacks run
// on the log's own thread, in order, must be quick and must not call back into the log
// synchronously waiting for it.
class Log {
 public:
  using LiveVisitor = std::function<Status(const LiveRow&)>;

  virtual ~Log() = default;  // drains what was appended, then closes

  // Takes part in the log with a new epoch. Nothing may be written or said to anybody before the
  // first Load is done: the epoch may not be durable until then (a log with one owner checks all
  // of its rows before it writes anything). `events` must outlive the log.
  virtual Result<Joined> Join(SlotEvents& events) = 0;

  // Replays every unfinished row of slots that are ours, those of a slot oldest first, each
  // checked. `done` is OK after a commit of ours behind what was read: it is durable wherever that
  // commit is, and so is the epoch. `visit` may end the replay by returning a failure. kDataLoss
  // names a damaged row; a log that several coordinators may own says so of its slot alone.
  virtual void Load(std::vector<Slot> slots, LiveVisitor visit,
                    std::function<void(Loaded)> done) = 0;

  // Writes the batch atomically, in one commit with whatever else is queued, and then reports.
  // Batches are written in the order of the calls. All entries are of slots that are loaded.
  virtual void Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) = 0;

  // Gives a slot up, behind all that was appended. OK: another coordinator has it or may have it.
  virtual void Release(Slot slot, std::function<void(Status)> done) = 0;
  // Answered when all that was appended before is.
  virtual void Drain(std::function<void(Status)> done) = 0;

  virtual void Find(std::string gid, std::function<void(Result<Found>)> done) = 0;

  // Up to `max_rows` finished rows with serials below `before_serial` (0: no bound), highest first.
  virtual void Scan(std::uint64_t before_serial, std::size_t max_rows,
                    std::function<void(Result<std::vector<FinishedRow>>)> done) = 0;

  // For a kBegin in this slot: above every serial that the slot has ever had. Does not wait. 0:
  // there is none at this moment, for the store has not taken note how far this epoch's may go.
  virtual std::uint64_t NextSerial(Slot slot) = 0;

  // Of the store: rises when it may have lost what it had acknowledged, because a standby took over
  // or an older copy was put in its place. What is appended here is behind all that is ours in this
  // generation, or it is not written. 0: of a log that has one owner, who would start anew.
  virtual std::uint64_t Generation() const { return 0; }

  virtual Stats GetStats() const = 0;
};

struct Recovered : Joined {
  std::uint64_t live_rows = 0;
  std::uint64_t finished_rows = 0;
};

// Join, and Load of all slots that are this coordinator's from the start; waits.
Result<Recovered> Recover(Log& log, SlotEvents& events, const Log::LiveVisitor& visit);
// For tests and tools with a log that has one owner: nothing will happen to its slots.
Result<Recovered> Recover(Log& log, const Log::LiveVisitor& visit);

}  // namespace assent::log
