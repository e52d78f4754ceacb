// Statements and answers. How a connection comes about: connect.cc.

#include "participant-sdk/cpp/postgresql/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <poll.h>
#include <utility>

namespace assent::postgresql::internal {
namespace {

constexpr Oid kBytea = 17;
constexpr Oid kUnknown = 0;  // the server finds out

// The plan that was made of a prepared statement does not fit the table any more; the statement is
// not there any more.
constexpr std::string_view kStalePlan = "0A000";
constexpr std::string_view kNoSuchStatement = "26000";

struct Pointers {
  explicit Pointers(const Params& params) {
    for (const Param& param : params) {
      values.push_back(param.null ? nullptr : param.value.data());
      lengths.push_back(static_cast<int>(param.value.size()));
      formats.push_back(param.binary ? 1 : 0);
      types.push_back(param.binary ? kBytea : kUnknown);
    }
  }
  int count() const { return static_cast<int>(values.size()); }
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
  std::vector<Oid> types;
};

std::string KeyOf(std::string_view sql, const Params& params) {
  std::string key;
  for (const Param& param : params) key += param.binary ? 'b' : 't';
  key += ':';
  return key.append(sql);
}

}  // namespace

Param Param::Of(const Arg& arg) {
  switch (arg.type()) {
    case Arg::Type::kNull: break;
    case Arg::Type::kInteger: return Int(arg.integer());
    case Arg::Type::kReal: {
      std::array<char, 40> text{};
      std::snprintf(text.data(), text.size(), "%.17g", arg.real());
      return Text(text.data());
    }
    case Arg::Type::kText: return Text(arg.bytes());
    case Arg::Type::kBlob: return Bytes(arg.bytes());
  }
  return Null();
}

namespace {

// An array's text: `append` puts one of the items behind it.
template <typename Item, typename Append>
Param ArrayOf(const std::vector<Item>& items, Append append) {
  std::string array = "{";
  for (const Item& item : items) {
    if (array.size() > 1) array += ',';
    append(item, array);
  }
  return Param::Text(array + "}");
}

}  // namespace

Param Param::Texts(const std::vector<std::string_view>& texts) {
  return ArrayOf(texts, [](std::string_view text, std::string& array) {
    array += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  });
}

Param Param::Blobs(const std::vector<std::string_view>& blobs) {
  return ArrayOf(blobs, [](std::string_view blob, std::string& array) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    array += R"("\\x)";
    for (const char c : blob) {
      const auto byte = static_cast<unsigned char>(c);
      array += kDigits[byte >> 4U];
      array += kDigits[byte & 15U];
    }
    array += '"';
  });
}

Param Param::Ints(const std::vector<std::int64_t>& numbers) {
  return ArrayOf(numbers,
                 [](std::int64_t number, std::string& array) { array += std::to_string(number); });
}

Connection::~Connection() = default;

bool Connection::WaitFor(short events, Clock::time_point end) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    pollfd socket{.fd = PQsocket(raw()), .events = events, .revents = 0};
    const int ready = poll(&socket, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// While we send, answers may fill the way back: they are taken in meanwhile.
bool Connection::Flush() {
  const Clock::time_point end = Clock::now() + settings_.answer_within;
  for (;;) {
    const int left = PQflush(raw());
    if (left <= 0) return left == 0;
    if (!WaitFor(POLLIN | POLLOUT, end) || PQconsumeInput(raw()) == 0) return false;
  }
}

// The next result; nullptr at the end of a statement's. A lost connection gives one more result,
// which says so, or is marked broken here.
PGresult* Connection::Next() {
  const Clock::time_point end = Clock::now() + settings_.answer_within;
  while (PQisBusy(raw()) != 0) {
    if (!WaitFor(POLLIN, end)) {
      broken_ = true;
      return nullptr;
    }
    if (PQconsumeInput(raw()) == 0) break;  // the result says why
  }
  return PQgetResult(raw());
}

Answer Connection::Lost() {
  broken_ = true;
  const char* words = PQerrorMessage(raw());
  return {.message = *words == '\0' ? "no answer from PostgreSQL" : OneLine(words)};
}

Answer Connection::AnswerOf(PGresult* result) {
  Answer answer{.table = Table(result)};
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY: answer.failure = Failure::kNone; return answer;
    case PGRES_PIPELINE_ABORTED: answer.failure = Failure::kSkipped; return answer;
    default: break;
  }
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  answer.sqlstate = state == nullptr ? "" : state;
  answer.message = OneLine(PQresultErrorMessage(result));
  answer.failure = FailureOf(answer.sqlstate);
  if (answer.failure == Failure::kLost || PQstatus(raw()) != CONNECTION_OK) {
    answer.failure = Failure::kLost;
    broken_ = true;
  }
  return answer;
}

