#pragma once

// A private, real PostgreSQL for tests: in a folder and on a port of its own, as an unprivileged
// user (a server refuses to run as root), gone with its owner.
//
//   PostgresServer& server = PostgresServer::OfThisBinary();   // started once, by who comes first
//   const std::string url = server.Url(server.NewDatabase());  // nothing else is in it
//   server.Kill();                                             // kill -9 of the postmaster
//   ASSERT_TRUE(server.Start().ok());                          // the same folder and port again
//
// The folder lies in memory where the machine has such a place: what power loss does to PostgreSQL
// is its own makers' test, what the death of processes does is ours. fsync stays on, because our
// log refuses a server without.
//
// Not thread-safe, but for Kill and Url. Start it from the test's own thread (process.h).

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "tests/support/process.h"

namespace assent::test {

struct PostgresOptions {
  // Beside what every server here has (postgresql.cc); the later of two wins.
  std::map<std::string, std::string> settings = {};
  // Begins as a copy of this running server, as its standby. Its name there is `standby_name`.
  const class PostgresServer* primary = nullptr;
  std::string standby_name = "standby";
};

class PostgresServer {
 public:
  // The superuser of every server here: comes in without a password.
  static constexpr const char* kUser = "assent";
  // May do nothing, and comes in by TCP with a password only.
  static constexpr const char* kGuest = "guest";
  static constexpr const char* kGuestPassword = "open sesame";

  explicit PostgresServer(PostgresOptions options = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // One for the whole binary, running whenever it is asked for.
  static PostgresServer& OfThisBinary();
  // No PostgreSQL on this machine: tests that need one fail with this sentence.
  static Status Installed();

  // Until it answers. Also after Kill: waits until the processes of the one before are gone.
  Status Start();
  // kill -9 of the postmaster. Its children see that it is gone, and go: until they have.
  void Kill();
  // Clients are thrown out, all is written; or with kill -9's effect on clients, but tidily.
  Status Stop();
  // A standby becomes a primary. Until it takes writes.
  Status Promote();
  // Of a running server: changes a setting for everybody, as ALTER SYSTEM.
  Status Set(const std::string& name, const std::string& value);

  // A fresh database; its name.
  std::string NewDatabase();
  // postgresql://... by TCP, or by the socket in the server's folder.
  std::string Url(const std::string& database, const std::string& user = kUser) const;
  std::string SocketUrl(const std::string& database) const;
  // Runs it and waits: one or more statements; the first column of the last answer's first row.
  // Ends the test's process when it fails: for what must not.
  std::string Sql(const std::string& database, const std::string& sql) const;
  // The same, for what may fail.
  Result<std::string> TrySql(const std::string& database, const std::string& sql) const;

  std::uint16_t port() const { return port_; }
  const std::string& folder() const { return folder_; }
  pid_t postmaster() const { return process_->pid(); }
  bool Running() { return process_ != nullptr && process_->Running(); }
  std::string Output() const { return process_->Output(/*all=*/true); }

 private:
  Status Create();
  Status RunTool(const std::string& tool, std::vector<std::string> arguments);
  std::vector<std::string> Command(const std::string& tool,
                                   std::vector<std::string> arguments) const;
  Status WaitUntilItAnswers();

  const PostgresOptions options_;
  std::string folder_;
  std::string data_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Process> process_;
  int databases_ = 0;
};

}  // namespace assent::test
