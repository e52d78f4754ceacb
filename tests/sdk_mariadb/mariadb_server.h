#pragma once

// A private MariaDB for one test's binary: Debian's mariadbd on a port and in a folder of its own,
// which goes with it. What tests/support/postgresql.h is for PostgreSQL.
//
//   MariaServer& server = MariaServer::OfThisBinary();
//   options.server = server.Address(server.NewDatabase());
//   server.Kill();                        // kill -9
//   ASSERT_TRUE(server.Start().ok());     // the same folder and port again
//
// The folder lies in memory where the machine has such a place: what power loss does to MariaDB is
// its own makers' test, what the death of processes does is ours. Not thread-safe, but for Kill and
// Address. Start it from the test's own thread (process.h).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/mariadb.h>
#include <assent/status.h>

#include "tests/support/process.h"

namespace assent::mariadb::test {

class MariaServer {
 public:
  // Settings beside what every server here has; the later of two wins. "log-bin" = "…".
  explicit MariaServer(std::map<std::string, std::string> settings = {});
  ~MariaServer();
  MariaServer(const MariaServer&) = delete;
  MariaServer& operator=(const MariaServer&) = delete;

  // One for the whole binary, running whenever it is asked for.
  static MariaServer& OfThisBinary();

  // Until it answers.
  Status Start();
  void Kill();
  // In order, with everything written.
  void Stop();
  bool Running() { return process_ != nullptr && process_->Running(); }

  // A fresh database; its name.
  std::string NewDatabase();
  // As root, who comes in without a password.
  Server Address(const std::string& database) const;
  std::uint16_t port() const { return port_; }
  const std::string& folder() const { return folder_; }
  // Runs one or more statements and waits; the first column of the last answer's first row. Ends
  // the test's process when it fails: for what must not.
  std::string Sql(const std::string& database, const std::string& sql) const;
  // The same, for what may fail.
  Result<std::string> TrySql(const std::string& database, const std::string& sql) const;
  // What XA RECOVER shows, in order: "gid/branch 'gid','branch',16723".
  std::vector<std::string> Recover() const;

 private:
  Status Create();
  std::vector<std::string> Command(const std::string& program,
                                   std::vector<std::string> arguments) const;

  const std::map<std::string, std::string> settings_;
  std::string folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<assent::test::Process> process_;
  int databases_ = 0;
};

}  // namespace assent::mariadb::test
