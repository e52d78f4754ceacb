#pragma once

// The outbox in MariaDB: see assent/outbox.h.
//
//   const assent::mariadb::Outbox outbox;
//   mysql_query(mysql, "START TRANSACTION"), mysql_query(mysql, "INSERT INTO orders …");
//   assent::Status status = outbox.Publish(mysql, ship);       // one row more
//   mysql_query(mysql, status.ok() ? "COMMIT" : "ROLLBACK");

#include <chrono>
#include <memory>
#include <string>

#include <assent/check_back.h>
#include <assent/mariadb.h>
#include <assent/outbox.h>

struct st_mysql;  // MYSQL

namespace assent::mariadb {

// Writes rows. Thread-safe, cheap to copy; copies count together.
class Outbox {
 public:
  explicit Outbox(OutboxOptions options = {});

  // Makes the table where it is missing: in Options::setup, or on a connection of the user's, whose
  // open transaction CREATE TABLE commits.
  void CreateTable(Db& db) const;
  [[nodiscard]] Status CreateTable(st_mysql* connection) const;

  // Within the handler's local transaction: as of a statement, the first failure is remembered by
  // `db`; it is returned as well. A two-phase handler publishes too: the row is there when its
  // branch commits. AutoSaga cannot publish: what was handed over could not be taken back.
  Status Publish(Db& db, const Transaction& transaction, const PublishOptions& options = {}) const;
  // Within the transaction that is open on `connection`: one INSERT, which commits with it. A
  // failure leaves the transaction open and without the row, but for a deadlock, which has rolled
  // it back.
  //   kInvalidArgument     the transaction or the key; the message names the field
  //   kFailedPrecondition  no transaction is open: the row would commit by itself; or no table
  //   kAlreadyExists       a row with this gid is there
  //   kResourceExhausted   max_waiting_count: later
  //   kUnavailable         the connection is lost, or somebody has the table locked
  [[nodiscard]] Status Publish(st_mysql* connection, const Transaction& transaction,
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
//   kUnavailable         the connection is lost, or somebody has the row locked
[[nodiscard]] Status Enlist(st_mysql* connection, const Transaction& message);
// What a store answers when it is asked whether a message was enlisted.
SagaHandlers CheckBack(CheckBackOptions options = {});

// The statement of CreateTable, for whoever keeps migrations.
const char* OutboxTableSql();

struct OutboxTableOptions {
  Server server = {};
  std::chrono::seconds lock_timeout{2};
  std::chrono::milliseconds statement_timeout{10'000};
  // A server that is silent for longer counts as gone.
  std::chrono::milliseconds answer_within{15'000};
  std::chrono::seconds connect_timeout{5};
};
// For a Relay. Connects when it is first used.
std::unique_ptr<OutboxTable> OpenOutboxTable(OutboxTableOptions options);

}  // namespace assent::mariadb
