// What a participant over MariaDB can take (tests/support/store_bench.h).
//
//   sdk-mariadb-bench [--json] [OPTIONFILE DATABASE]    a server of yours; none: one that it starts
//
// The one that it starts has its data below ASSENT_SERVER_FOLDER, or TMPDIR: that should be a disk,
// since in memory a commit costs nothing. Its settings are MariaDB's own.

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include <assent/mariadb.h>

#include "tests/sdk_mariadb/mariadb_server.h"
#include "tests/support/store_bench.h"

namespace assent::mariadb {
namespace {

void Setup(Db& db) {
  db.Exec("CREATE TABLE IF NOT EXISTS bench_account(id int PRIMARY KEY, free int, held int)");
  if (db.Get<std::int64_t>("SELECT count(*) FROM bench_account") ==
      assent::test::kBenchAccountsCount)
    return;
  for (int from = 0; from < assent::test::kBenchAccountsCount;
       from += assent::test::kBenchRowsAtOnceCount) {
    db.Exec(
        "INSERT IGNORE INTO bench_account SELECT ? + seq, 1000000, 0 FROM seq_0_to_9999 "
        "WHERE seq < ?",
        from, assent::test::kBenchRowsAtOnceCount);
  }
}

DbHandler Run(const char* sql) {
  return [sql](Db& db, const Call& call) {
    return db.Exec(sql, std::stoi(call.payload)) == 1 ? Reply::Done() : Reply::Refused("no row");
  };
}

class Measured final : public assent::test::BenchStore {
 public:
  Measured(const Server& server, const assent::test::BenchWay& way) {
    Options options;
    options.server = server;
    options.connections = way.connections;
    options.max_group = way.group;
    options.setup = Setup;
    Result<std::unique_ptr<Store>> store = Store::Open(std::move(options));
    if (!store.ok()) CheckFailed(__FILE__, __LINE__, store.status().ToString().c_str());
    store_ = std::move(*store);
    store_->Tcc(
        "move",
        {.try_ = Run("UPDATE bench_account SET free = free - 1, held = held + 1 WHERE id = ?"),
         .confirm = Run("UPDATE bench_account SET held = held - 1 WHERE id = ?"),
         .cancel = Run("UPDATE bench_account SET free = free + 1, held = held - 1 WHERE id = ?")});
    store_->TwoPhase("move", Run("UPDATE bench_account SET free = free - 1 WHERE id = ?"));
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
}  // namespace assent::mariadb

int main(int argc, char** argv) {
  const bool json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
  const int first = json ? 2 : 1;
  assent::mariadb::Server address;
  if (argc > first + 1) {
    // Where it is, and as whom, is in the file.
    address = {.host = "", .port = 0, .database = argv[first + 1], .option_file = argv[first]};
  } else {
    const char* folder = std::getenv("TMPDIR");
    setenv("ASSENT_SERVER_FOLDER", folder != nullptr ? folder : "/tmp", 0);
    auto& server = assent::mariadb::test::MariaServer::OfThisBinary();
    address = server.Address(server.NewDatabase());
  }
  return assent::test::StoreBench(json, [&](const assent::test::BenchWay& way) {
    return std::make_unique<assent::mariadb::Measured>(address, way);
  });
}
