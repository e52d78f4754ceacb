#include <exception>

#include <assent/mariadb.h>
#include <assent/text.h>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/mariadb/table.h"
#include "participant-sdk/cpp/mariadb/undo_log.h"

namespace assent::mariadb {

using internal::Answer;
using internal::Failure;

namespace {

// Of a lock, a deadlock or a lost connection a handler has no other idea: it runs again.
bool EndsOperation(Failure failure) {
  return failure != Failure::kConstraint && failure != Failure::kMistake;
}

}  // namespace

int Row::columns() const { return table_->columns(); }
bool Row::IsNull(int column) const { return table_->IsNull(number_, column); }
std::int64_t Row::Int(int column) const { return table_->Int(number_, column); }
double Row::Real(int column) const { return table_->Real(number_, column); }
std::string_view Row::Text(int column) const { return table_->Text(number_, column); }

Rows::Rows(std::unique_ptr<internal::Table> table)
    : table_(std::move(table)), row_(table_.get(), -1) {}
Rows::Rows(Rows&& other) noexcept = default;
Rows::~Rows() = default;

bool Rows::Next() {
  if (table_ == nullptr || row_.number_ + 1 >= table_->rows()) return false;
  ++row_.number_;
  return true;
}

std::int64_t Db::ExecArgs(std::string_view sql, const Arg* args, std::size_t count) {
  const Rows rows = QueryArgs(sql, args, count);
  impl_->changes = rows.table_ == nullptr ? 0 : rows.table_->changed();
  return impl_->changes;
}

internal::Answer Db::Impl::Run(std::string_view sql, const Arg* args, std::size_t count) {
  const internal::StatementKind kind = internal::KindOf(sql);
  if (!kind.status.ok() && use == Use::kOperation)
    return {.failure = Failure::kMistake, .message = kind.status.message()};
  const bool before = connection.WroteForGood();
  may_have_written = may_have_written || kind.writes;
  internal::Answer answer = connection.Query(sql, args, count, kind.writes);
  if (use == Use::kOperation && answer.ok() && !before && connection.WroteForGood()) {
    return {.failure = Failure::kMistake,
            .message =
                "it wrote to a table of an engine that cannot undo it, and what it wrote "
                "there is kept: ALTER TABLE … ENGINE = InnoDB"};
  }
  return answer;
}

bool Db::Impl::Send(std::size_t count, std::vector<internal::Answer>& answers) {
  answers = connection.ExchangeLast(count);
  for (const Answer& answer : answers) {
    if (!answer.ok()) Fail(answer.failure, answer.status());
  }
  return ok();
}

Rows Db::QueryArgs(std::string_view sql, const Arg* args, std::size_t count) {
  if (!ok()) return Rows(nullptr);
  Answer answer = impl_->Run(sql, args, count);
  if (answer.ok()) return Rows(std::make_unique<internal::Table>(std::move(answer.table)));
  impl_->Fail(answer.failure, answer.status());
  return Rows(nullptr);
}

Result<std::int64_t> Db::TryExecArgs(std::string_view sql, const Arg* args, std::size_t count) {
  if (!ok()) return impl_->status;
  const Status allowed = internal::KindOf(sql).status;
  if (!allowed.ok()) return allowed;
  internal::Connection& connection = impl_->connection;
  connection.Add("SAVEPOINT assent_try");
  if (impl_->recording) internal::AddRememberCounts(connection);
  Answer answer = impl_->Run(sql, args, count);
  if (answer.ok()) {
    connection.Add("RELEASE SAVEPOINT assent_try");
    impl_->changes = answer.table.changed();
    return impl_->changes;
  }
  if (EndsOperation(answer.failure)) {
    impl_->Fail(answer.failure, answer.status());
  } else {
    connection.Add("ROLLBACK TO SAVEPOINT assent_try");
    connection.Add("RELEASE SAVEPOINT assent_try");
    if (impl_->recording) internal::AddForgiveCounts(connection);
  }
  return answer.status();
}

void Db::ExecScript(std::string_view sql) {
  if (!ok()) return;
  if (impl_->use != Impl::Use::kSetup) {
    return impl_->Fail(Failure::kMistake,
                       FailedPrecondition("ExecScript is for Options::setup: run one statement at "
                                          "a time here"));
  }
  const Answer answer = impl_->connection.Run(std::string(sql));
  if (!answer.ok()) impl_->Fail(answer.failure, answer.status());
}

std::int64_t Db::Changes() const { return impl_->changes; }
const Status& Db::status() const { return impl_->status; }

namespace internal {

Reply RunHandler(const DbHandler& handler, const Call& call, Db::Impl& db) {
  Reply reply;
  try {
    reply = handler(db.db, call);
  } catch (const std::exception& thrown) {
    reply = Reply::RetryLater(std::string("the handler threw: ") + thrown.what());
  } catch (...) {
    reply = Reply::RetryLater("the handler threw");
  }
  const Role role = RoleOf(call.operation);
  if (!db.status.ok() && (barrier::IsDone(reply) || db.failure != Failure::kConstraint)) {
    const bool said_no = db.failure == Failure::kConstraint && role == Role::kForward;
    // What failed for the world's sake is no business no, whatever the handler makes of it.
    const bool is_own_no = reply.kind == Reply::Kind::kRefused && !EndsOperation(db.failure);
    if (!is_own_no)
      reply =
          said_no ? Reply::Refused(db.status.message()) : Reply::RetryLater(db.status.ToString());
  }
  reply.reason = CleanText(reply.reason);  // the wire takes no other text
  return barrier::Normalized(std::move(reply), role);
}

Status RunWriter(const std::function<Status(Db&)>& write, Db::Impl& db) {
  Status status;
  try {
    status = write(db.db);
  } catch (const std::exception& thrown) {
    status = Internal(std::string("the writer threw: ") + thrown.what());
  } catch (...) {
    status = Internal("the writer threw");
  }
  return status.ok() ? db.status : status;
}

}  // namespace internal
}  // namespace assent::mariadb
