// Finished transactions by the million, written as the engine writes them but without running them.

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>

#include <nlohmann/json.hpp>

#include <assent/thread_safety.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/shapes.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

constexpr std::size_t kBatchCount = 4096;
constexpr int kMaxQueuedBatches = 8;

// As the SDK makes them: time first, so that later ones sort later, then random digits.
std::string Gid(std::int64_t unix_ms, std::mt19937_64& random) {
  char text[40];
  std::snprintf(text, sizeof text, "%012llx%016llx%04llx", static_cast<unsigned long long>(unix_ms),
                static_cast<unsigned long long>(random()),
                static_cast<unsigned long long>(random() & 0xFFFF));
  return text;
}

// Lets a few batches be on their way, and no more.
class Gate {
 public:
  void Enter() {
    const MutexLock lock(mutex_);
    while (inside_ >= kMaxQueuedBatches) changed_.Wait(mutex_);
    ++inside_;
  }
  void Leave() {
    const MutexLock lock(mutex_);
    --inside_;
    changed_.NotifyAll();
  }
  void WaitEmpty() {
    const MutexLock lock(mutex_);
    while (inside_ > 0) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int inside_ ASSENT_GUARDED_BY(mutex_) = 0;
};

// A transaction that has begun and ended, of which `begin` says which.
void AddFinished(const Shape& shape, log::Entry begin, std::int64_t finished_unix_ms,
                 std::vector<log::Entry>& batch) {
  begin.kind = log::EntryKind::kBegin;
  begin.version = 1;
  begin.spec = shape.spec;
  begin.state = shape.begun;
  log::Entry end = begin;
  end.kind = log::EntryKind::kEnd;
  end.version = 2;
  end.state = shape.finished;
  end.outcome = 1;
  end.finished_unix_ms = finished_unix_ms;
  batch.push_back(std::move(begin));
  batch.push_back(std::move(end));
}

}  // namespace

int Fill(const Load& load, std::uint64_t transactions, const std::string& folder, bool json) {
  if (folder.empty()) Die("fill needs --folder");
  std::error_code error;
  std::filesystem::create_directories(folder + "/data", error);
  if (error) Die(folder + "/data: " + error.message());
  log::SqliteOptions options;
  options.path = folder + "/data/assent.db";
  options.retention_age = std::chrono::milliseconds(0);
  options.retention_bytes = 0;
  auto opened = log::SqliteLog::Open(options);
  if (!opened.ok()) Die(opened.status().ToString());
  const auto recovered = log::Recover(**opened, [](const log::LiveRow&) { return OkStatus(); });
  if (!recovered.ok()) Die(recovered.status().ToString());
  const Shape shape = ShapeOf(load);
  std::mt19937_64 random(1);
  Gate gate;
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  const std::int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count();
  // Spread over the hours before now, as if they had run: retention by age leaves them.
  const auto moment = [&](std::uint64_t i) {
    return now_ms - static_cast<std::int64_t>((transactions - i) / 10);
  };
  for (std::uint64_t i = 0; i < transactions;) {
    std::vector<log::Entry> batch;
    for (; batch.size() < 2 * kBatchCount && i < transactions; ++i) {
      log::Entry begin;
      begin.serial = recovered->next_serial + i;
      begin.gid = Gid(moment(i), random);
      AddFinished(shape, std::move(begin), moment(i), batch);
    }
    gate.Enter();
    (*opened)->Append(std::move(batch), [&](const log::AppendResult& result) {
      if (!result.status.ok()) Die(result.status.ToString());
      gate.Leave();
    });
    ShowProgress("filled " + std::to_string(i), seconds(),
                 seconds() * static_cast<double>(transactions) / static_cast<double>(i));
  }
  gate.WaitEmpty();
  EndProgress();
  const double took = seconds();
  const log::Stats stats = (*opened)->GetStats();
  opened->reset();
  if (json) {
    std::cout << nlohmann::json{{"transactions", transactions},
                                {"retained", stats.finished_rows},
                                {"seconds", took},
                                {"file_bytes", std::filesystem::file_size(options.path)}}
                     .dump()
              << "\n";
  } else {
    std::printf("%llu finished transactions in %.1f s, %llu retained, %.0f MiB\n",
                static_cast<unsigned long long>(transactions), took,
                static_cast<unsigned long long>(stats.finished_rows),
                static_cast<double>(std::filesystem::file_size(options.path)) / 1048576);
  }
  return 0;
}

}  // namespace assent::bench
