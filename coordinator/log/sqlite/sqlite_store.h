#pragma once

// The rows of one log file: opening and checking it, replay, writing one group, reading finished
// rows, retention. All SQL of the log is behind this class. Single-threaded; knows nothing of
// queues, callbacks or a full disk's politics.
//
// Invariant: what WriteGroup returns OK for is in the file under full synchronisation, together
// with a meta row that counts it; what it returns kResourceExhausted for has left no trace. After
// any other failure the file must not be touched any more, and this class does not.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/group_plan.h"
#include "coordinator/log/log.h"
#include "coordinator/log/retention_clock.h"
#include "coordinator/log/row_store.h"
#include "coordinator/log/sqlite/in_place.h"
#include "coordinator/log/sqlite/sqlite_backup.h"
#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_moved.h"
#include "coordinator/log/sqlite/sqlite_options.h"
#include "coordinator/log/sqlite/sqlite_rows.h"
#include "coordinator/log/sqlite/sqlite_schema.h"
#include "coordinator/log/sqlite/state_file.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

// What one commit did beside what it was asked for.
struct Done {
  std::size_t expired_by_age = 0;  // rows that retention removed
  std::size_t expired_by_size = 0;
  bool paced = false;  // more are old enough, and wait for their turn
  std::chrono::microseconds in_commit{0};
  std::size_t expired() const { return expired_by_age + expired_by_size; }
};

class SqliteStore {
 public:
  // Opens or creates the file, takes its lock, checks everything but the rows. The failures are the
  // start's: see SqliteLog::Open. `migrations` is Migrations() but in tests.
  static Result<std::unique_ptr<SqliteStore>> Open(const SqliteOptions& options,
                                                   std::span<const Migration> migrations);
  ~SqliteStore();
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  // Of Log.
  Result<Joined> Join();
  Status Load(const Log::LiveVisitor& visit);

  // Writes the batches and up to `expire_rows` removals by retention; Commit makes it durable.
  // `unwritten` tells which rows never were.
  //   kResourceExhausted  the disk is full; rolled back
  //   kFailedPrecondition a version or serial that another writer, or a mistake, must have touched;
  //     rolled back
  //   kUnknownOutcome     an I/O error
  Status WriteGroup(const std::vector<const std::vector<Entry>*>& batches,
                    const Unwritten& unwritten, std::size_t expire_rows, GroupOutcome& outcome);
  Status Commit();

