// What a participant over PostgreSQL can take (tests/support/store_bench.h).
//
//   sdk-postgresql-bench [--json] ['postgresql://…']    a server of yours; none: one that it starts
//
// The one that it starts has its data below ASSENT_SERVER_FOLDER, or TMPDIR: that should be a disk,
// since in memory a commit costs nothing.

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include <assent/postgresql.h>

#include "tests/support/postgresql.h"
#include "tests/support/store_bench.h"

namespace assent::postgresql {
namespace {

void Setup(Db& db) {
  db.Exec("CREATE TABLE IF NOT EXISTS bench_account(id int PRIMARY KEY, free int, held int)");
  if (db.Get<std::int64_t>("SELECT count(*) FROM bench_account") == test::kBenchAccountsCount)
    return;
  for (int from = 0; from < test::kBenchAccountsCount; from += test::kBenchRowsAtOnceCount) {
    db.Exec(
        "INSERT INTO bench_account SELECT i, 1000000, 0 FROM generate_series($1::int, $2::int) i "
        "ON CONFLICT DO NOTHING",
        from, from + test::kBenchRowsAtOnceCount - 1);
  }
}

DbHandler Run(const char* sql) {
  return [sql](Db& db, const Call& call) {
    return db.Exec(sql, std::stoi(call.payload)) == 1 ? Reply::Done() : Reply::Refused("no row");
  };
}

class Measured final : public test::BenchStore {
 public:
  Measured(const std::string& connection, const test::BenchWay& way) {
    Options options;
    options.connection = connection;
    options.connections = way.connections;
    options.max_group = way.group;
    options.setup = Setup;
    Result<std::unique_ptr<Store>> store = Store::Open(std::move(options));
    if (!store.ok()) CheckFailed(__FILE__, __LINE__, store.status().ToString().c_str());
    store_ = std::move(*store);
    store_->Tcc(
        "move",
        {.try_ = Run("UPDATE bench_account SET free = free - 1, held = held + 1 WHERE id = $1"),
         .confirm = Run("UPDATE bench_account SET held = held - 1 WHERE id = $1"),
         .cancel = Run("UPDATE bench_account SET free = free + 1, held = held - 1 WHERE id = $1")});
    store_->TwoPhase("move", Run("UPDATE bench_account SET free = free - 1 WHERE id = $1"));
  }
  Resource& resource() override { return *store_; }
  Work Done() override {
    const Stats stats = *store_->Inspect();
    return {.operations = stats.operations, .groups = stats.groups};
  }

 private:
  std::unique_ptr<Store> store_;
};

}  // namespace
}  // namespace assent::postgresql

int main(int argc, char** argv) {
  const bool json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
  std::string connection = argc > (json ? 2 : 1) ? argv[argc - 1] : "";
  if (connection.empty()) {
    const char* folder = std::getenv("TMPDIR");
    setenv("ASSENT_SERVER_FOLDER", folder != nullptr ? folder : "/tmp", 0);
    auto& server = assent::test::PostgresServer::OfThisBinary();
    connection = server.Url(server.NewDatabase());
  }
  return assent::test::StoreBench(json, [&](const assent::test::BenchWay& way) {
    return std::make_unique<assent::postgresql::Measured>(connection, way);
  });
}
