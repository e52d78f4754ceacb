// How fast the SQLite log takes transactions: begin, update and end each in a batch of its own, as
// the engine appends them, with a given number of transactions in flight; every commit under
// synchronous=FULL. Not a test: numbers depend on the disk.
//
//   build/release/bin/assent-microbench --benchmark_filter='Transactions|Replay|Group'
//       --benchmark_counters_tabular=true
//   ASSENT_BENCH_FOLDER=/mnt/disk …     where the file goes (default: the temporary folder)

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

enum class Gids { kIssued, kRandom };

std::string Gid(Gids kind, std::uint64_t serial) {
  char text[40];
  const std::uint64_t number = kind == Gids::kIssued ? serial : serial * 0x9E3779B97F4A7C15u;
  std::snprintf(text, sizeof text, "0001-00000001-%016llx",
                static_cast<unsigned long long>(number));
  return text;
}

// Keeps `in_flight` transactions going through begin, update and end, the next entry appended from
// the callback of the one before: like an engine whose participants answer at once. `per_batch`
// transactions share each append, as in a turn.
class Driver {
 public:
  Driver(Log& log, Gids gids, std::size_t spec_bytes, std::uint64_t first_serial,
         std::uint64_t total)
      : log_(log),
        gids_(gids),
        spec_(spec_bytes, 's'),
        next_(first_serial),
        end_(first_serial + total) {}

  void Run(std::size_t in_flight, std::size_t per_batch) {
    lanes_ = std::max<std::size_t>(1, in_flight / per_batch);
    const std::size_t lanes = lanes_;
    for (std::size_t lane = 0; lane < lanes; ++lane) StartLane(per_batch);
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] { return lanes_ == 0; });
  }

 private:
  void StartLane(std::size_t per_batch) {
    const std::uint64_t from = next_.fetch_add(per_batch);
    if (from >= end_) {
      const std::lock_guard lock(mutex_);
      if (--lanes_ == 0) finished_.notify_one();
      return;
    }
    Phase(from, per_batch, 1);
  }

  void Phase(std::uint64_t from, std::size_t per_batch, std::uint64_t version) {
    std::vector<Entry> batch(per_batch);
    for (std::size_t i = 0; i < per_batch; ++i) {
      Entry& entry = batch[i];
      entry.kind = version == 1   ? EntryKind::kBegin
                   : version == 2 ? EntryKind::kUpdate
                                  : EntryKind::kEnd;
      entry.serial = from + i;
      entry.version = version;
      entry.gid = Gid(gids_, entry.serial);
      if (version != 2) entry.spec = spec_;
      entry.state.assign(100, 'x');
      entry.finished_unix_ms = 1'800'000'000'000;
    }
    log_.Append(std::move(batch), [this, from, per_batch, version](const AppendResult& result) {
      ASSENT_CHECK(result.status.ok());
      if (version == 3) return StartLane(per_batch);
      Phase(from, per_batch, version + 1);
    });
  }

  Log& log_;
  const Gids gids_;
  const std::string spec_;
  std::atomic<std::uint64_t> next_;
  const std::uint64_t end_;
  std::mutex mutex_;
  std::condition_variable finished_;
  std::size_t lanes_ = 0;
};

std::unique_ptr<SqliteLog> OpenAt(const std::string& path, std::vector<CommitReport>& reports,
                                  std::uint64_t retention_bytes) {
  SqliteOptions options;
  options.path = path;
  options.retention_bytes = retention_bytes;
  options.on_commit = [&reports](const CommitReport& report) { reports.push_back(report); };
  auto log = SqliteLog::Open(std::move(options));
  ASSENT_CHECK(log.ok());
  auto recovered = Recover(*log.value(), [](const LiveRow&) { return OkStatus(); });
  ASSENT_CHECK(recovered.ok());
  return *std::move(log);
}

std::string BenchFolder() {
  const char* named = std::getenv("ASSENT_BENCH_FOLDER");
  return named != nullptr ? named : std::filesystem::temp_directory_path().string();
}

