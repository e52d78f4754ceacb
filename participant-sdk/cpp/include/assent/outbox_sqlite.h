#pragma once

// The outbox in SQLite: see assent/outbox.h.
//
//   const assent::sqlite::Outbox outbox;
//   sqlite3_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders …", …);
//   assent::Status status = outbox.Publish(db, ship);      // one row more
//   sqlite3_exec(db, status.ok() ? "COMMIT" : "ROLLBACK", …);

#include <chrono>
#include <memory>
#include <string>

#include <assent/check_back.h>
#include <assent/outbox.h>
#include <assent/sqlite.h>

namespace assent::sqlite {

// Writes rows. Thread-safe, cheap to copy; copies count together.
class Outbox {
 public:
  explicit Outbox(OutboxOptions options = {});

  // Makes the table where it is missing: in Options::setup, or on a connection of the user's.
  void CreateTable(Db& db) const;
  [[nodiscard]] Status CreateTable(sqlite3* connection) const;

  // Within the handler's local transaction (Tcc, Saga, Store::Local). As of a statement, the first
  // failure is remembered by `db`; it is returned as well. Handlers whose writes are recorded
  // (TwoPhase, AutoSaga) cannot publish: what was handed over could not be taken back.
  Status Publish(Db& db, const Transaction& transaction, const PublishOptions& options = {}) const;
  // Within the transaction that is open on `connection`: one INSERT, which commits with it. A
  // failure leaves the transaction open and without the row.
  //   kInvalidArgument     the transaction or the key; the message names the field
  //   kFailedPrecondition  no transaction is open: the row would commit by itself; or no table
  //   kAlreadyExists       a row with this gid is there
  //   kResourceExhausted   max_waiting_count: later
  //   kUnavailable         the database is busy
  [[nodiscard]] Status Publish(sqlite3* connection, const Transaction& transaction,
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
//   kUnavailable         the database is busy
[[nodiscard]] Status Enlist(sqlite3* connection, const Transaction& message);
// What a store answers when it is asked whether a message was enlisted.
SagaHandlers CheckBack(CheckBackOptions options = {});

// The statements of CreateTable, for whoever keeps migrations.
const char* OutboxTableSql();

struct OutboxTableOptions {
  std::string path;                               // must exist
  std::chrono::milliseconds busy_timeout{2'000};  // for others that write
};
// For a Relay. Opens the file when it is first used.
std::unique_ptr<OutboxTable> OpenOutboxTable(OutboxTableOptions options);

}  // namespace assent::sqlite
