#pragma once

// The outbox in PostgreSQL: see assent/outbox.h.
//
//   const assent::postgresql::Outbox outbox;
//   PQclear(PQexec(connection, "BEGIN; INSERT INTO orders …"));
//   assent::Status status = outbox.Publish(connection, ship);   // one row more
//   PQclear(PQexec(connection, status.ok() ? "COMMIT" : "ROLLBACK"));

#include <chrono>
#include <memory>
#include <string>

#include <assent/check_back.h>
#include <assent/outbox.h>
#include <assent/postgresql.h>

struct pg_conn;  // PGconn

namespace assent::postgresql {

// Writes rows. Thread-safe, cheap to copy; copies count together.
class Outbox {
 public:
  explicit Outbox(OutboxOptions options = {});

  // Makes the table where it is missing: in Options::setup, or on a connection of the user's.
  void CreateTable(Db& db) const;
  [[nodiscard]] Status CreateTable(pg_conn* connection) const;

  // Within the handler's local transaction: as of a statement, the first failure is remembered by
  // `db`; it is returned as well. A two-phase handler publishes too: the row is there when its
  // branch commits, and relays find it by looking, for such a transaction cannot notify. AutoSaga
  // cannot publish: what was handed over could not be taken back.
  Status Publish(Db& db, const Transaction& transaction, const PublishOptions& options = {}) const;
  // Within the transaction that is open on `connection`: one INSERT, which commits with it. As
  // after any statement that the server has refused, the transaction can then only be rolled back.
  //   kInvalidArgument     the transaction or the key; the message names the field
  //   kFailedPrecondition  no transaction is open: the row would commit by itself; it has failed
  //                        already; the connection is in pipeline mode or busy; or no table
  //   kAlreadyExists       a row with this gid is there
  //   kResourceExhausted   max_waiting_count: later
  //   kUnavailable         the connection is lost, or somebody has the table locked
  [[nodiscard]] Status Publish(pg_conn* connection, const Transaction& transaction,
                               const PublishOptions& options = {}) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// The mark of a message without an outbox (assent/check_back.h), within the transaction that is
// open on `connection`: one row of the barrier, which commits with it.
//   kInvalidArgument     it does not begin with CheckBack, or is wrong otherwise
//   kFailedPrecondition  the coordinator has asked, and was told no: roll back; or no transaction
//                        is open, or no store has made its tables here
//   kAlreadyExists       it is enlisted
//   kUnavailable         the connection is lost
[[nodiscard]] Status Enlist(pg_conn* connection, const Transaction& message);
// What a store answers when it is asked whether a message was enlisted.
SagaHandlers CheckBack(CheckBackOptions options = {});

// The statements of CreateTable, for whoever keeps migrations.
const char* OutboxTableSql();

struct OutboxTableOptions {
  std::string connection;  // as Options::connection
  std::chrono::milliseconds lock_timeout{2'000};
  std::chrono::milliseconds statement_timeout{10'000};
  // A server that is silent for longer counts as gone.
  std::chrono::milliseconds answer_within{15'000};
  std::chrono::seconds connect_timeout{5};
};
// For a Relay. Connects when it is first used; listening takes a connection more.
std::unique_ptr<OutboxTable> OpenOutboxTable(OutboxTableOptions options);

}  // namespace assent::postgresql
