#include <mysql.h>
#include <utility>

#include <assent/outbox_mariadb.h>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"
#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/outbox/enlist.h"
#include "participant-sdk/cpp/outbox/publish.h"

namespace assent::mariadb {

namespace outbox = assent::internal::outbox;
using internal::Answer;
using internal::Failure;

namespace {

constexpr char kTable[] = R"sql(CREATE TABLE IF NOT EXISTS assent_outbox(
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind SMALLINT NOT NULL DEFAULT 1,
  ordering_key VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
  created_unix_ms BIGINT NOT NULL,
  due_unix_ms BIGINT NOT NULL DEFAULT 0,
  attempts INT NOT NULL DEFAULT 0,
  first_attempt_unix_ms BIGINT,
  parked_reason TEXT CHARACTER SET utf8mb4,
  last_error TEXT CHARACTER SET utf8mb4,
  request MEDIUMBLOB NOT NULL,
  UNIQUE KEY assent_outbox_gid(gid),
  KEY assent_outbox_due(kind, ordering_key, due_unix_ms, id),
  KEY assent_outbox_key(ordering_key, id),
  KEY assent_outbox_parked(parked_reason(1), id)) ENGINE=InnoDB;
)sql";

// Of no time zone, whose clock may go back.
#define ASSENT_NOW "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000"
constexpr char kInsert[] =
    "INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) VALUES(?, ?, "
    "?, " ASSENT_NOW ")";
constexpr char kInsertText[] =
    "INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) VALUES(";
constexpr char kCount[] = "SELECT COUNT(*) FROM (SELECT 1 FROM assent_outbox LIMIT ";

constexpr unsigned kDuplicate = 1062;
constexpr unsigned kNoSuchTable = 1146;
constexpr unsigned kOutOfSync = 2014;

std::string CountSql(std::size_t bound) { return kCount + std::to_string(bound) + ") r"; }

Status Said(unsigned number, Status status, const std::string& gid) {
  if (number == kDuplicate) return outbox::DuplicateGid(gid);
  if (number == kNoSuchTable) return outbox::NoTable(status.message());
  if (number == kOutOfSync)
    return FailedPrecondition("the connection is busy with a statement: read its rows first");
  return status;
}

// One statement on the user's own connection; the first column of its first row, as a number.
Result<std::int64_t> Ask(MYSQL* mysql, const std::string& sql, const std::string& gid) {
  MYSQL_RES* rows = nullptr;
  bool ok = mysql_real_query(mysql, sql.data(), sql.size()) == 0;
  if (ok && mysql_field_count(mysql) != 0) {
    rows = mysql_store_result(mysql);
    ok = rows != nullptr;
  }
  if (!ok) {
    const unsigned number = mysql_errno(mysql);
    return Said(
        number,
        internal::StatusOf(internal::FailureOf(number, mysql_sqlstate(mysql)), mysql_error(mysql)),
        gid);
  }
  const MYSQL_ROW row = rows == nullptr ? nullptr : mysql_fetch_row(rows);
  const std::int64_t value =
      row == nullptr || row[0] == nullptr ? 0 : std::strtoll(row[0], nullptr, 10);
  mysql_free_result(rows);
  return value;
}

Status CheckOpen(MYSQL* mysql) {
  unsigned status = 0;
  (void)mariadb_get_infov(mysql, MARIADB_CONNECTION_SERVER_STATUS, &status);
  const bool open =
      (status & SERVER_STATUS_IN_TRANS) != 0 || (status & SERVER_STATUS_AUTOCOMMIT) == 0;
  return open ? OkStatus() : outbox::NoTransaction();
}

}  // namespace

struct Outbox::Impl {
  explicit Impl(OutboxOptions options) : gauge(options) {}

  // What Publish says, and what becomes of the handler's operation.
  Status PublishIn(Db::Impl& db, const Transaction& transaction, const PublishOptions& options) {
    if (db.recording) return Fail(db, Failure::kConstraint, outbox::NotRecorded());
    const Result<outbox::NewRow> row = outbox::RowOf(transaction, options);
    if (!row.ok()) return Fail(db, Failure::kConstraint, row.status());
    Status room = gauge.Admit([&]() -> Result<std::int64_t> {
      const Answer count = db.Run(CountSql(gauge.bound()), nullptr, 0);
      if (!count.ok()) return Failed(db, count, row->gid);
      return count.table.Int(0, 0);
    });
    // Of a count that failed its own failure stays: the first is kept.
    if (!room.ok()) return Fail(db, Failure::kMistake, room);
    const Arg args[] = {Arg(row->gid),
                        row->ordering_key.empty() ? Arg(nullptr) : Arg(row->ordering_key),
                        Arg(Blob{row->request})};
    const Answer inserted = db.Run(kInsert, args, std::size(args));
    return inserted.ok() ? OkStatus() : Failed(db, inserted, row->gid);
  }