// Arguments: transactions in flight, transactions per append, spec bytes, random gids (0, 1),
// retention in MiB.
void Transactions(benchmark::State& state) {
  const auto in_flight = static_cast<std::size_t>(state.range(0));
  const std::uint64_t per_round = std::min<std::uint64_t>(50'000, 1000 * in_flight);
  const auto per_batch = static_cast<std::size_t>(state.range(1));
  const auto spec_bytes = static_cast<std::size_t>(state.range(2));
  const Gids gids = state.range(3) != 0 ? Gids::kRandom : Gids::kIssued;
  const std::string path = BenchFolder() + "/bench-" + std::to_string(getpid()) + ".db";
  std::vector<CommitReport> reports;
  std::uint64_t serial = 1;
  {
    auto log = OpenAt(path, reports, static_cast<std::uint64_t>(state.range(4)) << 20);
    for (auto _ : state) {
      Driver(*log, gids, spec_bytes, serial, per_round).Run(in_flight, per_batch);
      serial += per_round;
    }
    state.counters["file_MiB"] = static_cast<double>(log->GetStats().file_bytes >> 20);
  }
  for (const char* suffix : {"", "-wal", "-state", "-reserve"})
    std::filesystem::remove(path + suffix);
  const auto transactions = static_cast<double>(serial - 1);
  state.counters["tx/s"] = benchmark::Counter(transactions, benchmark::Counter::kIsRate);
  state.counters["rows/s"] = benchmark::Counter(3 * transactions, benchmark::Counter::kIsRate);
  state.counters["rows/commit"] = 3 * transactions / static_cast<double>(reports.size());
  std::vector<std::int64_t> micros;
  for (const CommitReport& report : reports) micros.push_back(report.total.count());
  std::sort(micros.begin(), micros.end());
  std::int64_t longest_checkpoint = 0;
  for (const CommitReport& report : reports) {
    longest_checkpoint = std::max<std::int64_t>(longest_checkpoint, report.checkpoint.count());
  }
  state.counters["ckpt_max_us"] = static_cast<double>(longest_checkpoint);
  const auto at = [&](double share) {
    return static_cast<double>(
        micros[static_cast<std::size_t>(share * static_cast<double>(micros.size() - 1))]);
  };
  state.counters["commit_p50_us"] = at(0.5);
  state.counters["p99.9_us"] = at(0.999);
  state.counters["max_us"] = at(1);
}

// How long a start takes with so many unfinished transactions of 300 bytes, beside a bare SELECT of
// the same rows.
void Replay(benchmark::State& state) {
  const auto rows = static_cast<std::uint64_t>(state.range(0));
  const std::string path = BenchFolder() + "/bench-" + std::to_string(getpid()) + ".db";
  std::vector<CommitReport> reports;
  {
    auto log = OpenAt(path, reports, 0);
    for (std::uint64_t serial = 1; serial <= rows;) {
      std::vector<Entry> batch;
      for (int i = 0; i < 1000 && serial <= rows; ++i, ++serial) {
        Entry entry = Begin(serial, Gid(Gids::kIssued, serial), std::string(100, 'x'));
        entry.spec.assign(200, 's');
        batch.push_back(std::move(entry));
      }
      std::promise<void> done;
      log->Append(std::move(batch), [&done](const AppendResult& result) {
        ASSENT_CHECK(result.status.ok());
        done.set_value();
      });
      done.get_future().wait();
    }
  }
  for (auto _ : state) {
    SqliteOptions options;
    options.path = path;
    auto log = SqliteLog::Open(std::move(options));
    ASSENT_CHECK(log.ok());
    std::uint64_t seen = 0;
    auto recovered = Recover(*log.value(), [&seen](const LiveRow&) {
      ++seen;
      return OkStatus();
    });
    ASSENT_CHECK(recovered.ok() && seen == rows);
  }
  state.counters["rows/s"] = benchmark::Counter(static_cast<double>(rows * state.iterations()),
                                                benchmark::Counter::kIsRate);
  for (const char* suffix : {"", "-wal", "-state", "-reserve"})
    std::filesystem::remove(path + suffix);
}

// One group commit of so many records, each the decision of a transaction that has begun: what a
// record costs, and what the commit does.
void GroupCommit(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const std::string path = BenchFolder() + "/bench-" + std::to_string(getpid()) + ".db";
  std::vector<CommitReport> reports;
  {
    auto log = OpenAt(path, reports, 0);
    const auto append = [&](std::vector<Entry> batch) {
      std::promise<void> done;
      log->Append(std::move(batch), [&done](const AppendResult& result) {
        ASSENT_CHECK(result.status.ok());
        done.set_value();
      });
      done.get_future().wait();
    };
    std::vector<Entry> begins;
    for (std::size_t i = 1; i <= count; ++i) {
      begins.push_back(Begin(i, Gid(Gids::kIssued, i), std::string(100, 'x')));
      begins.back().spec.assign(200, 's');
    }
    append(std::move(begins));
    std::uint64_t version = 1;
    for (auto _ : state) {
      ++version;
      std::vector<Entry> batch;
      for (std::size_t i = 1; i <= count; ++i)
        batch.push_back(Update(i, version, Gid(Gids::kIssued, i), std::string(100, 'y')));
      append(std::move(batch));
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
  state.SetLabel("a record, " + std::to_string(count) + " to a commit");
  for (const char* suffix : {"", "-wal", "-state", "-reserve"})
    std::filesystem::remove(path + suffix);
}
BENCHMARK(GroupCommit)->Arg(1)->Arg(64)->Arg(1024)->UseRealTime();

BENCHMARK(Replay)->Arg(100'000)->Arg(1'000'000)->Iterations(1)->UseRealTime()->Unit(
    benchmark::kMillisecond);

BENCHMARK(Transactions)
    ->ArgNames({"in_flight", "per_append", "spec", "random", "retain_MiB"})
    ->Args({1, 1, 200, 0, 4096})
    ->Args({64, 1, 200, 0, 4096})
    ->Args({256, 1, 200, 0, 4096})
    ->Args({1024, 1, 200, 0, 4096})
    ->Args({1024, 16, 200, 0, 4096})
    ->Args({1024, 16, 200, 1, 4096})
    ->Args({1024, 16, 200, 0, 16})
    ->Args({1024, 16, 2000, 0, 4096})
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace assent::log
