#pragma once

// What the tests of every log share: entries in one line, and calls that wait for their answer.

#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/wait.h>

#include "coordinator/log/log.h"

namespace assent::log {

inline Entry Begin(std::uint64_t serial, std::string gid, std::string state = "s1") {
  Entry entry;
  entry.kind = EntryKind::kBegin;
  entry.serial = serial;
  entry.version = 1;
  entry.spec = "spec of " + gid;
  entry.gid = std::move(gid);
  entry.state = std::move(state);
  return entry;
}

inline Entry Update(std::uint64_t serial, std::uint64_t version, std::string gid,
                    std::string state) {
  Entry entry;
  entry.kind = EntryKind::kUpdate;
  entry.serial = serial;
  entry.version = version;
  entry.gid = std::move(gid);
  entry.state = std::move(state);
  return entry;
}

inline Entry End(std::uint64_t serial, std::uint64_t version, std::string gid,
                 std::uint8_t outcome = 1, std::int64_t finished_unix_ms = 1000) {
  Entry entry;
  entry.kind = EntryKind::kEnd;
  entry.serial = serial;
  entry.version = version;
  entry.spec = "spec of " + gid;
  entry.state = "end of " + gid;
  entry.gid = std::move(gid);
  entry.outcome = outcome;
  entry.finished_unix_ms = finished_unix_ms;
  return entry;
}

inline Entry Forget(std::string gid) {
  Entry entry;
  entry.kind = EntryKind::kForget;
  entry.gid = std::move(gid);
  return entry;
}

template <typename... Entries>
std::vector<Entry> Batch(Entries... entries) {
  std::vector<Entry> batch;
  (batch.push_back(std::move(entries)), ...);
  return batch;
}

// A folder that goes away with its owner. In memory, where the machine has such a place, for tests
// that do without a disk.
class TempFolder {
 public:
  explicit TempFolder(bool in_memory = false) {
    const std::filesystem::path shared_memory = "/dev/shm";
    std::filesystem::path parent = std::filesystem::temp_directory_path();
    if (in_memory && access(shared_memory.c_str(), W_OK) == 0) parent = shared_memory;
    std::string pattern = (parent / "assent-log-XXXXXX").string();
    ASSENT_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string File(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// A log opened, recovered, and spoken to as if it answered at once. `pump` makes progress on one
// that has no thread.
class LogClient {
 public:
  explicit LogClient(std::unique_ptr<Log> log, std::function<void()> pump = nullptr)
      : log_(std::move(log)), pump_(std::move(pump)) {}

  Status Recover() {
    Result<Recovered> recovered = log::Recover(*log_, [this](LiveRow row) {
      replayed_.push_back(std::move(row));
      return OkStatus();
    });
    if (recovered.ok()) recovered_ = *recovered;
    return recovered.status();
  }

  AppendResult Append(std::vector<Entry> batch) { return Wait(AppendLater(std::move(batch))); }
  std::future<AppendResult> AppendLater(std::vector<Entry> batch) {
    auto promise = std::make_shared<std::promise<AppendResult>>();
    log_->Append(std::move(batch),
                 [promise](AppendResult result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  Result<Found> Look(std::string gid) {
    auto promise = std::make_shared<std::promise<Result<Found>>>();
    log_->Find(std::move(gid),
               [promise](Result<Found> found) { promise->set_value(std::move(found)); });
    return Wait(promise->get_future());
  }
  // The finished row, or kNotFound.
  Result<FinishedRow> Find(const std::string& gid) {
    Result<Found> found = Look(gid);
    if (!found.ok()) return found.status();
    if (found.value().what != Found::What::kFinished) return NotFound("no finished row");
    return (*std::move(found)).row;
  }
  Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial, std::size_t max_rows) {
    auto promise = std::make_shared<std::promise<Result<std::vector<FinishedRow>>>>();
    log_->Scan(before_serial, max_rows, [promise](Result<std::vector<FinishedRow>> rows) {
      promise->set_value(std::move(rows));
    });
    return Wait(promise->get_future());
  }
  template <typename T>
  T Wait(std::future<T> future) {
    if (pump_) pump_();
    return future.get();
  }

  Log& log() { return *log_; }
  const Recovered& recovered() const { return recovered_; }
  const std::vector<LiveRow>& replayed() const { return replayed_; }

 private:
  std::unique_ptr<Log> log_;
  std::function<void()> pump_;
  Recovered recovered_;
  std::vector<LiveRow> replayed_;
};

// Leaves the files of a process that was killed: `live` has a log in a child, which dies by SIGKILL
// once `live` has returned, so that nobody writes while they are looked at. Returns what it did.
inline std::uint64_t LeaveKilled(const std::function<Result<std::unique_ptr<Log>>()>& open,
                                 const std::function<std::uint64_t(LogClient&)>& live) {
  int pipes[2];
  ASSENT_CHECK(pipe(pipes) == 0);
  const pid_t child = fork();
  if (child == 0) {
    LogClient log(std::move(open()).value());
    ASSENT_CHECK(log.Recover().ok());
    const std::uint64_t said = live(log);
    ASSENT_CHECK(write(pipes[1], &said, sizeof said) == sizeof said);
    for (;;) pause();
  }
  close(pipes[1]);
  std::uint64_t said = 0;
  ASSENT_CHECK(read(pipes[0], &said, sizeof said) == sizeof said);
  close(pipes[0]);
  ASSENT_CHECK(kill(child, SIGKILL) == 0 && waitpid(child, nullptr, 0) == child);
  return said;
}

}  // namespace assent::log
