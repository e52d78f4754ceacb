// What a participant over PostgreSQL can take: TCC branches per second (two operations each), one
// commit per operation beside groups, in turns and in one run. Every reply waits for a commit, so
// the numbers are the disk's, divided by what shares a commit.
//
//   build/release/bin/sdk-postgresql-bench 'postgresql://…'    a server whose data is on a disk
//   build/release/bin/sdk-postgresql-bench                     one in memory: COMMIT costs nothing

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

#include <assent/postgresql.h>

#include "tests/support/postgresql.h"

namespace assent::postgresql {
namespace {

constexpr int kAccountsCount = 100'000;
constexpr int kInFlight = 128;
constexpr int kRounds = 3;

struct Way {
  const char* name;
  std::size_t group;
  std::size_t connections;
  Protocol protocol;
  int branches;  // of a round
  std::vector<double> rates = {};
  double per_commit = 0;
};

std::unique_ptr<Store> OpenStore(const std::string& connection, const Way& way) {
  Options options;
  options.connection = connection;
  options.connections = way.connections;
  options.max_group = way.group;
  options.setup = [](Db& db) {
    db.Exec("CREATE TABLE IF NOT EXISTS bench_account(id int PRIMARY KEY, free int, held int)");
    db.Exec(
        "INSERT INTO bench_account SELECT i, 1000000, 0 FROM generate_series(0, $1::int - 1) i "
        "ON CONFLICT DO NOTHING",
        kAccountsCount);
  };
  Result<std::unique_ptr<Store>> store = Store::Open(std::move(options));
  if (!store.ok()) CheckFailed(__FILE__, __LINE__, store.status().ToString().c_str());
  const auto run = [](const char* sql) {
    return [sql](Db& db, const Call& call) {
      return db.Exec(sql, std::stoi(call.payload)) == 1 ? Reply::Done() : Reply::Refused("no row");
    };
  };
  (*store)->Tcc(
      "move",
      {.try_ = run("UPDATE bench_account SET free = free - 1, held = held + 1 WHERE id = $1"),
       .confirm = run("UPDATE bench_account SET held = held - 1 WHERE id = $1"),
       .cancel = run("UPDATE bench_account SET free = free + 1, held = held - 1 WHERE id = $1")});
  (*store)->TwoPhase("move", run("UPDATE bench_account SET free = free - 1 WHERE id = $1"));
  return std::move(*store);
}

// Keeps branches in flight: the next operation of a lane starts when the one before has been
// answered.
class Lanes {
 public:
  Lanes(Store& store, const Way& way, std::string prefix)
      : store_(store), way_(way), prefix_(std::move(prefix)) {}

  double Run(int in_flight) {
    const auto begin = std::chrono::steady_clock::now();
    running_ = in_flight;
    for (int i = 0; i < in_flight; ++i) Start();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (failed_ > 0) std::printf("%d operations were not done\n", failed_.load());
    return way_.branches / took.count();
  }

 private:
  void Start() {
    const int number = next_.fetch_add(1);
    if (number >= way_.branches) {
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) idle_.notify_one();
      return;
    }
    Call call;
    call.gid = prefix_ + std::to_string(number);
    call.branch_id = "1";
    call.action = "move";
    call.protocol = way_.protocol;
    call.operation = OperationsOf(way_.protocol).forward;
    // Spread, so that branches do not meet on one row.
    call.payload = std::to_string(static_cast<std::int64_t>(number) * 7919 % kAccountsCount);
    Send(std::move(call));
  }
  void Send(Call call) {
    Call next = call;
    store_.Execute(std::move(call), [this, next = std::move(next)](const Reply& reply) mutable {
      if (reply.kind != Reply::Kind::kDone) ++failed_;
      const Operations& operations = OperationsOf(way_.protocol);
      if (next.operation != operations.forward) return Start();
      next.operation = operations.finish;
      Send(std::move(next));
    });
  }

  Store& store_;
  const Way& way_;
  const std::string prefix_;
  std::atomic<int> next_{0};
  std::atomic<int> failed_{0};
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Run(const std::string& connection) {
  std::vector<Way> ways = {
      {"tcc, one commit each, 2 connections", 1, 2, Protocol::kTcc, 200},
      {"tcc, one commit each, 4 connections", 1, 4, Protocol::kTcc, 200},
      {"tcc, groups, 2 connections", 60, 2, Protocol::kTcc, 4000},
      {"tcc, groups, 4 connections", 60, 4, Protocol::kTcc, 4000},
      {"two-phase, 4 connections", 60, 4, Protocol::kTwoPhase, 100},
      {"two-phase, 16 connections", 60, 16, Protocol::kTwoPhase, 100},
  };
  for (int round = 0; round < kRounds; ++round) {
    for (Way& way : ways) {
      const std::unique_ptr<Store> store = OpenStore(connection, way);
      const std::string prefix = std::to_string(getpid()) + "-" + std::to_string(round) + "-" +
                                 std::to_string(&way - ways.data()) + "-";
      way.rates.push_back(Lanes(*store, way, prefix).Run(kInFlight));
      const Stats stats = *store->Inspect();
      way.per_commit = static_cast<double>(stats.operations) / static_cast<double>(stats.groups);
    }
  }
  std::printf("%d in flight, medians of %d rounds in turns\n", kInFlight, kRounds);
  for (const Way& way : ways) {
    std::printf("%-40s %8.0f branches/s  %5.1f operations to a commit\n", way.name,
                Median(way.rates), way.per_commit);
  }
  return 0;
}

}  // namespace
}  // namespace assent::postgresql

int main(int argc, char** argv) {
  if (argc > 1) return assent::postgresql::Run(argv[1]);
  auto& server = assent::test::PostgresServer::OfThisBinary();
  return assent::postgresql::Run(server.Url(server.NewDatabase()));
}
