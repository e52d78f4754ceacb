#include "coordinator/log/sqlite_log.h"

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <utility>

#include <sys/stat.h>

namespace assent::log {
namespace {

constexpr std::size_t kMaxReadsPerTurn =
    64;  // between two commits, so that reading cannot stall them
constexpr std::size_t kMaxScanRows = 1000;
// What an entry costs in memory beside its bytes.
constexpr std::size_t kEntryOverheadBytes = sizeof(Entry);

std::size_t BytesOf(const std::vector<Entry>& batch) {
  std::size_t bytes = batch.size() * kEntryOverheadBytes;
  for (const Entry& entry : batch) {
    bytes += entry.gid.size() + entry.spec.size() + entry.state.size();
  }
  return bytes;
}

std::uint64_t FileBytes(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

Result<std::unique_ptr<SqliteLog>> SqliteLog::Open(SqliteOptions options) {
  if (Status status = options.Validate(); !status.ok()) return status;
  std::unique_ptr<SqliteLog> log(new SqliteLog(std::move(options)));
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(log->options_, Migrations());
  if (!store.ok()) return store.status();
  log->store_ = *std::move(store);
  return log;
}

SqliteLog::~SqliteLog() {
  if (!thread_.joinable()) return;  // never recovered: leave everything as it was found
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_one();
  }
  thread_.join();
}

Result<Joined> SqliteLog::Join(SlotEvents&) {
  Result<Joined> joined = store_->Join();
  if (joined.ok()) next_serial_ = joined.value().next_serial;
  return joined;
}

void SqliteLog::Load(Slot, LiveVisitor visit, std::function<void(Status)> done) {
  ASSENT_CHECK(!thread_.joinable());
  Status status = store_->Load(visit);
  if (status.ok()) {
    writer_ = std::make_unique<GroupWriter>(options_, *store_);
    Publish();
    thread_ = std::thread([this] { Run(); });
  }
  done(std::move(status));
}

void SqliteLog::Release(Slot, std::function<void(Status)> done) {
  done(FailedPrecondition("a log in one file has one owner"));
}

void SqliteLog::Drain(std::function<void(Status)> done) {
  Append({}, [done = std::move(done)](const AppendResult& result) { done(result.status); });
}

std::uint64_t SqliteLog::NextSerial(Slot) {
  return next_serial_.fetch_add(1, std::memory_order_relaxed);
}

void SqliteLog::Append(std::vector<Entry> batch, std::function<void(AppendResult)> done) {
  PendingAppend append;
  append.entries = std::move(batch);
  append.done = std::move(done);
  append.bytes = BytesOf(append.entries);
  std::unique_lock lock(mutex_);
  ASSENT_CHECK(thread_.joinable());
  append.position = ++last_position_;
  if (closed_) {
    lock.unlock();
    AppendResult result;
    result.position = append.position;
    result.status = Unavailable("the log was closed");
    return append.done(std::move(result));
  }
  const std::size_t entries = append.entries.size();
  append.no_room =
      queued_entries_ > 0 && (queued_entries_ + entries > options_.max_queued_entries ||
                              queued_bytes_ + append.bytes > options_.max_queued_bytes);
  if (append.no_room) {
    // Its place in the order and the names of its rows stay; the bytes go.
    for (Entry& entry : append.entries) {
      entry.spec = std::string();
      entry.state = std::string();
    }
    append.bytes = 0;
  } else {
    queued_entries_ += entries;
    queued_bytes_ += append.bytes;
  }
  appends_.push_back(std::move(append));
  if (waiting_) work_.notify_one();
}

void SqliteLog::Find(std::string gid, std::function<void(Result<Found>)> done) {
  Enqueue(FindRequest{.gid = std::move(gid), .done = std::move(done)});
}

void SqliteLog::Scan(std::uint64_t before_serial, std::size_t max_rows,
                     std::function<void(Result<std::vector<FinishedRow>>)> done) {
  Enqueue(ScanRequest{.before_serial = before_serial,
                      .max_rows = std::min(max_rows, kMaxScanRows),
                      .done = std::move(done)});
}

void SqliteLog::Enqueue(std::variant<FindRequest, ScanRequest> what) {
  std::unique_lock lock(mutex_);
  ASSENT_CHECK(thread_.joinable());
  if (closed_) {
    lock.unlock();
    return std::visit([](auto& one) { one.done(Unavailable("the log was closed")); }, what);
  }
  const bool no_room = queued_reads_ >= options_.max_queued_reads;
  if (!no_room) ++queued_reads_;
  reads_.push_back({.what = std::move(what), .no_room = no_room});
  if (waiting_) work_.notify_one();
}

Stats SqliteLog::GetStats() const {
  Stats stats;
  {
    const std::lock_guard lock(mutex_);
    stats = stats_;
    stats.queued_entries = queued_entries_;
  }
  stats.file_bytes = FileBytes(options_.path) + FileBytes(options_.path + "-wal");
  return stats;
}

void SqliteLog::Run() {
  (void)pthread_setname_np(pthread_self(), "assent-log");
  bool more_to_do = false;
  while (WaitForWork(more_to_do)) {
    const bool idle = taken_appends_.empty() && taken_reads_.empty();
    WriteQueued();
    ReadQueued();
    writer_->Maintain();
    more_to_do = idle ? writer_->MaintainIdle() : !taken_reads_.empty();
    if (writer_->poisoned()) FailQueued();
    Publish();
  }
  if (!writer_->poisoned()) {
    // On a full disk the WAL simply stays, and the next start takes it in.
    const Status status = store_->CloseCleanly();
    if (!status.ok() && status.code() != Code::kResourceExhausted) writer_->Poison(status);
  }
}

// Takes what has queued. Returns at once if there is something, or `more_to_do`; else when there
// is, or when something is due. False when all is done and the log is to stop.
bool SqliteLog::WaitForWork(bool more_to_do) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return stopping_ || !appends_.empty() || !reads_.empty(); };
  if (!more_to_do && taken_reads_.empty() && !ready()) {
    waiting_ = true;
    const auto due = writer_->NextDue();
    if (due == std::chrono::steady_clock::time_point::max()) {
      work_.wait(lock, ready);
    } else {
      work_.wait_until(lock, due, ready);
    }
    waiting_ = false;
  }
  TakeUnderLock();
  closed_ = stopping_ && taken_appends_.empty() && taken_reads_.empty();
  return !closed_;
}

