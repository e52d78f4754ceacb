// What a participant over SQLite can take: branches per second by form, with a given number in
// flight. Every reply waits for a commit under synchronous=FULL, so the numbers are the disk's,
// divided by what shares a commit.
//
//   build/release/bin/assent-microbench --benchmark_filter=Barrier
//       --benchmark_counters_tabular=true
//   ASSENT_BENCH_FOLDER=/mnt/disk …     where the file goes (default: the temporary folder)

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include <assent/sqlite.h>

namespace assent::sqlite {
namespace {

constexpr int kAccountsCount = 100'000;

std::string DatabasePath() {
  const char* folder = std::getenv("ASSENT_BENCH_FOLDER");
  const std::filesystem::path base =
      folder == nullptr ? std::filesystem::temp_directory_path() : std::filesystem::path(folder);
  return (base / ("bench_barrier." + std::to_string(getpid()) + ".db")).string();
}

void RemoveDatabase() {
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(DatabasePath() + suffix);
}

std::unique_ptr<Store> OpenStore(benchmark::State& state) {
  RemoveDatabase();
  Options options;
  options.path = DatabasePath();
  options.setup = [](Db& db) {
    db.Exec(
        "CREATE TABLE account(id INTEGER PRIMARY KEY, available INT NOT NULL, frozen INT NOT "
        "NULL)");
    for (int i = 0; i < kAccountsCount; ++i)
      db.Exec("INSERT INTO account VALUES(?, 1000000, 0)", i);
  };
  Result<std::unique_ptr<Store>> store = Store::Open(std::move(options));
  if (!store.ok()) {
    state.SkipWithError(store.status().ToString().c_str());
    return nullptr;
  }
  const auto run = [](const char* sql) {
    return [sql](Db& db, const Call& call) {
      return db.Exec(sql, std::stoi(call.payload)) == 1 ? Reply::Done()
                                                        : Reply::Refused("no such account");
    };
  };
  (*store)->Tcc(
      "move",
      {.try_ =
           run("UPDATE account SET available = available - 1, frozen = frozen + 1 WHERE id = ?"),
       .confirm = run("UPDATE account SET frozen = frozen - 1 WHERE id = ?"),
       .cancel =
           run("UPDATE account SET available = available + 1, frozen = frozen - 1 WHERE id = ?")});
  (*store)->TwoPhase("move", run("UPDATE account SET available = available - 1 WHERE id = ?"));
  (*store)->AutoSaga("move", run("UPDATE account SET available = available - 1 WHERE id = ?"));
  return std::move(*store);
}

// Keeps branches in flight: the next operation of a lane starts when the one before has been
// answered.
class Lanes {
 public:
  Lanes(Store& store, Protocol protocol, int first, int total)
      : store_(store), protocol_(protocol), next_(first), end_(first + total) {}

  void Run(int in_flight) {
    running_ = in_flight;
    for (int i = 0; i < in_flight; ++i) Start();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
  }
  int failed() const { return failed_; }

 private:
  Operation forward() const {
    return protocol_ == Protocol::kTcc    ? Operation::kTry
           : protocol_ == Protocol::kSaga ? Operation::kAction
                                          : Operation::kPrepare;
  }
  void Start() {
    const int number = next_.fetch_add(1);
    if (number >= end_) {
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) idle_.notify_one();
      return;
    }
    Call call;
    char gid[40];
    std::snprintf(gid, sizeof gid, "0001-00000001-%016x", static_cast<unsigned>(number));
    call.gid = gid;
    call.branch_id = "1";
    call.action = "move";
    call.protocol = protocol_;
    call.operation = forward();
    // Spread, so that two-phase branches do not meet on one row.
    call.payload = std::to_string(static_cast<std::uint64_t>(number) * 7919 % kAccountsCount);
    Send(std::move(call));
  }
  void Send(Call call) {
    Call next = call;
    store_.Execute(std::move(call), [this, next = std::move(next)](const Reply& reply) mutable {
      if (reply.kind != Reply::Kind::kDone) ++failed_;
      const bool first = next.operation == forward();
      if (!first || protocol_ == Protocol::kSaga) return Start();
      next.operation = protocol_ == Protocol::kTcc ? Operation::kConfirm : Operation::kCommit;
      Send(std::move(next));
    });
  }

  Store& store_;
  const Protocol protocol_;
  std::atomic<int> next_;
  const int end_;
  std::atomic<int> failed_{0};
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
};

void BarrierBranches(benchmark::State& state, Protocol protocol) {
  std::unique_ptr<Store> store = OpenStore(state);
  if (store == nullptr) return;
  const int in_flight = static_cast<int>(state.range(0));
  const int batch = in_flight * 200;
  int first = 0;
  int failed = 0;
  for (auto _ : state) {
    Lanes lanes(*store, protocol, first, batch);
    lanes.Run(in_flight);
    first += batch;
    failed += lanes.failed();
  }
  const Stats stats = *store->Inspect();
  state.SetItemsProcessed(first);
  state.SetLabel("a branch, " + std::to_string(in_flight) + " in flight");
  state.counters["per_commit"] =
      static_cast<double>(stats.operations) / static_cast<double>(stats.groups);
  if (failed > 0) state.SkipWithError("some operations were not done");
  store.reset();
  RemoveDatabase();
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(1)->Arg(16)->Arg(128)->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(BarrierBranches, tcc, Protocol::kTcc)->Apply(Arguments);
BENCHMARK_CAPTURE(BarrierBranches, two_phase, Protocol::kTwoPhase)->Apply(Arguments);
BENCHMARK_CAPTURE(BarrierBranches, auto_saga, Protocol::kSaga)->Apply(Arguments);

// What a service's own write costs, for comparison.
void BarrierLocalWrite(benchmark::State& state) {
  std::unique_ptr<Store> store = OpenStore(state);
  if (store == nullptr) return;
  std::int64_t id = 0;
  for (auto _ : state) {
    const Status status = store->Local([&](Db& db) {
      db.Exec("UPDATE account SET available = available - 1 WHERE id = ?", id);
      return OkStatus();
    });
    if (!status.ok()) state.SkipWithError(status.ToString().c_str());
    id = (id + 7919) % kAccountsCount;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  store.reset();
  RemoveDatabase();
}
BENCHMARK(BarrierLocalWrite)->UseRealTime();

}  // namespace
}  // namespace assent::sqlite
