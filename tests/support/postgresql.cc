#include "tests/support/postgresql.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <pwd.h>
#include <unistd.h>
#include <utility>

#include <libpq-fe.h>

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr std::chrono::seconds kStartsWithin(60);

// The newest server that is installed.
std::string BinFolder() {
  std::string best;
  int best_version = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version <= best_version || !std::filesystem::exists(entry.path() / "bin/initdb")) continue;
    best = entry.path() / "bin";
    best_version = version;
  }
  if (!best.empty()) return best;
  const char* path = std::getenv("PATH");
  std::string rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::string folder = rest.substr(0, end);
    if (std::filesystem::exists(folder + "/initdb", ignored)) return folder;
    rest.erase(0, std::min(end + 1, rest.size()));
  }
  return "";
}

// In ASSENT_SERVER_FOLDER for who measures what a disk does.
std::string TemporaryFolder() {
  const char* parent = std::getenv("ASSENT_SERVER_FOLDER");
  if (parent == nullptr) parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  std::string pattern = std::string(parent) + "/assent-postgresql-XXXXXX";
  ASSENT_CHECK(mkdtemp(pattern.data()) != nullptr);
  if (geteuid() == 0) {
    const passwd* user = getpwnam("postgres");
    ASSENT_CHECK(user != nullptr && chown(pattern.c_str(), user->pw_uid, user->pw_gid) == 0);
  }
  return pattern;
}

std::map<std::string, std::string> Settings(const PostgresOptions& options) {
  std::map<std::string, std::string> settings = {
      {"listen_addresses", "127.0.0.1"},
      {"shared_buffers", "32MB"},
      {"max_connections", "60"},
      {"max_wal_size", "256MB"},
      {"min_wal_size", "32MB"},
      {"wal_keep_size", "64MB"},
      {"max_prepared_transactions", "20"},
      {"log_min_messages", "warning"},
      {"log_line_prefix", "%m [%p] "},
      {"jit", "off"},
  };
  for (const auto& [name, value] : options.settings) settings[name] = value;
  return settings;
}

struct CloseConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};

}  // namespace

Status PostgresServer::Installed() {
  if (!BinFolder().empty()) return OkStatus();
  return NotFound("no PostgreSQL server on this machine: tools/install-deps.sh installs it");
}

PostgresServer::PostgresServer(PostgresOptions options) : options_(std::move(options)) {}

PostgresServer::~PostgresServer() {
  if (process_ != nullptr && process_->Signal(SIGQUIT)) {  // leaves no process behind
    if (!process_->WaitForExit(15s)) process_->Kill();
  }
  std::error_code ignored;
  if (!folder_.empty() && std::getenv("ASSENT_KEEP") == nullptr)
    std::filesystem::remove_all(folder_, ignored);
}

PostgresServer& PostgresServer::OfThisBinary() {
  static PostgresServer server;
  if (!server.Running()) {
    const Status started = server.Start();
    if (!started.ok()) CheckFailed(__FILE__, __LINE__, started.ToString().c_str());
  }
  return server;
}

// As the user that the package made, if we are root; and dying with us in any case.
std::vector<std::string> PostgresServer::Command(const std::string& tool,
                                                 std::vector<std::string> arguments) const {
  std::vector<std::string> command = {"setpriv", "--pdeathsig", "KILL"};
  if (geteuid() == 0) {
    for (const char* word : {"--reuid=postgres", "--regid=postgres", "--init-groups"})
      command.emplace_back(word);
  }
  command.insert(command.end(), {"--", BinFolder() + "/" + tool});
  std::move(arguments.begin(), arguments.end(), std::back_inserter(command));
  return command;
}

Status PostgresServer::RunTool(const std::string& tool, std::vector<std::string> arguments) {
  const Finished run =
      RunToEnd({.argv = Command(tool, std::move(arguments)), .directory = folder_}, 120s);
  if (run.exit_code == 0) return OkStatus();
  return Internal(tool + " failed: " + run.output);
}

Status PostgresServer::Create() {
  if (Status installed = Installed(); !installed.ok()) return installed;
  folder_ = TemporaryFolder();
  data_ = folder_ + "/data";
  port_ = FreePort();
  if (options_.primary != nullptr) {
    Status copied = RunTool(
        "pg_basebackup",
        {"-D", data_, "-R", "-X", "stream", "-c", "fast", "-N", "-d",
         options_.primary->SocketUrl("postgres") + "&application_name=" + options_.standby_name});
    if (!copied.ok()) return copied;
  } else {
    Status made = RunTool("initdb", {"-D", data_, "-U", kUser, "-A", "trust", "-E", "UTF8",
                                     "--locale=C", "--no-sync"});
    if (!made.ok()) return made;
    std::ofstream rules(data_ + "/pg_hba.conf");
    rules << "local all,replication all trust\n"
          << "host all " << kGuest << " 127.0.0.1/32 scram-sha-256\n"
          << "host all,replication all 127.0.0.1/32 trust\n";
    if (!rules.flush()) return Internal("cannot write " + data_ + "/pg_hba.conf");
  }
  std::vector<std::string> arguments = {"-D", data_, "-p", std::to_string(port_), "-k", folder_};
  for (const auto& [name, value] : Settings(options_)) {
    arguments.emplace_back("-c");
    arguments.push_back(name + "=" + value);
  }
  process_ = std::make_unique<Process>(
      ProcessOptions{.argv = Command("postgres", std::move(arguments)), .directory = folder_});
  return OkStatus();
}