void SqliteLog::TakeUnderLock() {
  std::move(appends_.begin(), appends_.end(), std::back_inserter(taken_appends_));
  appends_.clear();
  std::move(reads_.begin(), reads_.end(), std::back_inserter(taken_reads_));
  reads_.clear();
}

// All that was taken, group by group.
void SqliteLog::WriteQueued() {
  while (!taken_appends_.empty() && !writer_->poisoned()) {
    std::vector<PendingAppend> group = NextGroup();
    std::vector<AppendResult> results = writer_->Write(group);
    if (writer_->poisoned()) {
      NotePoisoned();
    } else {
      Publish();
    }
    for (std::size_t i = 0; i < group.size(); ++i) Finish(group[i], std::move(results[i]));
    if (options_.on_commit && writer_->report().batches > 0 && !writer_->poisoned()) {
      options_.on_commit(writer_->report());
    }
    if (!taken_appends_.empty()) writer_->Maintain();
  }
}

std::vector<PendingAppend> SqliteLog::NextGroup() {
  std::vector<PendingAppend> group;
  std::size_t entries = 0;
  std::size_t bytes = 0;
  do {
    entries += taken_appends_.front().entries.size();
    bytes += taken_appends_.front().bytes;
    group.push_back(std::move(taken_appends_.front()));
    taken_appends_.pop_front();
  } while (!taken_appends_.empty() &&
           entries + taken_appends_.front().entries.size() <= options_.max_group_entries &&
           bytes + taken_appends_.front().bytes <= options_.max_group_bytes);
  return group;
}

void SqliteLog::Finish(PendingAppend& append, AppendResult result) {
  if (!append.no_room) {
    const std::lock_guard lock(mutex_);
    queued_entries_ -= append.entries.size();
    queued_bytes_ -= append.bytes;
  }
  append.done(std::move(result));
}

// A read sees every batch that was appended before it was asked for.
void SqliteLog::ReadQueued() {
  if (!taken_reads_.empty()) writer_->LookInPlace();
  for (std::size_t i = 0; i < kMaxReadsPerTurn && !taken_reads_.empty(); ++i) {
    ReadRequest request = std::move(taken_reads_.front());
    taken_reads_.pop_front();
    if (request.no_room) {
      const auto refuse = [](auto& one) {
        one.done(ResourceExhausted("too many reads of the log wait: try again later"));
      };
      std::visit(refuse, request.what);
      continue;
    }
    {
      const std::lock_guard lock(mutex_);
      --queued_reads_;
    }
    std::visit([this](auto& one) { Answer(one); }, request.what);
  }
}

void SqliteLog::Answer(FindRequest& request) {
  if (writer_->poisoned()) return request.done(Unavailable("the log stopped"));
  Result<Found> found = store_->Find(request.gid);
  if (!found.ok()) writer_->Poison(found.status());
  request.done(std::move(found));
}

void SqliteLog::Answer(ScanRequest& request) {
  if (writer_->poisoned()) return request.done(Unavailable("the log stopped"));
  Result<std::vector<FinishedRow>> rows = store_->Scan(request.before_serial, request.max_rows);
  if (!rows.ok()) writer_->Poison(rows.status());
  request.done(std::move(rows));
}

// What has been appended by now shares the fate of what failed: nobody is to be answered on its
// account. What comes later hears that the log has stopped.
void SqliteLog::NotePoisoned() {
  if (std::exchange(noted_poisoned_, true)) return;
  Publish();
  const std::lock_guard lock(mutex_);
  TakeUnderLock();
  last_failed_position_ = last_position_;
}

void SqliteLog::FailQueued() {
  NotePoisoned();
  while (!taken_appends_.empty()) {
    PendingAppend append = std::move(taken_appends_.front());
    taken_appends_.pop_front();
    AppendResult result;
    result.position = append.position;
    result.status = append.position <= last_failed_position_
                        ? writer_->poison()
                        : Unavailable("the log has stopped: " + writer_->poison().message());
    Finish(append, std::move(result));
  }
}

void SqliteLog::Publish() {
  const std::lock_guard lock(mutex_);
  stats_.records = writer_->records();
  stats_.commits = writer_->commits();
  stats_.finished_rows = store_->meta().finished_rows;
  stats_.full = writer_->full();
  stats_.poisoned = writer_->poisoned();
}

}  // namespace assent::log
