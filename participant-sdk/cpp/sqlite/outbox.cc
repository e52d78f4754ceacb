#include <utility>

#include <assent/outbox_sqlite.h>

#include "participant-sdk/cpp/outbox/enlist.h"
#include "participant-sdk/cpp/outbox/publish.h"
#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/db_impl.h"
#include "participant-sdk/cpp/sqlite/outbox_file.h"

namespace assent::sqlite {

namespace outbox = assent::internal::outbox;
using internal::RunScript;
using internal::Sentence;
using internal::Statement;
using internal::WithHint;

namespace {

constexpr char kTable[] = R"sql(CREATE TABLE IF NOT EXISTS assent_outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  gid TEXT NOT NULL UNIQUE,
  kind INTEGER NOT NULL DEFAULT 1,
  ordering_key TEXT,
  created_unix_ms INTEGER NOT NULL,
  due_unix_ms INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  first_attempt_unix_ms INTEGER,
  parked_reason TEXT,
  last_error TEXT,
  request BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS assent_outbox_due ON assent_outbox(due_unix_ms, id)
  WHERE kind = 1 AND ordering_key IS NULL AND parked_reason IS NULL;
CREATE INDEX IF NOT EXISTS assent_outbox_key ON assent_outbox(ordering_key, id)
  WHERE ordering_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS assent_outbox_parked ON assent_outbox(id)
  WHERE parked_reason IS NOT NULL;
)sql";

constexpr char kInsert[] =
    "INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) VALUES(?1, ?2, ?3, ?4)";
constexpr char kCount[] = "SELECT count(*) FROM (SELECT 1 FROM assent_outbox LIMIT ?1)";

Status Said(Status status, const std::string& gid) {
  const bool taken = status.code() == Code::kFailedPrecondition &&
                     status.message().find("assent_outbox.gid") != std::string::npos;
  return taken ? outbox::DuplicateGid(gid) : WithHint(std::move(status));
}

Status Uncounted(Status status) {
  return status.ok() ? Internal("count(*) has no row") : WithHint(std::move(status));
}

// What can never work is a business no; Db knows only one code for that.
Status ForHandler(const Status& status) {
  const bool never =
      status.code() == Code::kInvalidArgument || status.code() == Code::kAlreadyExists;
  return never ? FailedPrecondition("publish: " + status.message()) : status;
}

}  // namespace

struct Outbox::Impl {
  explicit Impl(OutboxOptions options) : gauge(options) {}

  Status PublishIn(Db::Impl& db, const Transaction& transaction, const PublishOptions& options) {
    if (db.recorded) return outbox::NotRecorded();
    Result<outbox::NewRow> row = outbox::RowOf(transaction, options);
    if (!row.ok()) return row.status();
    Status room = gauge.Admit([&db, this]() -> Result<std::int64_t> {
      Statement count(db.connection, kCount, gauge.bound());
      if (count.Step()) return count.Int(0);
      return Uncounted(count.status());
    });
    if (!room.ok()) return room;
    const Arg key = row->ordering_key.empty() ? Arg(nullptr) : Arg(row->ordering_key);
    return Said(
        Statement(db.connection, kInsert, row->gid, key, Blob{row->request}, internal::UnixMs())
            .Finish(),
        row->gid);
  }

  outbox::Gauge gauge;
};

const char* OutboxTableSql() { return kTable; }

Outbox::Outbox(OutboxOptions options) : impl_(std::make_shared<Impl>(options)) {}

void Outbox::CreateTable(Db& db) const {
  Db::Impl& impl = Db::Impl::Of(db);
  if (db.ok()) impl.Fail(impl.connection.Run(kTable));
}

Status Outbox::CreateTable(sqlite3* connection) const { return RunScript(connection, kTable); }

Status Outbox::Publish(Db& db, const Transaction& transaction,
                       const PublishOptions& options) const {
  if (!db.ok()) return db.status();
  Db::Impl& impl = Db::Impl::Of(db);
  Status status = impl_->PublishIn(impl, transaction, options);
  if (!status.ok()) impl.Fail(ForHandler(status));
  return status;
}

Status Outbox::Publish(sqlite3* connection, const Transaction& transaction,
                       const PublishOptions& options) const {
  Result<outbox::NewRow> row = outbox::RowOf(transaction, options);
  if (!row.ok()) return row.status();
  if (sqlite3_get_autocommit(connection) != 0) return outbox::NoTransaction();
  Status room = impl_->gauge.Admit([connection, this]() -> Result<std::int64_t> {
    Sentence count(connection, kCount);
    count.Int(static_cast<std::int64_t>(impl_->gauge.bound()));
    if (count.Step()) return count.IntAt(0);
    return Uncounted(count.status());
  });
  if (!room.ok()) return room;
  Sentence insert(connection, kInsert);
  insert.Text(row->gid).TextOrNull(row->ordering_key).Blob(row->request).Int(internal::UnixMs());
  return Said(insert.Finish(), row->gid);
}

Status Enlist(sqlite3* connection, const Transaction& message) {
  const Result<Call> call = outbox::EnlistCallOf(message);
  if (!call.ok()) return call.status();
  if (sqlite3_get_autocommit(connection) != 0) return outbox::NoTransaction();
  Sentence find(connection, "SELECT state FROM assent_barrier WHERE gid = ?1 AND branch_id = ?2");
  find.Text(call->gid).Text(call->branch_id);
  if (find.Step())
    return outbox::NotEnlisted(call->gid, static_cast<barrier::State>(find.IntAt(0)));
  if (!find.status().ok()) {
    const std::string& words = find.status().message();
    return words.find("no such table") == std::string::npos ? find.status()
                                                            : outbox::NoBarrier(words);
  }
  Sentence insert(connection,
                  "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, "
                  "result, reason, second_result, coordinator_id, began_epoch, touched_ms) "
                  "VALUES(?1, ?2, ?3, ?4, ?5, ?6, x'', '', x'', 0, 0, ?7)");
  insert.Text(call->gid).Text(call->branch_id).Int(static_cast<int>(call->protocol));
  insert.Text(call->action).Int(static_cast<int>(barrier::State::kDone));
  insert.Int(static_cast<int>(Reply::Kind::kDone)).Int(internal::UnixMs());
  return insert.Finish();
}

SagaHandlers CheckBack(CheckBackOptions options) {
  return {.action = [options](Db&, const Call& call) { return AnswerCheckBack(call, options); },
          .compensate = outbox::NeverUndone<Db>};
}

}  // namespace assent::sqlite
