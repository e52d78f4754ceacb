// Statements and answers. How a connection comes about: connect.cc.

#include "coordinator/log/postgresql/connection.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <utility>

namespace assent::log {
namespace {

using Clock = std::chrono::steady_clock;

// How soon a raised flag is seen.
constexpr std::chrono::milliseconds kLookAtStop(100);

constexpr int kBinary = 1;

struct Pointers {
  explicit Pointers(const std::vector<std::string>& strings) {
    for (const std::string& value : strings) {
      values.push_back(value.data());
      lengths.push_back(static_cast<int>(value.size()));
      formats.push_back(kBinary);
    }
  }
  int count() const { return static_cast<int>(values.size()); }
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

}  // namespace

Status Answer::status(std::string_view what) const {
  if (ok()) return OkStatus();
  std::string words = std::string(what) + ": " + message;
  if (verdict == Verdict::kNoSpace) return ResourceExhausted(std::move(words));
  if (verdict == Verdict::kRefused) return Internal(std::move(words));
  return Unavailable(std::move(words));
}

Connection::~Connection() = default;

void Connection::OnNotice(void* self, const PGresult* notice) {
  auto* connection = static_cast<Connection*>(self);
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity == nullptr || std::string_view(severity) != "WARNING") return;
  connection->warned_ = true;
  connection->warning_ = OneLine(PQresultErrorMessage(notice));
}

bool Connection::TakeWarning(std::string& words) {
  words = std::move(warning_);
  warning_.clear();
  return std::exchange(warned_, false);
}

Clock::time_point Connection::End() const {
  return options_.answer_within.count() == 0 ? Clock::time_point::max()
                                             : Clock::now() + options_.answer_within;
}

// Until the socket is ready for one of `events`. False: stopped, or too late.
bool Connection::WaitFor(short events, Clock::time_point end) {
  for (;;) {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) return false;
    auto wait = kLookAtStop;
    if (end != Clock::time_point::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      if (left.count() <= 0) return false;
      wait = std::min(wait, left);
    }
    pollfd socket{.fd = PQsocket(connection_.get()), .events = events, .revents = 0};
    const int ready = poll(&socket, 1, static_cast<int>(wait.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// While we send, answers may fill the way back: they are taken in meanwhile.
bool Connection::Flush() {
  const Clock::time_point end = End();
  for (;;) {
    const int left = PQflush(connection_.get());
    if (left <= 0) return left == 0;
    if (!WaitFor(POLLIN | POLLOUT, end) || PQconsumeInput(connection_.get()) == 0) return false;
  }
}

// The next result; nullptr at the end of a statement's. A lost connection gives one more result,
// which says so, or is marked broken here.
PGresult* Connection::Next() {
  const Clock::time_point end = End();
  while (PQisBusy(connection_.get()) != 0) {
    if (!WaitFor(POLLIN, end)) {
      broken_ = true;
      return nullptr;
    }
    if (PQconsumeInput(connection_.get()) == 0) break;  // the result says why
  }
  return PQgetResult(connection_.get());
}

Answer Connection::Lost() {
  broken_ = true;
  const char* words = connection_ ? PQerrorMessage(connection_.get()) : "";
  return {.verdict = Verdict::kUnknown,
          .message = *words == '\0' ? "no answer from the database" : OneLine(words)};
}

Answer Connection::AnswerOf(PGresult* result) {
  Answer answer{.rows = Rows(result)};
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_EMPTY_QUERY: answer.verdict = Verdict::kDone; return answer;
    case PGRES_PIPELINE_ABORTED: answer.verdict = Verdict::kSkipped; return answer;
    default: break;
  }
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  answer.sqlstate = state == nullptr ? "" : state;
  answer.message = OneLine(PQresultErrorMessage(result));
  answer.verdict = VerdictOf(answer.sqlstate);
  if (answer.sqlstate.empty() || PQstatus(connection_.get()) != CONNECTION_OK) {
    broken_ = true;
    answer.verdict = Verdict::kUnknown;
  }
  return answer;
}

// Of a message without pipeline: the last statement's answer, or the first that failed.
Answer Connection::ReadAll() {
  if (!Flush()) return Lost();
  Answer answer{.message = "no answer"};
  while (PGresult* result = Next()) {
    Answer next = AnswerOf(result);
    if (answer.ok() || answer.sqlstate.empty()) answer = std::move(next);
  }
  return broken_ ? Lost() : std::move(answer);
}

Answer Connection::Run(const std::string& statements) {
  if (broken_ || PQsendQuery(connection_.get(), statements.c_str()) == 0) return Lost();
  return ReadAll();
}

Answer Connection::Query(const std::string& statement, const Params& params) {
  const Pointers pointers(params.values_);
  if (broken_ || PQsendQueryParams(connection_.get(), statement.c_str(), pointers.count(), nullptr,
                                   pointers.values.data(), pointers.lengths.data(),
                                   pointers.formats.data(), kBinary) == 0) {
    return Lost();
  }
  return ReadAll();
}

bool Connection::SendRowByRow(const std::string& statement, const Params& params) {
  row_by_row_ = true;
  const Pointers pointers(params.values_);
  return !broken_ &&
         PQsendQueryParams(connection_.get(), statement.c_str(), pointers.count(), nullptr,
                           pointers.values.data(), pointers.lengths.data(), pointers.formats.data(),
                           kBinary) != 0 &&
         PQsetSingleRowMode(connection_.get()) != 0 && Flush();
}

bool Connection::IsRow(const Answer& answer) {
  return answer.ok() && PQresultStatus(answer.rows.raw()) == PGRES_SINGLE_TUPLE;
}

Answer Connection::NextRow() {
  PGresult* result = Next();
  if (result == nullptr) return Lost();
  Answer answer = AnswerOf(result);
  if (IsRow(answer)) return answer;
  while (PGresult* rest = Next()) PQclear(rest);
  return broken_ ? Lost() : std::move(answer);
}

void Connection::AddPrepare(const char* name, const char* statement) {
  added_.push_back({.name = name, .prepare = statement, .params = {}});
}

void Connection::Add(const char* name, Params params) {
  added_.push_back({.name = name, .prepare = nullptr, .params = std::move(params)});
}

bool Connection::Send(const Statement& statement) {
  PGconn* const raw = connection_.get();
  if (statement.prepare != nullptr)
    return PQsendPrepare(raw, statement.name, statement.prepare, 0, nullptr) != 0;
  const Pointers pointers(statement.params.values_);
  return PQsendQueryPrepared(raw, statement.name, pointers.count(), pointers.values.data(),
                             pointers.lengths.data(), pointers.formats.data(), kBinary) != 0;
}

std::vector<Answer> Connection::Exchange() {
  const std::vector<Statement> statements = std::exchange(added_, {});
  std::vector<Answer> answers;
  const auto lost = [&]() -> std::vector<Answer> {
    while (answers.size() < statements.size()) answers.push_back(Lost());
    return std::move(answers);
  };
  PGconn* const raw = connection_.get();
  // libpq would go on row by row in the first statement of a pipeline.
  if (std::exchange(row_by_row_, false)) (void)Run("");
  if (broken_ || PQenterPipelineMode(raw) == 0) return lost();
  for (const Statement& statement : statements) {
    if (!Send(statement)) return lost();
  }
  if (PQpipelineSync(raw) == 0 || !Flush()) return lost();
  while (answers.size() < statements.size()) {
    PGresult* result = Next();
    if (result == nullptr) return lost();
    answers.push_back(AnswerOf(result));
    if (broken_) return lost();
    if (PGresult* rest = Next()) {  // each statement's results end with none
      PQclear(rest);
      return lost();
    }
    if (broken_) return lost();
  }
  const Rows sync(Next());
  if (sync.raw() == nullptr || PQresultStatus(sync.raw()) != PGRES_PIPELINE_SYNC ||
      PQexitPipelineMode(raw) == 0) {
    broken_ = true;
  }
  return answers;
}

}  // namespace assent::log
