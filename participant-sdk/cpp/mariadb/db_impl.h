#pragma once

// What stands behind the public Db: the connection, and the first failure of the operation that
// uses it.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <assent/mariadb.h>

#include "participant-sdk/cpp/mariadb/connection.h"

namespace assent::mariadb {

struct Db::Impl {
  enum class Use : std::uint8_t { kOperation, kSetup };
  explicit Impl(internal::Connection& the_connection, Use the_use = Use::kOperation)
      : connection(the_connection), use(the_use), db(this) {}
  static Impl& Of(Db& db) { return *db.impl_; }
  bool ok() const { return status.ok(); }
  // Keeps the first failure.
  void Fail(internal::Failure what, Status why) {
    if (!status.ok()) return;
    failure = what;
    status = std::move(why);
  }
  // Sends what was added; the answers of its last `count`. False when one has failed: it is kept.
  bool Send(std::size_t count, std::vector<internal::Answer>& answers);
  // Runs one statement that may be run here.
  internal::Answer Run(std::string_view sql, const Arg* args, std::size_t count);

  internal::Connection& connection;
  const Use use;
  Status status;
  internal::Failure failure = internal::Failure::kNone;
  std::int64_t changes = 0;
  bool recording = false;         // an automatic step runs
  bool may_have_written = false;  // a statement other than SELECT and the like was run
  Db db;
};

}  // namespace assent::mariadb

namespace assent::mariadb::internal {

// What the first word of a statement says about it. MariaDB commits what is open at many
// statements, so those that a handler may run are listed, and all others are not for it.
struct StatementKind {
  Status status;  // why a handler may not run it
  bool writes = false;
};
StatementKind KindOf(std::string_view sql);

// Runs a handler, and makes its answer what may be kept. `db` has what failed.
Reply RunHandler(const DbHandler& handler, const Call& call, Db::Impl& db);
// The same of a write of the service's own.
Status RunWriter(const std::function<Status(Db&)>& write, Db::Impl& db);

}  // namespace assent::mariadb::internal