void Connection::Add(std::string_view sql, Params params) {
  added_.push_back({std::string(sql), std::move(params)});
}

int Connection::Send(const Statement& statement, std::string& prepared_key) {
  const Pointers given(statement.params);
  std::string key = KeyOf(statement.sql, statement.params);
  auto found = prepared_.find(key);
  if (found == prepared_.end() && prepared_.size() >= limits::kMaxCachedStatementsCount) {
    return PQsendQueryParams(raw(), statement.sql.c_str(), given.count(), given.types.data(),
                             given.values.data(), given.lengths.data(), given.formats.data(), 0);
  }
  int results = 1;
  if (found == prepared_.end()) {
    const std::string name = "assent_" + std::to_string(++named_);
    if (PQsendPrepare(raw(), name.c_str(), statement.sql.c_str(), given.count(),
                      given.types.data()) == 0) {
      return 0;
    }
    found = prepared_.emplace(key, name).first;
    results = 2;
  }
  prepared_key = std::move(key);
  const int sent =
      PQsendQueryPrepared(raw(), found->second.c_str(), given.count(), given.values.data(),
                          given.lengths.data(), given.formats.data(), 0);
  return sent == 0 ? 0 : results;
}

Answer Connection::ReadOne(int results) {
  Answer answer;
  for (int i = 0; i < results; ++i) {
    PGresult* const result = Next();
    if (result == nullptr) return Lost();
    Answer next = AnswerOf(result);
    // Preparing failed: that is what there is to say, and its use was skipped.
    if (i == 0 || answer.ok()) answer = std::move(next);
    if (broken_) return answer;
    if (PGresult* const rest = Next()) {  // each one's results end with none
      PQclear(rest);
      return Lost();
    }
    if (broken_) return Lost();
  }
  return answer;
}

std::vector<Answer> Connection::ReadAll(const std::vector<int>& results,
                                        const std::vector<std::string>& keys) {
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < results.size(); ++i) {
    answers.push_back(ReadOne(results[i]));
    const Answer& answer = answers.back();
    if (broken_) return answers;
    const bool is_stale = answer.sqlstate == kStalePlan || answer.sqlstate == kNoSuchStatement;
    if (!answer.ok() && (results[i] == 2 || is_stale)) prepared_.erase(keys[i]);
  }
  const Table sync(Next());
  if (sync.raw() == nullptr || PQresultStatus(sync.raw()) != PGRES_PIPELINE_SYNC ||
      PQexitPipelineMode(raw()) == 0) {
    broken_ = true;
  }
  return answers;
}

std::vector<Answer> Connection::Exchange() {
  const std::vector<Statement> statements = std::exchange(added_, {});
  ++exchanges_;
  std::vector<Answer> answers;
  std::vector<int> results;
  std::vector<std::string> keys(statements.size());
  bool sent = !broken_ && PQenterPipelineMode(raw()) != 0;
  for (std::size_t i = 0; sent && i < statements.size(); ++i) {
    results.push_back(Send(statements[i], keys[i]));
    sent = results.back() > 0;
  }
  if (sent && PQpipelineSync(raw()) != 0 && Flush()) answers = ReadAll(results, keys);
  while (answers.size() < statements.size()) answers.push_back(Lost());
  return answers;
}

Answer Connection::Query(std::string_view sql, Params params) {
  Add(sql, std::move(params));
  return std::move(QueryLast(1).front());
}

std::vector<Answer> Connection::QueryLast(std::size_t count) {
  ASSENT_CHECK(count <= added_.size());
  std::vector<Answer> answers = Exchange();
  const auto first = answers.end() - static_cast<std::ptrdiff_t>(count);
  const auto failed =
      std::find_if(answers.begin(), first, [](const Answer& answer) { return !answer.ok(); });
  if (failed != first) {
    if (failed->failure != Failure::kLost) failed->failure = Failure::kAgain;
    earlier_failed_ = true;
    // The others were not looked at either.
    for (auto answer = first + 1; answer < answers.end(); ++answer) *answer = Answer();
    *first = std::move(*failed);
  }
  answers.erase(answers.begin(), first);
  return answers;
}

Answer Connection::Run(const std::string& script) {
  ASSENT_CHECK(added_.empty());
  ++exchanges_;
  if (broken_ || PQsendQuery(raw(), script.c_str()) == 0 || !Flush()) return Lost();
  Answer answer{.message = "no answer"};
  bool first = true;
  while (PGresult* const result = Next()) {
    const bool copies =
        PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT;
    Answer next = AnswerOf(result);
    if (copies) return Lost();
    if (first || answer.ok()) answer = std::move(next);
    first = false;
  }
  return broken_ && answer.failure != Failure::kLost ? Lost() : std::move(answer);
}

}  // namespace assent::postgresql::internal
