#pragma once

// The log in one SQLite file: a bounded queue, one thread that writes whatever has queued as one
// commit, and nothing else that ever touches the file.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/group_writer.h"
#include "coordinator/log/log.h"
#include "coordinator/log/sqlite_options.h"
#include "coordinator/log/sqlite_store.h"

namespace assent::log {

class SqliteLog final : public Log {
 public:
  // Opens or creates the file, and takes its lock for as long as the log lives.
  //   kFailedPrecondition  in use by another process (named), not a log of ours, or on a file
  //                        system that cannot hold one; the message says what to do
  //   kUnimplemented       of a newer format
  //   kDataLoss            damaged; names the table and row, or the frame of the WAL
  //   kInvalidArgument     an option
  //   others               the disk
  static Result<std::unique_ptr<SqliteLog>> Open(SqliteOptions options);

  // Writes what is queued, moves the WAL into the database and releases the file. After an I/O
  // error it only releases it.
  ~SqliteLog() override;

  Result<Joined> Join(SlotEvents& events) override;
  void Load(Slot slot, LiveVisitor visit, std::function<void(Status)> done) override;
  void Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) override;
  // kFailedPrecondition: a file has one owner.
  void Release(Slot slot, std::function<void(Status)> done) override;
  void Drain(std::function<void(Status)> done) override;
  void Find(std::string gid, std::function<void(Result<Found>)> done) override;
  // At most 1000 rows and about 8 MiB; fewer than asked for does not mean that there are no more,
  // an empty page does.
  void Scan(std::uint64_t before_serial, std::size_t max_rows,
            std::function<void(Result<std::vector<FinishedRow>>)> done) override;
  std::uint64_t NextSerial(Slot slot) override;
  Stats GetStats() const override;

 private:
  struct FindRequest {
    std::string gid;
    std::function<void(Result<Found>)> done;
  };
  struct ScanRequest {
    std::uint64_t before_serial = 0;
    std::size_t max_rows = 0;
    std::function<void(Result<std::vector<FinishedRow>>)> done;
  };
  struct ReadRequest {
    std::variant<FindRequest, ScanRequest> what;
    bool no_room = false;
  };

  explicit SqliteLog(SqliteOptions options) : options_(std::move(options)) {}

  void Enqueue(std::variant<FindRequest, ScanRequest> what);
  void Run();
  bool WaitForWork(bool more_to_do);
  void TakeUnderLock();
  void WriteQueued();
  std::vector<PendingAppend> NextGroup();
  void Finish(PendingAppend& append, AppendResult result);
  void ReadQueued();
  void Answer(FindRequest& request);
  void Answer(ScanRequest& request);
  void NotePoisoned();
  void FailQueued();
  void Publish();

  SqliteOptions options_;
  std::atomic<std::uint64_t> next_serial_ = 1;

  // The log's thread only, once Load has returned.
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<GroupWriter> writer_;
  std::deque<PendingAppend> taken_appends_;
  std::deque<ReadRequest> taken_reads_;
  bool noted_poisoned_ = false;
  std::uint64_t last_failed_position_ = 0;

  mutable std::mutex mutex_;
  // Under mutex_.
  std::condition_variable work_;
  bool waiting_ = false;
  bool stopping_ = false;  // what still comes is written
  bool closed_ = false;    // and what comes now is not
  std::vector<PendingAppend> appends_;
  std::vector<ReadRequest> reads_;
  std::uint64_t last_position_ = 0;
  std::size_t queued_entries_ = 0;  // with those being written
  std::size_t queued_bytes_ = 0;
  std::size_t queued_reads_ = 0;
  Stats stats_;

  std::thread thread_;  // last: uses all of the above
};

}  // namespace assent::log
