#pragma once

// A workload of a few lives of a log, what it should come to, and what a log was found to hold.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/log/log.h"
#include "coordinator/log/sqlite/sqlite_options.h"
#include "tests/log/sim_disk.h"

namespace assent::log {

using EntryBatch = std::vector<Entry>;

// Appended without waiting for an answer in between, so that they become one group commit.
using Group = std::vector<EntryBatch>;

struct WorkloadLife {
  std::vector<Group> groups;
  bool ends_orderly = true;  // else the process dies, and the next life finds a WAL
};

// About 40 transactions a life: begun, moved on, decided, ended, forgotten, refused; small and
// large; some in one group, most across many, some left for the next life. Serials count from 1,
// over all lives.
std::vector<WorkloadLife> MakeWorkload(std::uint64_t seed, int lives, int transactions_a_life);

// Every rule by which the log's rows change, in memory: an answer to compare with. Rows are told
// apart by a 64-bit hash over every field.
class Books {
 public:
  // The time of these tests, and what retention removes from then on, when it gets to it.
  static constexpr std::int64_t kNowMs = 2'000'000;
  static constexpr std::int64_t kRetentionMs = 1'000'000;

  // Returns the positions in the batch of the entries that the log must have refused.
  std::vector<std::size_t> Apply(const EntryBatch& batch);

  // Of all rows but those that retention may have removed.
  std::uint64_t digest() const { return digest_; }
  // The hashes of those.
  const std::set<std::uint64_t>& may_expire() const { return may_expire_; }
  std::uint64_t next_serial() const { return next_serial_; }
  std::string ToString() const;

 private:
  struct Row {
    LiveRow row;
    std::uint64_t hash = 0;
  };

  std::map<std::uint64_t, Row> live_;
  std::map<std::string, std::uint64_t> finished_;  // gid -> hash
  std::set<std::uint64_t> never_begun_;
  std::set<std::uint64_t> may_expire_;
  std::uint64_t digest_ = 0;
  std::uint64_t next_serial_ = 1;
};

std::uint64_t HashOf(const LiveRow& row);
std::uint64_t HashOf(const FinishedRow& row);

// What one start of a log told.
struct Contents {
  Status status;  // of Open or Recover; else nothing below
  Recovered recovered;
  std::vector<std::uint64_t> live;  // hashes
  std::vector<std::uint64_t> finished;
  std::string text;  // the rows, for people
};

// Appends a life's groups from the log's own thread, each when the one before is answered, so that
// what is in a group does not depend on who is faster. Batches refused for lack of space are
// appended again, until they are taken.
class Driver {
 public:
  // What has become of every batch handed over so far.
  struct History {
    std::vector<const EntryBatch*> accepted;  // in this order
    std::vector<const EntryBatch*>
        open;  // no answer, or an unknown outcome: from the first on, they may be there
    std::uint64_t refused = 0;  // times that there was no space
    bool stopped = false;       // the log has poisoned itself
    Status why;
  };

  Driver(Log& log, const WorkloadLife& life) : log_(log), life_(life) {}
  // Called on the log's thread, before a batch is appended and after it was answered with OK.
  std::function<void()> on_append;
  std::function<void()> on_accepted;
  // Returns when all is answered.
  History Run();

 private:
  void AppendGroup();
  void AppendAll(const std::vector<const EntryBatch*>& batches);
  void Answered(const EntryBatch* batch, const AppendResult& result);

  Log& log_;
  const WorkloadLife& life_;
  History history_;
  std::vector<std::vector<std::size_t>> refused_entries_;
  std::vector<const EntryBatch*> again_;
  std::size_t next_group_ = 0;
  std::size_t outstanding_ = 0;
  std::function<void()> done_;

 public:
  // Entry by entry refusals, by accepted batch.
  const std::vector<std::vector<std::size_t>>& refused_entries() const { return refused_entries_; }
};

// The options of every log of these tests.
SqliteOptions CrashOptions(const std::string& vfs);

// Opens, recovers and reads everything. `recovered` runs when Recover has returned OK; `then` on
// the open log before it is closed.
Contents StartAndRead(const SqliteOptions& options,
                      const std::function<void(const Recovered&)>& recovered = {},
                      const std::function<void(Log&, const Contents&)>& then = {});

}  // namespace assent::log
