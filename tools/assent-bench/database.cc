#include "tools/assent-bench/database.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <libpq-fe.h>

namespace assent::bench {
namespace {

using Connection = std::unique_ptr<PGconn, void (*)(PGconn*)>;
using Answer = std::unique_ptr<PGresult, void (*)(PGresult*)>;

// Empty: done.
std::string Run(const std::string& url, const std::string& statement) {
  const Connection connection(PQconnectdb(url.c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) return PQerrorMessage(connection.get());
  const Answer answer(PQexec(connection.get(), statement.c_str()), PQclear);
  return PQresultStatus(answer.get()) == PGRES_COMMAND_OK ? "" : PQerrorMessage(connection.get());
}

// What /proc says of a process of PostgreSQL from its third field on; nothing: it is none, or gone.
std::vector<std::string> StatOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || text.find("(postgres") == std::string::npos) return {};
  std::istringstream words(text.substr(name_end + 2));
  return {std::istream_iterator<std::string>(words), {}};
}
constexpr std::size_t kParent = 1;
constexpr std::size_t kUserTime = 11;
constexpr std::size_t kTimes = 2;  // user, system; then the same of children that have ended

double Ticks(const std::vector<std::string>& stat, std::size_t from, std::size_t count) {
  double ticks = 0;
  for (std::size_t i = from; i < from + count && i < stat.size(); ++i)
    ticks += std::strtod(stat[i].c_str(), nullptr);
  return ticks;
}

// 0: the server is on another machine, or out of sight.
pid_t FindPostmaster(const std::string& url) {
  const Connection connection(PQconnectdb(url.c_str()), PQfinish);
  const char* address = PQhostaddr(connection.get());
  const std::string_view host = address == nullptr ? "" : address;
  if (!host.empty() && host.front() != '/' && !host.starts_with("127.") && host != "::1") return 0;
  const std::vector<std::string> stat = StatOf(PQbackendPID(connection.get()));
  return stat.size() > kParent ? std::atoi(stat[kParent].c_str()) : 0;
}

}  // namespace

Database::Database(const std::string& url, double commit_delay_ms) : server_(url) {
  static int count = 0;
  name_ = "assent_bench_" + std::to_string(getpid()) + "_" + std::to_string(++count);
  const auto run = [this](const std::string& statement) {
    if (const std::string error = Run(server_, statement); !error.empty()) Die("--log: " + error);
  };
  run("CREATE DATABASE " + name_);
  if (commit_delay_ms > 0) {
    const std::string set = "ALTER DATABASE " + name_ + " SET ";
    run(set + "commit_delay = " + std::to_string(std::lround(commit_delay_ms * 1000)));
    run(set + "commit_siblings = 0");
  }
  // The path of the address is the database.
  const std::size_t host = url.find("://") + 3;
  const std::size_t end = std::min(url.find('?', host), url.size());
  const std::size_t slash = std::min(url.find('/', host), end);
  url_ = url.substr(0, slash) + "/" + name_ + url.substr(end);
  postmaster_ = FindPostmaster(url_);
}

Usage Database::ServerUsage() const {
  double ticks = Ticks(StatOf(postmaster_), kUserTime, 2 * kTimes);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::vector<std::string> stat = StatOf(std::atoi(entry.path().filename().c_str()));
    if (stat.size() > kParent && std::atoi(stat[kParent].c_str()) == postmaster_)
      ticks += Ticks(stat, kUserTime, kTimes);
  }
  return {.cpu_seconds = ticks / static_cast<double>(sysconf(_SC_CLK_TCK))};
}

Database::~Database() {
  if (const std::string error = Run(server_, "DROP DATABASE " + name_ + " WITH (FORCE)");
      !error.empty())
    std::fprintf(stderr, "assent-bench: %s", error.c_str());
}

}  // namespace assent::bench
