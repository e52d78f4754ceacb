#include "tests/sdk_mariadb/mariadb_server.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <mysql.h>
#include <pwd.h>
#include <unistd.h>
#include <utility>

namespace assent::mariadb::test {
namespace {

using std::chrono_literals::operator""s;

constexpr std::chrono::seconds kStartsWithin(90);

// Who runs it, if we are root: anybody else may not.
constexpr char kUser[] = "nobody";

std::string ProgramPath(const std::string& name) {
  for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/sbin/", "/usr/local/bin/"}) {
    if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  return name;
}

// In ASSENT_SERVER_FOLDER for who measures what a disk does.
std::string TemporaryFolder() {
  const char* parent = std::getenv("ASSENT_SERVER_FOLDER");
  if (parent == nullptr) parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  std::string pattern = std::string(parent) + "/assent-mariadb-XXXXXX";
  ASSENT_CHECK(mkdtemp(pattern.data()) != nullptr);
  if (geteuid() == 0) {
    const passwd* user = getpwnam(kUser);
    ASSENT_CHECK(user != nullptr && chown(pattern.c_str(), user->pw_uid, user->pw_gid) == 0);
  }
  return pattern;
}

}  // namespace

MariaServer::MariaServer(std::map<std::string, std::string> settings)
    : settings_(std::move(settings)) {}

MariaServer::~MariaServer() {
  if (process_ != nullptr && process_->Signal(SIGTERM)) {
    if (!process_->WaitForExit(20s)) process_->Kill();
  }
  std::error_code ignored;
  if (!folder_.empty() && std::getenv("ASSENT_KEEP") == nullptr)
    std::filesystem::remove_all(folder_, ignored);
}

MariaServer& MariaServer::OfThisBinary() {
  static MariaServer server;
  if (!server.Running()) {
    const Status started = server.Start();
    if (!started.ok()) CheckFailed(__FILE__, __LINE__, started.ToString().c_str());
  }
  return server;
}

// Dying with us in any case.
std::vector<std::string> MariaServer::Command(const std::string& program,
                                              std::vector<std::string> arguments) const {
  std::vector<std::string> command = {"setpriv", "--pdeathsig", "KILL"};
  if (geteuid() == 0) {
    for (const char* word : {"--reuid=nobody", "--regid=nogroup", "--clear-groups"})
      command.emplace_back(word);
  }
  command.insert(command.end(), {"--", ProgramPath(program)});
  std::move(arguments.begin(), arguments.end(), std::back_inserter(command));
  return command;
}

Status MariaServer::Create() {
  folder_ = TemporaryFolder();
  port_ = assent::test::FreePort();
  const assent::test::Finished made = assent::test::RunToEnd(
      {.argv = Command("mariadb-install-db",
                       {"--no-defaults", "--auth-root-authentication-method=normal",
                        "--skip-test-db", "--datadir=" + folder_ + "/data",
                        // A server that starts deletes the temporary tables that it finds.
                        "--tmpdir=" + folder_}),
       .directory = folder_},
      120s);
  if (made.exit_code != 0)
    return Internal("mariadb-install-db (tools/install-deps.sh installs it): " + made.output);
  std::vector<std::string> arguments = {"--no-defaults",
                                        "--datadir=" + folder_ + "/data",
                                        "--port=" + std::to_string(port_),
                                        "--bind-address=127.0.0.1",
                                        "--socket=" + folder_ + "/socket",
                                        "--pid-file=" + folder_ + "/pid",
                                        "--tmpdir=" + folder_,
                                        "--innodb-buffer-pool-size=32M",
                                        "--innodb-log-file-size=16M",
                                        "--skip-name-resolve"};
  for (const auto& [name, value] : settings_) arguments.push_back("--" + name + "=" + value);
  process_ = std::make_unique<assent::test::Process>(assent::test::ProcessOptions{
      .argv = Command("mariadbd", std::move(arguments)), .directory = folder_});
  return OkStatus();
}

Status MariaServer::Start() {
  if (process_ == nullptr) {
    if (Status made = Create(); !made.ok()) return made;
  }
  if (Status started = process_->Start(); !started.ok()) return started;
  const auto answers = [this] { return !process_->Running() || TrySql("", "SELECT 1").ok(); };
  if (assent::test::WaitUntil(answers, kStartsWithin) && process_->Running()) return OkStatus();
  return Unavailable("MariaDB does not answer: " + process_->Output());
}

void MariaServer::Kill() { process_->Kill(); }

void MariaServer::Stop() { (void)process_->Stop(60s); }

std::string MariaServer::NewDatabase() {
  const std::string name = "test_" + std::to_string(++databases_);
  (void)Sql("", "CREATE DATABASE " + name);
  return name;
}

Server MariaServer::Address(const std::string& database) const {
  return {.host = "127.0.0.1", .port = port_, .user = "root", .database = database};
}

namespace {

using Cells = std::vector<std::string>;

// The rows of the last answer.
Result<std::vector<Cells>> RunSql(const Server& address, const std::string& sql) {
  MYSQL mysql;
  mysql_init(&mysql);
  struct Closer {
    ~Closer() { mysql_close(of); }
    MYSQL* of;
  } const closer{&mysql};
  if (mysql_real_connect(&mysql, address.host.c_str(), address.user.c_str(), nullptr,
                         address.database.empty() ? nullptr : address.database.c_str(),
                         address.port, nullptr, CLIENT_MULTI_STATEMENTS) == nullptr ||
      mysql_real_query(&mysql, sql.data(), sql.size()) != 0) {
    return Unavailable(mysql_error(&mysql));
  }
  for (;;) {
    std::vector<Cells> rows;
    MYSQL_RES* const result = mysql_store_result(&mysql);
    while (MYSQL_ROW row = result == nullptr ? nullptr : mysql_fetch_row(result)) {
      Cells cells;
      for (unsigned i = 0; i < mysql_num_fields(result); ++i)
        cells.emplace_back(row[i] == nullptr ? "" : row[i]);
      rows.push_back(std::move(cells));
    }
    mysql_free_result(result);
    const int next = mysql_next_result(&mysql);
    if (next > 0) return Unavailable(mysql_error(&mysql));
    if (next < 0) return rows;
  }
}

}  // namespace

Result<std::string> MariaServer::TrySql(const std::string& database, const std::string& sql) const {
  const Result<std::vector<Cells>> rows = RunSql(Address(database), sql);
  if (!rows.ok()) return rows.status();
  return rows->empty() ? std::string() : rows->front().front();
}

std::vector<std::string> MariaServer::Recover() const {
  std::vector<std::string> names;
  const Result<std::vector<Cells>> rows = RunSql(Address(""), "XA RECOVER");
  ASSENT_CHECK(rows.ok());
  for (const Cells& row : *rows) {
    const auto gid_size = static_cast<std::size_t>(std::stoi(row[1]));
    const std::string gid = row[3].substr(0, gid_size);
    const std::string branch = row[3].substr(gid_size);
    names.push_back(gid + "/" + branch + " '" + gid + "','" + branch + "'," + row[0]);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string MariaServer::Sql(const std::string& database, const std::string& sql) const {
  const Result<std::string> answer = TrySql(database, sql);
  if (!answer.ok())
    CheckFailed(__FILE__, __LINE__, (sql + ": " + answer.status().ToString()).c_str());
  return answer.value();
}

}  // namespace assent::mariadb::test
