#pragma once

// Durable facts, behind a small interface. The log stores one row per unfinished transaction (an
// immutable spec, a mutable state, both opaque bytes encoded by core) and one row per finished one
// until retention removes it. It knows nothing of protocols; it knows what is on the platter.
//
// Invariant: a callback that reports a position as durable is called only after a commit under full
// synchronisation has returned success, and positions become durable in order.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/life.h"

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
  // Names the row. Unique for ever, increasing in the order of beginning; chosen by the engine from
  // Recovered::next_serial on.
  std::uint64_t serial = 0;
  // 1 for kBegin, then one more with each write of the row. A mismatch means that two writers own
  // it: the log poisons itself.
  std::uint64_t version = 0;
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
};

// A finished row, as found.
struct FinishedRow {
  std::uint64_t serial = 0;
  std::string gid;
  std::string spec;
  std::string state;
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
  std::uint64_t position = 0;        // of this batch; dense, from 1 in each life
  std::int64_t durable_unix_ms = 0;  // when the commit returned
  std::vector<RefusedEntry> refused;
};

// What a start found.
struct Recovered {
  std::uint32_t coordinator_id = 0;  // drawn once per log, kept for ever
  std::uint64_t epoch = 0;           // this life's (life.h): above the last, and already durable
  std::uint64_t next_serial = 1;
  std::uint64_t live_rows = 0;
  std::uint64_t finished_rows = 0;
  // The epochs of this log's own lives, rising, this one the last: the newest kMaxLivesCount. What
  // began in a life that is not among them may have ended there too, unknown to this log: it comes
  // from another copy of it, or was too long ago.
  std::vector<std::uint64_t> lives;
};

struct Stats {
  std::uint64_t records = 0;        // entries written since the start
  std::uint64_t commits = 0;        // group commits since the start
  std::uint64_t finished_rows = 0;  // retained now
  std::uint64_t file_bytes = 0;     // database and WAL
  std::uint64_t queued_entries = 0;
  bool full = false;      // the last append found no space
  bool poisoned = false;  // an I/O error happened; see kUnknownOutcome
};

// Thread-safety: Recover first, once, from one thread; then everything from any thread. Callbacks
// run on the log's own thread, in order, must be quick and must not call back into the log
// synchronously waiting for it.
class Log {
 public:
  virtual ~Log() = default;  // drains what was appended, then closes

  // Replays every unfinished row, oldest first, checks all of them, then makes a new epoch durable.
  // Nothing may be sent to anybody before it returns OK. kDataLoss names the damaged row; `visit`
  // may end the replay by returning a failure.
  virtual Result<Recovered> Recover(const std::function<Status(const LiveRow&)>& visit) = 0;

  // Writes the batch atomically, in one commit with whatever else is queued, and then reports.
  // Batches are written in the order of the calls.
  virtual void Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) = 0;

  // The finished row of a gid, or kNotFound.
  virtual void Find(std::string gid, std::function<void(Result<FinishedRow>)> done) = 0;

  // Up to `max_rows` finished rows with serials below `before_serial` (0: no bound), highest first.
  virtual void Scan(std::uint64_t before_serial, std::size_t max_rows,
                    std::function<void(Result<std::vector<FinishedRow>>)> done) = 0;

  virtual Stats GetStats() const = 0;
};

}  // namespace assent::log