Status PostgresServer::Start() {
  const bool first = process_ == nullptr;
  if (first) {
    if (Status made = Create(); !made.ok()) return made;
  }
  Status status = WaitUntilItAnswers();
  if (status.ok() && first && options_.primary == nullptr) {
    (void)Sql("postgres",
              std::string("CREATE ROLE ") + kGuest + " LOGIN PASSWORD '" + kGuestPassword + "'");
  }
  return status;
}

// After a kill -9 the new one ends at once as long as processes of the old one are attached to its
// memory: so it is started until it stays.
Status PostgresServer::WaitUntilItAnswers() {
  const auto end = std::chrono::steady_clock::now() + kStartsWithin;
  const std::string url = SocketUrl("postgres") + "&connect_timeout=5";
  while (std::chrono::steady_clock::now() < end) {
    if (!process_->Running()) {
      if (Status started = process_->Start(); !started.ok()) return started;
    }
    const auto answers = [&] { return !process_->Running() || PQping(url.c_str()) == PQPING_OK; };
    if (WaitUntil(answers, 5s) && process_->Running()) return OkStatus();
  }
  return Unavailable("PostgreSQL does not answer: " + process_->Output());
}

// A backend that has not seen yet that it is alone may serve one more client, and commit.
void PostgresServer::Kill() {
  const std::string pid = std::to_string(process_->pid());
  std::ifstream list("/proc/" + pid + "/task/" + pid + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  process_->Kill();
  const auto gone = [&children] {
    return std::all_of(children.begin(), children.end(),
                       [](pid_t child) { return kill(child, 0) != 0; });
  };
  (void)WaitUntil(gone, kStartsWithin);
}

Status PostgresServer::Stop() {
  if (!process_->Signal(SIGINT)) return FailedPrecondition("the server does not run");
  if (process_->WaitForExit(60s)) return OkStatus();
  return Internal("the server does not stop");
}

Status PostgresServer::Promote() {
  if (Status told = RunTool("pg_ctl", {"promote", "-D", data_, "-w", "-t", "60"}); !told.ok())
    return told;
  const auto writes = [this] {
    const Result<std::string> recovers = TrySql("postgres", "SELECT pg_is_in_recovery()");
    return recovers.ok() && recovers.value() == "f";
  };
  return WaitUntil(writes, kStartsWithin) ? OkStatus() : Internal("still a standby");
}

Status PostgresServer::Set(const std::string& name, const std::string& value) {
  Result<std::string> set = TrySql("postgres", "ALTER SYSTEM SET " + name + " = '" + value + "'");
  if (set.ok()) set = TrySql("postgres", "SELECT pg_reload_conf()");
  return set.status();
}

std::string PostgresServer::NewDatabase() {
  const std::string name = "test_" + std::to_string(++databases_);
  (void)Sql("postgres", "CREATE DATABASE " + name);
  return name;
}

std::string PostgresServer::Url(const std::string& database, const std::string& user) const {
  return "postgresql://" + user + "@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

std::string PostgresServer::SocketUrl(const std::string& database) const {
  return std::string("postgresql://") + kUser + "@/" + database + "?host=" + folder_ +
         "&port=" + std::to_string(port_);
}

Result<std::string> PostgresServer::TrySql(const std::string& database,
                                           const std::string& sql) const {
  const std::unique_ptr<PGconn, CloseConnection> connection(
      PQconnectdb(SocketUrl(database).c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK)
    return Unavailable(PQerrorMessage(connection.get()));
  const std::unique_ptr<PGresult, ClearResult> result(PQexec(connection.get(), sql.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COMMAND_OK) return std::string();
  if (status != PGRES_TUPLES_OK) return Internal(PQresultErrorMessage(result.get()));
  return std::string(PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0));
}

std::string PostgresServer::Sql(const std::string& database, const std::string& sql) const {
  const Result<std::string> answer = TrySql(database, sql);
  if (!answer.ok())
    CheckFailed(__FILE__, __LINE__, (sql + ": " + answer.status().ToString()).c_str());
  return answer.value();
}

}  // namespace assent::test