  // kDataLoss: the row is damaged. kUnknownOutcome: the file cannot be read.
  Result<Found> Find(const std::string& gid);
  // Fewer than `max_rows` does not mean that there are no more: a page also ends after
  // kMaxScanBytes.
  Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial, std::size_t max_rows);

  // True if WriteGroup with expire_rows would find something to do; looks at a bounded number of
  // rows.
  Result<bool> HasExpired();
  // How much of this life's run time no commit has stored yet.
  std::chrono::milliseconds UnmarkedAge() const { return age_->Unmarked(MonoNowMs()); }
  // The wall time of the newest mark that the life before has left.
  std::optional<std::int64_t> LastUnixMs() const { return last_unix_ms_; }

  // Moves the WAL into the database once it holds `checkpoint_pages`; or, if `force`d, whatever it
  // holds, and empties it. Same failures as WriteGroup.
  Status Checkpoint(bool force);

  // Writes down durably how far the log has got, if that was more than a second ago. Same failures.
  Status AnchorState();

  // The files are where they were and no shorter than they were left. kDataLoss names the one that
  // is not. PATH-state is written anew if it is gone.
  Status CheckInPlace();

  // Says that this life has ended in order, and empties the WAL; to be called only on a store that
  // never failed.
  Status CloseCleanly();

  // Of a log that goes to another store, or has gone: sqlite_moved.cc.
  const std::optional<Moved>& moved() const { return moved_; }
  // Marks it, durably: from then on it opens with `open_moved` alone.
  Status NoteMoved(const Moved& moved);
  // Of a log that is open and was not joined: rows are changed by hand, in one commit
  // (sqlite_amend.h).
  Status Amend(const std::function<Status(SqliteConnection& db, const Meta& meta)>& change);
  // As Scan, each row with how long the log had run when it ended.
  Status ScanAged(std::uint64_t before_serial, std::size_t max_rows,
                  const std::function<Status(const FinishedRow&, std::uint64_t ran_ms)>& visit);
  // How long the log has run.
  std::uint64_t RanMs() const { return age_->RanAt(UINT64_MAX, MonoNowMs()); }

  // Of RowStore: sqlite_rewrite.cc.
  Result<WalkPlace> Walk(const WalkPlace& from, std::size_t max_rows, const RowEditor& edit);

  // Some pages more of a copy, between two groups: see sqlite_backup.h.
  Result<BackupProgress> StepBackup(SqliteBackup& backup) { return backup.Step(db_, meta_); }

  const Meta& meta() const { return meta_; }
  // Of the last Commit.
  const Done& done() const { return done_; }
  std::int64_t UnixNowMs() const;
  std::int64_t MonoNowMs() const;

 private:
  struct Statements {
    Statement begin, commit, rollback, update_meta;
    Statement insert_live, update_live, delete_live, gid_of_live;
    Statement insert_finished, delete_finished, find_finished, serial_of_gid;
    Statement scan, oldest, page_count, free_pages;
    Statement insert_age, delete_age;
  };

  explicit SqliteStore(const SqliteOptions& options)
      : options_(options), state_(options.path, options.vfs) {}

  // sqlite_open.cc
  Status OpenFile(std::span<const Migration> migrations);
  Status CheckDatabaseIsThere();
  Status CheckNotMoved();
  Status CheckNothingIsMissing(std::span<const Migration> migrations);
  Status TakeFile();
  Status Configure();
  Status SyncFolder();
  Status SecureWal();
  Status PrepareStatements();
  Status Failure(const std::string& what, int code) const;

  // sqlite_recovery.cc
  Status CheckPages();
  Status DamagedOrUnread(const std::string& verdict);
  Status ReplayLive(const Log::LiveVisitor& visit);
  Status CheckFinished();

  // sqlite_epochs.cc
  Status CommitEpoch();
  Status BeginEpoch();
  Status WriteAnchor(bool open, std::uint64_t wal_bytes);

  // sqlite_store.cc
  Status WriteEntry(const Entry& entry, const Unwritten& unwritten, GroupOutcome& outcome,
                    Status& refusal);
  Status WriteForget(const Entry& entry, Status& refusal);
  Status FlushPlan();
  Status WriteNet(const NetWrite& write);
  Status WriteUnfinished(const NetWrite& write);
  Status RemoveLive(const NetWrite& write);
  bool IsLive(const NetWrite& write);
  Result<bool> WriteFinished(const NetWrite& write);
  void RefuseCollided(const std::vector<const std::vector<Entry>*>& batches, GroupOutcome& outcome);
  Status WriteMetaAndCommit();
  Status MoveWal(bool all);
  std::uint64_t WalBytes() const;
  Status KeepState();
  Status RollBack(Status why);
  Result<bool> GidIsFinished(const std::string& gid);
  Result<bool> GidIsLive(const std::string& gid);
  void NoteCommitted();
  Status ScanEach(std::uint64_t before_serial, std::size_t max_rows,
                  const std::function<Status(FinishedRow&&, std::uint64_t commit_seq)>& visit);

  // sqlite_retention.cc
  struct Expired {
    std::vector<std::uint64_t> by_age;
    std::vector<std::uint64_t> by_size;
    bool paced = false;
  };
  Status ReadAge();
  Status WriteAge(const AgeChange& change);
  Status FindExpired(std::size_t max_rows, Expired& expired);
  Status Expire(std::size_t max_rows);
  Result<std::uint64_t> BytesOver();
  bool IsPinned(std::uint64_t outcome) const;

  // sqlite_rewrite.cc
  struct Rewrite;
  Result<WalkPlace> ReadLive(const WalkPlace& from, std::size_t max_rows, const RowEditor& edit,
                             std::vector<Rewrite>& changed);
  Result<WalkPlace> ReadFinished(const WalkPlace& from, std::size_t max_rows, const RowEditor& edit,
                                 std::vector<Rewrite>& changed);
  Status WriteRewritten(const std::vector<Rewrite>& changed);

  // The row under the statement (all columns of table finished), or kDataLoss naming it.
  Result<FinishedRow> CheckedFinishedRow(const Statement& row) const;

  const SqliteOptions& options_;
  StateFile state_;
  std::optional<LogState> found_state_;  // as the life before has left it
  SqliteConnection db_;
  std::optional<Moved> moved_;
  Statements sql_;
  Meta meta_;  // as committed
  Done done_;
  Meta next_;                       // as it will be when the open local transaction commits
  std::uint64_t serials_from_ = 1;  // those below were given out in earlier epochs
  GroupPlan plan_;
  struct Collided {
    const Entry* entry;
    const char* what;  // of it a finished transaction has: its gid or serial
  };
  std::vector<Collided> collided_;  // ends of this group
  // Which unfinished rows may have a gid: by its hash, their serials. An index in the file would be
  // written with each beginning and end; this one is asked about what the engine does not know.
  std::unordered_multimap<std::uint64_t, std::uint64_t> live_gids_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> come_;  // of this group
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gone_;
  std::uint64_t new_epoch_ = 0;
  Epochs epochs_;
  bool small_ = false;  // enough to check all of it at a start
  std::uint64_t page_bytes_ = 4096;
  Place file_;
  Place wal_;
  std::optional<RetentionClock> age_;  // from Join on, as the next
  std::optional<RetentionPace> pace_;
  std::optional<std::int64_t> last_unix_ms_;
  std::uint64_t found_wal_bytes_ = 0;
  std::chrono::steady_clock::time_point anchored_at_;
  int wal_pages_ = 0;      // committed since the last checkpoint
  bool wal_holds_ = true;  // something, checkpointed or not
  std::uint64_t expire_from_ =
      0;  // retention has seen every row up to here, and only pinned ones are left
};

}  // namespace assent::log
