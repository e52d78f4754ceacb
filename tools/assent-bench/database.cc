#include "tools/assent-bench/database.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <unistd.h>

#include <libpq-fe.h>

#include "tools/assent-bench/child.h"

namespace assent::bench {
namespace {

// Empty: done.
std::string Run(const std::string& url, const std::string& statement) {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(url.c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) return PQerrorMessage(connection.get());
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
      PQexec(connection.get(), statement.c_str()), PQclear);
  return PQresultStatus(result.get()) == PGRES_COMMAND_OK ? "" : PQerrorMessage(connection.get());
}

}  // namespace

Database::Database(const std::string& url) : server_(url) {
  static int count = 0;
  name_ = "assent_bench_" + std::to_string(getpid()) + "_" + std::to_string(++count);
  if (const std::string error = Run(server_, "CREATE DATABASE " + name_); !error.empty())
    Die("--log: " + error);
  // The path of the address is the database.
  const std::size_t host = url.find("://") + 3;
  const std::size_t end = std::min(url.find('?', host), url.size());
  const std::size_t slash = std::min(url.find('/', host), end);
  url_ = url.substr(0, slash) + "/" + name_ + url.substr(end);
}

Database::~Database() {
  if (const std::string error = Run(server_, "DROP DATABASE " + name_ + " WITH (FORCE)");
      !error.empty())
    std::fprintf(stderr, "assent-bench: %s", error.c_str());
}

}  // namespace assent::bench