  static Status Failed(Db::Impl& db, const Answer& answer, const std::string& gid) {
    return Fail(db, answer.failure, Said(answer.number, answer.status(), gid));
  }
  static Status Fail(Db::Impl& db, Failure failure, const Status& status) {
    db.Fail(failure, Status(status.code(), "publish: " + status.message()));
    return status;
  }

  outbox::Gauge gauge;
};

Outbox::Outbox(OutboxOptions options) : impl_(std::make_shared<Impl>(options)) {}

const char* OutboxTableSql() { return kTable; }

void Outbox::CreateTable(Db& db) const { db.ExecScript(kTable); }

Status Outbox::CreateTable(st_mysql* connection) const {
  std::string sql = kTable;
  sql.resize(sql.rfind(';'));  // not every connection takes several statements
  return Ask(connection, sql, {}).status();
}

Status Outbox::Publish(Db& db, const Transaction& transaction,
                       const PublishOptions& options) const {
  if (!db.ok()) return db.status();
  return impl_->PublishIn(Db::Impl::Of(db), transaction, options);
}

Status Outbox::Publish(st_mysql* connection, const Transaction& transaction,
                       const PublishOptions& options) const {
  const Result<outbox::NewRow> row = outbox::RowOf(transaction, options);
  if (!row.ok()) return row.status();
  if (Status s = CheckOpen(connection); !s.ok()) return s;
  outbox::Gauge& gauge = impl_->gauge;
  Status room = gauge.Admit([&] { return Ask(connection, CountSql(gauge.bound()), row->gid); });
  if (!room.ok()) return room;
  const std::string key =
      row->ordering_key.empty() ? std::string("NULL") : internal::HexTextOf(row->ordering_key);
  return Ask(connection,
             kInsertText + internal::Quoted(row->gid) + ", " + key + ", " +
                 internal::HexOf(row->request) + ", " ASSENT_NOW ")",
             row->gid)
      .status();
}

Status Enlist(st_mysql* connection, const Transaction& message) {
  const Result<Call> call = outbox::EnlistCallOf(message);
  if (!call.ok()) return call.status();
  if (Status s = CheckOpen(connection); !s.ok()) return s;
  const auto number = [](auto value) { return std::to_string(static_cast<int>(value)); };
  const std::string row = internal::Quoted(call->gid) + ", " + internal::Quoted(call->branch_id) +
                          ", " + number(call->protocol) + ", " + internal::Quoted(call->action) +
                          ", " + number(barrier::State::kDone) + ", " + number(Reply::Kind::kDone);
  const Result<std::int64_t> made =
      Ask(connection,
          "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, "
          "reason, second_result, coordinator_id, began_epoch, touched_ms) VALUES(" +
              row + ", '', '', '', 0, 0, " + internal::TimeOf({}) + ")",
          call->gid);
  if (made.ok()) return OkStatus();
  if (mysql_errno(connection) == kNoSuchTable) return outbox::NoBarrier(mysql_error(connection));
  if (mysql_errno(connection) != kDuplicate) return made.status();
  // What is committed now, whatever this transaction's snapshot shows.
  const Result<std::int64_t> state =
      Ask(connection,
          "SELECT state FROM assent_barrier WHERE " +
              internal::IsBranch({call->gid, call->branch_id}) + " LOCK IN SHARE MODE",
          call->gid);
  return state.ok() ? outbox::NotEnlisted(call->gid, static_cast<barrier::State>(*state))
                    : state.status();
}

// An initiator that is just committing has its row locked: no neighbour of the group waits for it.
SagaHandlers CheckBack(CheckBackOptions options) {
  return {.action =
              [options](Db& db, const Call& call) {
                const Reply reply = AnswerCheckBack(call, options);
                if (reply.kind != Reply::Kind::kRefused) return reply;
                (void)db.Query(
                    "SELECT state FROM assent_barrier WHERE gid = ? AND branch_id = ? "
                    "FOR UPDATE NOWAIT",
                    call.gid, call.branch_id);
                return db.ok() ? reply : Reply::RetryLater("it is being enlisted");
              },
          .compensate = outbox::NeverUndone<Db>};
}

}  // namespace assent::mariadb
