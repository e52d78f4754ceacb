// Statements and answers. How a connection comes about: connect.cc.

#include "participant-sdk/cpp/mariadb/connection.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "participant-sdk/cpp/mariadb/prepared.h"

namespace assent::mariadb::internal {
namespace {

constexpr unsigned kTooManyPrepared = 1461;
// What session_track_transaction_info says, a letter for each: the fourth one is of writes that
// cannot be undone.
constexpr std::size_t kUnsafeWrite = 3;

}  // namespace

std::string Quoted(std::string_view plain) { return std::string("'").append(plain).append("'"); }

std::string HexOf(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "x'";
  text.reserve(bytes.size() * 2 + 3);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text + "'";
}

std::string HexTextOf(std::string_view text) { return "_utf8mb4 " + HexOf(text); }

Connection::~Connection() {
  prepared_.clear();  // they are of the connection
  mysql_close(&mysql_);
}

void Connection::NoteTransactionState() {
  const char* state = nullptr;
  std::size_t size = 0;
  if ((mysql_.server_status & SERVER_SESSION_STATE_CHANGED) == 0 ||
      mysql_session_track_get_first(&mysql_, SESSION_TRACK_TRANSACTION_STATE, &state, &size) != 0) {
    return;
  }
  wrote_for_good_ = size > kUnsafeWrite && state[kUnsafeWrite] == 'w';
}

Answer Connection::Lost() {
  broken_ = true;
  const char* const words = mysql_error(&mysql_);
  return {.number = mysql_errno(&mysql_),
          .message = *words == '\0' ? "no answer from MariaDB" : words};
}

Answer Connection::Failed() {
  Answer answer{.number = mysql_errno(&mysql_), .message = mysql_error(&mysql_)};
  answer.failure = FailureOf(answer.number, mysql_sqlstate(&mysql_));
  if (answer.failure == Failure::kLost) broken_ = true;
  if (answer.failure == Failure::kLocked && timeout_ends_transaction_)
    answer.failure = Failure::kAgain;
  return answer;
}

// Of the statement whose answer is there.
Answer Connection::ReadResult() {
  MYSQL_RES* const result = mysql_store_result(&mysql_);
  if (result == nullptr && mysql_field_count(&mysql_) != 0) return Failed();
  Answer answer{.failure = Failure::kNone, .table = Table::Of(result)};
  mysql_free_result(result);
  if (answer.table.columns() == 0)
    answer.table.SetChanged(static_cast<std::int64_t>(mysql_affected_rows(&mysql_)));
  NoteTransactionState();
  return answer;
}

void Connection::SendBatch(std::size_t first, std::size_t end,
                           const std::vector<std::string>& statements,
                           std::vector<Answer>& answers) {
  std::string text;
  for (std::size_t i = first; i < end; ++i) text += (i == first ? "" : "; ") + statements[i];
  int next = mysql_real_query(&mysql_, text.data(), text.size());
  for (std::size_t i = first; i < end; ++i) {
    answers.push_back(next == 0 ? ReadResult() : Failed());
    if (!answers.back().ok()) return;
    next = mysql_next_result(&mysql_);
    // -1: that was the last one.
    if ((next == -1) != (i + 1 == end)) {
      answers.back() = Lost();
      return;
    }
  }
}

std::vector<Answer> Connection::Exchange() {
  const std::vector<std::string> statements = std::exchange(added_, {});
  ++exchanges_;
  used_at_ = Clock::now();
  std::vector<Answer> answers;
  while (!broken_ && answers.size() < statements.size()) {
    const std::size_t first = answers.size();
    std::size_t end = first;
    for (std::size_t bytes = 0; end < statements.size(); ++end) {
      bytes += statements[end].size();
      if (end > first && bytes > limits::kMaxBatchBytes) break;
    }
    SendBatch(first, end, statements, answers);
    if (!answers.back().ok()) break;
  }
  const bool failed = !answers.empty() && !answers.back().ok() && !broken_;
  if (failed) lock_wait_ = std::chrono::seconds(-1);  // perhaps it was to be set behind that
  while (answers.size() < statements.size())
    answers.push_back(failed ? Answer{.failure = Failure::kSkipped, .message = "not looked at"}
                             : Lost());
  return answers;
}

Answer Connection::EarlierFailed(Answer failed) {
  earlier_failed_ = true;
  if (failed.failure != Failure::kLost) failed.failure = Failure::kAgain;
  return failed;
}

std::vector<Answer> Connection::ExchangeLast(std::size_t count) {
  ASSENT_CHECK(count > 0 && count <= added_.size());
  std::vector<Answer> answers = Exchange();
  const auto first = answers.end() - static_cast<std::ptrdiff_t>(count);
  const auto failed =
      std::find_if(answers.begin(), first, [](const Answer& answer) { return !answer.ok(); });
  if (failed != first) *first = EarlierFailed(std::move(*failed));
  answers.erase(answers.begin(), first);
  return answers;
}

Answer Connection::Query(std::string_view sql, const Arg* args, std::size_t count, bool writes) {
  if (!added_.empty()) {
    const auto kept = prepared_.find(std::string(sql));
    if (kept != prepared_.end() && !kept->second->returns_rows() &&
        kept->second->parameters() == count) {
      if (const std::optional<std::string> with = UsingOf(args, count)) {
        Answer answer = ExecuteInText(kept, *with);
        if (answer.number != kTooManyPrepared) return answer;
      }
    }
  }
  if (!added_.empty()) {
    std::vector<Answer> answers = Exchange();
    const auto failed = std::find_if(answers.begin(), answers.end(),
                                     [](const Answer& answer) { return !answer.ok(); });
    if (failed != answers.end()) return EarlierFailed(std::move(*failed));
  }
  ++exchanges_;
  used_at_ = Clock::now();
  if (broken_) return Lost();
  Answer answer = ExecutePrepared(sql, args, count, writes);
  if (answer.number == kTooManyPrepared && !prepared_.empty()) {
    ForgetAll();  // others want some too
    answer = ExecutePrepared(sql, args, count, writes);
  }
  return answer;
}

void Connection::ForgetAll() {
  while (!prepared_.empty()) Forget(prepared_.begin());
  for (const std::string& name : std::exchange(free_names_, {}))
    (void)Run("DEALLOCATE PREPARE " + name);
}

void Connection::Forget(PreparedStatements::iterator statement) {
  if (!statement->second->name().empty()) free_names_.push_back(statement->second->name());
  prepared_.erase(statement);
}

Answer Connection::ExecuteInText(PreparedStatements::iterator statement, const std::string& with) {
  Prepared& prepared = *statement->second;
  const std::size_t own = prepared.name().empty() ? 2 : 1;
  if (prepared.name().empty()) {
    prepared.SetName(free_names_.empty() ? "assent_" + std::to_string(++names_)
                                         : free_names_.back());
    if (!free_names_.empty()) free_names_.pop_back();
    Add("PREPARE " + prepared.name() + " FROM " + HexTextOf(statement->first));
  }
  Add("EXECUTE " + prepared.name() + with);
  std::vector<Answer> answers = Exchange();
  const auto failed = std::find_if(answers.begin(), answers.end(),
                                   [](const Answer& answer) { return !answer.ok(); });
  if (failed == answers.end()) return std::move(answers.back());
  const bool is_own = answers.end() - failed <= static_cast<std::ptrdiff_t>(own);
  // Whether the server has the name by now is not known where it was to get it.
  if (own == 2 || failed->failure != Failure::kConstraint) Forget(statement);
  return is_own ? std::move(*failed) : EarlierFailed(std::move(*failed));
}

Answer Connection::ExecutePrepared(std::string_view sql, const Arg* args, std::size_t count,
                                   bool writes) {
  const auto failed = [this](const Prepared& statement) {
    Answer answer{.number = statement.number(), .message = statement.message()};
    answer.failure = FailureOf(answer.number, statement.sqlstate());
    if (answer.failure == Failure::kLost) broken_ = true;
    if (answer.failure == Failure::kLocked && timeout_ends_transaction_)
      answer.failure = Failure::kAgain;
    return answer;
  };
  const std::string key(sql);
  const auto kept = prepared_.find(key);
  std::unique_ptr<Prepared> fresh;
  if (kept == prepared_.end()) {
    fresh = std::make_unique<Prepared>(&mysql_);
    if (!fresh->Prepare(sql)) return failed(*fresh);
  }
  Prepared& statement = fresh ? *fresh : *kept->second;
  if (statement.parameters() != count) {
    return {.failure = Failure::kMistake,
            .message = "the statement has " + std::to_string(statement.parameters()) +
                       " parameters and was given " + std::to_string(count)};
  }
  Answer answer{.failure = Failure::kNone};
  if (!statement.Execute(args, count, writes, answer.table)) {
    answer = failed(statement);
    // What it was prepared for may not be there any more.
    if (kept != prepared_.end() && answer.failure != Failure::kConstraint) Forget(kept);
    return answer;
  }
  NoteTransactionState();
  if (fresh && prepared_.size() < limits::kMaxCachedStatementsCount)
    prepared_.emplace(key, std::move(fresh));
  return answer;
}

Answer Connection::Run(const std::string& script) {
  ASSENT_CHECK(added_.empty());
  ++exchanges_;
  used_at_ = Clock::now();
  if (broken_) return Lost();
  int next = mysql_real_query(&mysql_, script.data(), script.size());
  for (;;) {
    Answer answer = next == 0 ? ReadResult() : Failed();
    if (!answer.ok()) return answer;
    next = mysql_next_result(&mysql_);
    if (next == -1) return answer;
  }
}

void Connection::AddLockWait(std::chrono::seconds wait) {
  if (lock_wait_ == wait) return;
  lock_wait_ = wait;
  const std::string seconds = std::to_string(wait.count());
  Add("SET SESSION innodb_lock_wait_timeout = " + seconds + ", lock_wait_timeout = " + seconds);
}

}  // namespace assent::mariadb::internal
