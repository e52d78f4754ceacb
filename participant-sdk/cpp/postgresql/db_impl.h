#pragma once

// What stands behind the public Db: the connection, and the first failure of the operation that
// uses it.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <assent/postgresql.h>

#include "participant-sdk/cpp/postgresql/connection.h"

namespace assent::postgresql {

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
  // What was added to the connection, with so many answers at its end that are wanted. False: it
  // has failed.
  bool Send(std::size_t count, std::vector<internal::Answer>& answers) {
    answers = connection.QueryLast(count);
    for (const internal::Answer& answer : answers) {
      if (answer.ok()) continue;
      Fail(answer.failure, answer.status());
      return false;
    }
    return true;
  }

  internal::Connection& connection;
  const Use use;
  Status status;
  internal::Failure failure = internal::Failure::kNone;
  std::int64_t changes = 0;
  bool recording = false;      // an automatic step runs
  bool prepares = false;       // the local transaction ends with PREPARE TRANSACTION
  std::size_t savepoints = 0;  // that TryExec opened
  Db db;
};

}  // namespace assent::postgresql

namespace assent::postgresql::internal {

// Whether a handler may run this statement; the first word decides. What begins or ends local
// transactions and savepoints is the adapter's, what sets something would be felt by neighbours.
Status CheckStatement(std::string_view sql);

// Runs a handler, and makes its answer what may be kept. `db` has what failed.
Reply RunHandler(const DbHandler& handler, const Call& call, Db::Impl& db);
// The same of a write of the service's own.
Status RunWriter(const std::function<Status(Db&)>& write, Db::Impl& db);

}  // namespace assent::postgresql::internal
