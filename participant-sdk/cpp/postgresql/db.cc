#include <exception>

#include <assent/postgresql.h>
#include <assent/text.h>

#include "participant-sdk/cpp/barrier/barrier.h"
#include "participant-sdk/cpp/postgresql/db_impl.h"
#include "participant-sdk/cpp/postgresql/table.h"

namespace assent::postgresql {

using internal::Answer;
using internal::Failure;
using internal::Param;
using internal::Params;

namespace {

Result<Params> ParamsOf(const Arg* args, std::size_t count) {
  Params params;
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_text = args[i].type() == Arg::Type::kText;
    if (is_text && args[i].bytes().find('\0') != std::string_view::npos) {
      return InvalidArgument("parameter $" + std::to_string(i + 1) +
                             " is a text with a NUL, which PostgreSQL cannot keep: give a Blob");
    }
    params.push_back(Param::Of(args[i]));
  }
  return params;
}

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

Rows Db::QueryArgs(std::string_view sql, const Arg* args, std::size_t count) {
  if (!ok()) return Rows(nullptr);
  Status status = internal::CheckStatement(sql);
  Result<Params> params = ParamsOf(args, count);
  if (status.ok()) status = params.status();
  if (!status.ok()) {
    impl_->Fail(Failure::kMistake, std::move(status));
    return Rows(nullptr);
  }
  Answer answer = impl_->connection.Query(sql, std::move(*params));
  if (answer.ok()) return Rows(std::make_unique<internal::Table>(std::move(answer.table)));
  impl_->Fail(answer.failure, answer.status());
  return Rows(nullptr);
}

Result<std::int64_t> Db::TryExecArgs(std::string_view sql, const Arg* args, std::size_t count) {
  if (!ok()) return impl_->status;
  Status status = internal::CheckStatement(sql);
  Result<Params> params = ParamsOf(args, count);
  if (status.ok()) status = params.status();
  if (!status.ok()) return status;
  internal::Connection& connection = impl_->connection;
  connection.Add("SAVEPOINT assent_try");
  ++impl_->savepoints;
  Answer answer = connection.Query(sql, std::move(*params));
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
  if (!answer.ok()) return impl_->Fail(answer.failure, answer.status());
  if (!impl_->connection.InTransaction()) {
    impl_->Fail(Failure::kMistake,
                FailedPrecondition("the script has ended the local transaction of the setup"));
  }
}

std::int64_t Db::Changes() const { return impl_->changes; }
const Status& Db::status() const { return impl_->status; }

namespace internal {

// The wire takes no other text, and PostgreSQL no NUL.
Reply Cleaned(Reply reply) {
  reply.reason = CleanText(reply.reason);
  for (char& c : reply.reason) c = c == '\0' ? '?' : c;
  return reply;
}

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
  return barrier::Normalized(Cleaned(std::move(reply)), role);
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
}  // namespace assent::postgresql
