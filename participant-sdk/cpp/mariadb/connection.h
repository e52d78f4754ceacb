#pragma once

// One connection to MariaDB, with two ways to ask.
//
//   the adapter's own statements   in text, several in one packet: what needs no answer of its own
//                                  costs no way to the server and back. Of plain words, numbers and
//                                  hexadecimal alone
//   the users' statements          prepared by the server, with their parameters as values. The
//                                  server takes one statement there: none hides behind a semicolon.
//                                  One that is known and returns no rows goes in the same packet as
//                                  what was added: as EXECUTE, with its parameters in hexadecimal
//
//   connection.Add("SAVEPOINT one");
//   Answer answer = connection.Query("UPDATE … WHERE id = ?", args, 1);
//
// What is told durable is: a server whose settings say otherwise is refused. Single-threaded. No
// password is ever in a message.

#include <chrono>
#include <cstdint>
#include <memory>
#include <mysql.h>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <assent/mariadb.h>
#include <assent/status.h>

#include "participant-sdk/cpp/mariadb/failure.h"
#include "participant-sdk/cpp/mariadb/table.h"

namespace assent::mariadb::internal {

class Prepared;

struct ConnectionSettings {
  Server server = {};
  Isolation isolation = Isolation::kReadCommitted;
  std::chrono::seconds lock_timeout{0};
  std::chrono::milliseconds statement_timeout{0};
  std::chrono::milliseconds answer_within{0};
  std::chrono::seconds connect_timeout{0};
};

struct Answer {
  Failure failure = Failure::kLost;
  Table table = {};
  unsigned number = 0;       // the server's, or its library's
  std::string message = {};  // their words

  bool ok() const { return failure == Failure::kNone; }
  Status status() const { return StatusOf(failure, message); }
};

// 'word'. It is plain (barrier_rows.h), or it could end the quotes.
std::string Quoted(std::string_view plain);
// x'6162', of any bytes; with the character set, of any text.
std::string HexOf(std::string_view bytes);
std::string HexTextOf(std::string_view text);

class Connection {
 public:
  static Result<std::unique_ptr<Connection>> Open(const ConnectionSettings& settings);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Puts one statement of the adapter's into the next message.
  void Add(std::string sql) { added_.push_back(std::move(sql)); }
  // Takes the last one out again.
  void TakeBack() { added_.pop_back(); }
  void DropAdded() {
    added_.clear();
    lock_wait_ = std::chrono::seconds(-1);  // perhaps it was among them
  }
  // Sends all that was added; the answers, one for each. After the first that failed come kSkipped:
  // the server has not looked at them.
  std::vector<Answer> Exchange();
  // The same; the answers of the last `count` alone. Where one before them has failed, these were
  // not looked at and are not to blame: its answer is the first of them, as kAgain or kLost.
  std::vector<Answer> ExchangeLast(std::size_t count);
  // The user's, behind what was added. The answer; where something that was added has failed: that,
  // as kAgain or kLost: this statement was not looked at, and is not to blame. `writes`: rows that
  // it returns are rows that it has written.
  Answer Query(std::string_view sql, const Arg* args, std::size_t count, bool writes);
  // Statements separated by semicolons. Nothing may be added. The last answer or first failure.
  Answer Run(const std::string& script);

  // How long statements of this session wait for locks from now on. Added if it changes anything.
  void AddLockWait(std::chrono::seconds wait);

  // How many messages were sent: tells whether what was added has gone.
  std::uint64_t exchanges() const { return exchanges_; }
  // Whether an added statement has failed in Query since the last call: it is not known whose fault
  // it was.
  bool TakeEarlierFailed() { return std::exchange(earlier_failed_, false); }
  // Lost: open another. Everything that is asked of it is answered kLost.
  bool broken() const { return broken_; }
  // Nobody knows what has become of it: nothing more is asked of it.
  void Break() { broken_ = true; }
  // As of the last statement that was executed.
  bool InTransaction() const { return (mysql_.server_status & SERVER_STATUS_IN_TRANS) != 0; }
  // Whether something has been written since the transaction began that cannot be undone.
  bool WroteForGood() const { return wrote_for_good_; }
  // So long nothing was asked of it: the server may have closed it.
  bool IsStale() const { return Clock::now() - used_at_ > settings_.answer_within; }
  const std::string& place() const { return place_; }
  // Of the server that answers here: two connections to one address may find two of them.
  const std::string& identity() const { return identity_; }

 private:
  using Clock = std::chrono::steady_clock;

  explicit Connection(const ConnectionSettings& settings);
  Status Connect();
  void SetOptions();
  Status FirstWords();
  Status CheckServer();
  // Sends statements [first, end) in one packet; appends their answers.
  void SendBatch(std::size_t first, std::size_t end, const std::vector<std::string>& statements,
                 std::vector<Answer>& answers);
  Answer ReadResult();
  Answer Failed();
  Answer Lost();
  Answer ExecutePrepared(std::string_view sql, const Arg* args, std::size_t count, bool writes);
  Answer EarlierFailed(Answer failed);
  using PreparedStatements = std::unordered_map<std::string, std::unique_ptr<Prepared>>;
  // Behind what was added, in the same packet; `with`: its parameters.
  Answer ExecuteInText(PreparedStatements::iterator statement, const std::string& with);
  void Forget(PreparedStatements::iterator statement);
  void ForgetAll();
  void NoteTransactionState();

  const ConnectionSettings settings_;
  const std::string place_;
  MYSQL mysql_{};
  std::string identity_;
  bool broken_ = false;
  bool earlier_failed_ = false;
  bool wrote_for_good_ = false;
  std::uint64_t exchanges_ = 0;
  std::chrono::seconds lock_wait_{-1};  // not known
  bool timeout_ends_transaction_ = false;
  Clock::time_point used_at_ = Clock::now();
  std::vector<std::string> added_;
  PreparedStatements prepared_;
  // Of statements that were forgotten: the server's are replaced by the next of that name.
  std::vector<std::string> free_names_;
  int names_ = 0;
};

}  // namespace assent::mariadb::internal
