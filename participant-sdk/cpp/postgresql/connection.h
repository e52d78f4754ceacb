#pragma once

// One connection to PostgreSQL. Statements are added to the next message, and sent together in
// libpq's pipeline mode: what needs no answer of its own costs no way to the server and back.
//
//   connection.Add("SAVEPOINT one");
//   Answer answer = connection.Query("UPDATE … WHERE id = $1", {Param::Text("7")});
//
// What is told durable is: a session whose settings say otherwise is refused, and so is a pooler
// that gives each transaction another session, for locks and prepared statements would be lost.
// Single-threaded. No password is ever in a message.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <libpq-fe.h>

#include <assent/postgresql.h>
#include <assent/status.h>

#include "participant-sdk/cpp/postgresql/failure.h"
#include "participant-sdk/cpp/postgresql/table.h"

namespace assent::postgresql::internal {

struct ConnectionSettings {
  std::string connection;
  std::chrono::milliseconds lock_timeout{0};
  std::chrono::milliseconds statement_timeout{0};
  std::chrono::milliseconds answer_within{0};
  std::chrono::seconds connect_timeout{0};
};

// A parameter on its way.
struct Param {
  static Param Of(const Arg& arg);
  static Param Text(std::string_view text) { return {.value = std::string(text)}; }
  static Param Int(std::int64_t number) { return {.value = std::to_string(number)}; }
  static Param Bytes(std::string_view bytes) {
    return {.value = std::string(bytes), .binary = true};
  }
  static Param Null() { return {.null = true}; }
  // text[], bytea[] and an array of whatever integers the statement says.
  static Param Texts(const std::vector<std::string_view>& texts);
  static Param Blobs(const std::vector<std::string_view>& blobs);
  static Param Ints(const std::vector<std::int64_t>& numbers);

  std::string value = {};
  bool null = false;
  bool binary = false;  // bytea
};
using Params = std::vector<Param>;

struct Answer {
  Failure failure = Failure::kLost;
  Table table = {};
  std::string sqlstate = {};
  std::string message = {};  // the server's words

  bool ok() const { return failure == Failure::kNone; }
  Status status() const { return StatusOf(failure, message); }
};

class Connection {
 public:
  static Result<std::unique_ptr<Connection>> Open(const ConnectionSettings& settings);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Puts a statement into the next message.
  void Add(std::string_view sql, Params params = {});
  // Takes the last one out again.
  void TakeBack() { added_.pop_back(); }
  void DropAdded() { added_.clear(); }
  // Sends all that was added; the answers, one for each. After the first that failed come kSkipped.
  std::vector<Answer> Exchange();
  // Sends this behind what was added. The answer; where something that was added has failed, that,
  // as kAgain or kLost: this statement was not looked at, and is not to blame.
  Answer Query(std::string_view sql, Params params = {});
  // Sends what was added. The answers of the last `count`, as Query gives one.
  std::vector<Answer> QueryLast(std::size_t count);
  // One or more statements without parameters, in the simple protocol. Nothing may be added.
  Answer Run(const std::string& script);

  // How many messages were sent: tells whether what was added has gone.
  std::uint64_t exchanges() const { return exchanges_; }
  // Whether that was so since the last call: the transaction has failed, and it is not known whose
  // fault it was.
  bool TakeEarlierFailed() { return std::exchange(earlier_failed_, false); }
  // Lost: open another. Everything that is asked of it is answered kLost.
  bool broken() const { return broken_; }
  // In a transaction that can go on; in one that can only be rolled back.
  bool InTransaction() const { return PQtransactionStatus(raw()) == PQTRANS_INTRANS; }
  bool InFailedTransaction() const { return PQtransactionStatus(raw()) == PQTRANS_INERROR; }
  bool IsIdle() const { return PQtransactionStatus(raw()) == PQTRANS_IDLE; }
  int backend_pid() const { return PQbackendPID(raw()); }
  std::int64_t max_prepared_transactions() const { return max_prepared_transactions_; }
  const std::string& place() const { return place_; }

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  struct Statement {
    std::string sql;
    Params params;
  };
  using Clock = std::chrono::steady_clock;

  explicit Connection(const ConnectionSettings& settings);
  Status Connect();
  Status FirstWords();
  Status CheckServer();
  PGconn* raw() const { return connection_.get(); }
  // Sends one; how many results it will have.
  int Send(const Statement& statement, std::string& prepared_key);
  bool Flush();
  bool WaitFor(short events, Clock::time_point end);
  PGresult* Next();
  // The results of one statement of a message.
  Answer ReadOne(int results);
  Answer AnswerOf(PGresult* result);
  Answer Lost();
  std::vector<Answer> ReadAll(const std::vector<int>& results,
                              const std::vector<std::string>& keys);

  const ConnectionSettings settings_;
  const std::string place_;
  std::unique_ptr<PGconn, Finish> connection_;
  bool broken_ = false;
  bool earlier_failed_ = false;
  std::uint64_t exchanges_ = 0;
  std::vector<Statement> added_;
  // Names of prepared statements, by types and text.
  std::unordered_map<std::string, std::string> prepared_;
  std::uint64_t named_ = 0;
  std::int64_t max_prepared_transactions_ = 0;
};

}  // namespace assent::postgresql::internal
