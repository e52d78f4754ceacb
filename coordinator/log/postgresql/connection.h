#pragma once

// One connection to PostgreSQL, with the session that durability needs. Thin: statements go in,
// rows and a verdict come out, and what a failure means is for the caller to say.
//
// A session is refused, with the name of the setting, when what it is told is durable would not be:
// synchronous_commit, fsync, full_page_writes are read back. A pooler that gives each transaction
// another session is refused too, for none of this would hold.
//
// Single-threaded, but for the flag that ends waiting. No password is ever in a message.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

#include <assent/status.h>

#include "coordinator/log/postgresql/values.h"
#include "coordinator/log/postgresql/verdict.h"

namespace assent::log {

struct ConnectionOptions {
  // postgresql://... or libpq's "name=value ..."; what it leaves out comes by libpq's usual ways
  // (PGPASSFILE, a service file, PGSSLMODE...). Several hosts: the one that takes writes.
  std::string url;
  // Where our tables are: lower-case letters, digits and _.
  std::string schema = "assent";
  std::string application_name = "assentd";
  // For each host, unless the URL says connect_timeout.
  std::chrono::seconds connect_timeout{5};
  // A server that is silent for longer counts as gone; 0: it may take its time, as a commit may
  // that waits for a standby.
  std::chrono::milliseconds answer_within{0};
  // Once it is true whatever waits ends, with kUnknown. Outlives the connection.
  const std::atomic<bool>* stop = nullptr;
};

struct Answer {
  Verdict verdict = Verdict::kUnknown;
  Rows rows{};
  std::string sqlstate{};
  std::string message{};  // the server's words

  bool ok() const { return verdict == Verdict::kDone; }
  // kRefused: kInternal; kNoSpace: kResourceExhausted; else kUnavailable. `what` was being done.
  Status status(std::string_view what) const;
};

class Connection {
 public:
  // A failure says what to do about it. Of those that trying again will not mend:
  //   kInvalidArgument     the address cannot be read
  //   kPermissionDenied    password, or no right to connect
  //   kNotFound            no such database
  //   kFailedPrecondition  a standby, too old, a setting, a pooler between us
  static Result<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  // "host:port/database", for people.
  static std::string Place(const std::string& url);
  // The address itself holds a password: it would show in the list of processes.
  static bool HasPassword(const std::string& url);

  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One or more statements without parameters, in the simple protocol: as one transaction, if they
  // do not say otherwise; half sent they do nothing. The last one's answer; values in text.
  Answer Run(const std::string& statements);
  // One statement, in a transaction of its own.
  Answer Query(const std::string& statement, const Params& params);
  // Calls `visit` with one row at a time, so that none has to be held; it ends by returning false,
  // which breaks the connection.
  template <typename Visit>
  Answer QueryRows(const std::string& statement, const Params& params, const Visit& visit) {
    if (!SendRowByRow(statement, params)) return Lost();
    for (;;) {
      Answer answer = NextRow();
      if (!IsRow(answer)) return answer;
      if (!visit(answer.rows)) return Lost();
    }
  }

  // Puts the preparation of a statement, or one that is prepared, into the next message. Words
  // outlive the Exchange.
  void AddPrepare(const char* name, const char* statement);
  void Add(const char* name, Params params);
  // Sends all that was added as one message, and returns the answers, one for each. After the first
  // that is not kDone come kSkipped. The message is sent whole before anything is read, or the
  // connection is lost.
  std::vector<Answer> Exchange();

  // Lost, or given up: open another. Everything that is asked of it is answered with kUnknown.
  bool broken() const { return broken_; }
  // The server has said WARNING since the last call; its words.
  bool TakeWarning(std::string& words);
  std::uint32_t backend_pid() const { return backend_pid_; }
  int server_version() const { return PQserverVersion(connection_.get()); }
  const std::string& place() const { return place_; }

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  struct Statement {
    const char* name;
    const char* prepare;  // null: it is
    Params params;
  };

  explicit Connection(const ConnectionOptions& options);
  Status Connect();
  Status FirstWords();
  Status CheckSettings();
  Status CheckPooler();
  bool Send(const Statement& statement);
  bool SendRowByRow(const std::string& statement, const Params& params);
  Answer NextRow();
  static bool IsRow(const Answer& answer);
  Answer Lost();
  Answer AnswerOf(PGresult* result);
  Answer ReadAll();
  bool Flush();
  bool WaitFor(short events, std::chrono::steady_clock::time_point end);
  PGresult* Next();
  std::chrono::steady_clock::time_point End() const;
  static void OnNotice(void* self, const PGresult* notice);

  const ConnectionOptions options_;
  const std::string place_;
  std::unique_ptr<PGconn, Finish> connection_;
  std::uint32_t backend_pid_ = 0;
  bool broken_ = false;
  bool row_by_row_ = false;
  bool warned_ = false;
  std::string warning_;
  std::vector<Statement> added_;
};

}  // namespace assent::log
