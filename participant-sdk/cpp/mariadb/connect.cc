// How a connection comes about: who answers, whether its word may be relied on, and what to do when
// not.

#include <algorithm>
#include <mutex>
#include <utility>

#include "participant-sdk/cpp/mariadb/connection.h"
#include "participant-sdk/cpp/mariadb/prepared.h"

namespace assent::mariadb::internal {
namespace {

constexpr unsigned long kOldestVersion = 100500;  // NOLINT: the library's type
constexpr unsigned kUnknownVariable = 1193;
constexpr unsigned kNoDatabase = 1049;

const char* OrNull(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

// "host:port/database", for people.
std::string PlaceOf(const Server& server) {
  std::string place = server.socket;
  if (place.empty() && server.host.empty() && !server.option_file.empty())
    place = server.option_file;
  if (place.empty()) {
    place = (server.host.empty() ? "127.0.0.1" : server.host) + ":" +
            std::to_string(server.port == 0 ? 3306 : server.port);
  }
  return place + "/" + server.database;
}

const char* NameOf(Isolation isolation) {
  switch (isolation) {
    case Isolation::kReadCommitted: break;
    case Isolation::kRepeatableRead: return "REPEATABLE READ";
    case Isolation::kSerializable: return "SERIALIZABLE";
  }
  return "READ COMMITTED";
}

// What to do about a server that does not let us in.
Status NotLetIn(const std::string& place, unsigned number, const std::string& words) {
  static constexpr std::array kDenied = {1044U, 1045U, 1130U, 1142U, 1227U, 1251U, 1698U, 4151U};
  const std::string text = place + ": " + words;
  if (std::find(kDenied.begin(), kDenied.end(), number) != kDenied.end()) {
    return PermissionDenied(text +
                            " -- look at user, password (or option_file) and the server's GRANTs "
                            "for the host that we come from");
  }
  if (number == kNoDatabase) return FailedPrecondition(text + " -- CREATE DATABASE it");
  return Unavailable(text);
}

std::string Seconds(std::chrono::milliseconds time) {
  const std::string thousandths = std::to_string(1000 + time.count() % 1000);
  return std::to_string(time.count() / 1000) + "." + thousandths.substr(1);
}

bool IsOff(std::string_view value) { return value == "0" || value == "OFF"; }

}  // namespace

Connection::Connection(const ConnectionSettings& settings)
    : settings_(settings), place_(PlaceOf(settings.server)) {
  static std::once_flag once;
  std::call_once(once, [] { (void)mysql_library_init(0, nullptr, nullptr); });
  (void)mysql_init(&mysql_);
}

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionSettings& settings) {
  std::unique_ptr<Connection> connection(new Connection(settings));
  Status status = connection->Connect();
  if (status.ok()) status = connection->FirstWords();
  if (!status.ok()) return status;
  return connection;
}

void Connection::SetOptions() {
  const Server& server = settings_.server;
  const auto connect = static_cast<unsigned>(settings_.connect_timeout.count());
  const auto silent = static_cast<unsigned>(
      std::chrono::ceil<std::chrono::seconds>(settings_.answer_within).count());
  const unsigned no = 0;
  const my_bool yes = 1;
  (void)mysql_options(&mysql_, MYSQL_OPT_CONNECT_TIMEOUT, &connect);
  (void)mysql_options(&mysql_, MYSQL_OPT_READ_TIMEOUT, &silent);
  (void)mysql_options(&mysql_, MYSQL_OPT_WRITE_TIMEOUT, &silent);
  (void)mysql_options(&mysql_, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  (void)mysql_options(&mysql_, MYSQL_OPT_LOCAL_INFILE, &no);  // no server reads files of ours
  if (!server.option_file.empty()) {
    (void)mysql_options(&mysql_, MYSQL_READ_DEFAULT_FILE, server.option_file.c_str());
    (void)mysql_options(&mysql_, MYSQL_READ_DEFAULT_GROUP, "client");
  }
  if (!server.tls_certificate.empty()) {
    (void)mysql_options(&mysql_, MYSQL_OPT_SSL_CERT, server.tls_certificate.c_str());
    (void)mysql_options(&mysql_, MYSQL_OPT_SSL_KEY, server.tls_key.c_str());
  }
  if (server.tls_ca.empty()) return;
  (void)mysql_options(&mysql_, MYSQL_OPT_SSL_CA, server.tls_ca.c_str());
  (void)mysql_options(&mysql_, MYSQL_OPT_SSL_ENFORCE, &yes);
  (void)mysql_options(&mysql_, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
}

Status Connection::Connect() {
  const Server& server = settings_.server;
  SetOptions();
  std::string host = server.host;
  if (host.empty() && server.socket.empty() && server.option_file.empty()) host = "127.0.0.1";
  // A socket is asked for by name, or by no host at all.
  if (mysql_real_connect(&mysql_, server.socket.empty() ? OrNull(host) : nullptr,
                         OrNull(server.user), OrNull(server.password), OrNull(server.database),
                         server.port, OrNull(server.socket),
                         CLIENT_MULTI_STATEMENTS | CLIENT_FOUND_ROWS) == nullptr) {
    return NotLetIn(place_, mysql_errno(&mysql_), mysql_error(&mysql_));
  }
  if (mariadb_connection(&mysql_) == 0) {
    return FailedPrecondition(place_ +
                              ": this is MySQL, whose XA has other rules: the adapter is for "
                              "MariaDB 10.5 or newer");
  }
  const auto version = mysql_get_server_version(&mysql_);
  if (version >= kOldestVersion) return OkStatus();
  return FailedPrecondition(place_ + ": MariaDB " + mysql_get_server_info(&mysql_) +
                            " is too old: it forgets prepared work when its connection ends; 10.5 "
                            "or newer");
}

Status Connection::FirstWords() {
  const std::string lock_wait = std::to_string(settings_.lock_timeout.count());
  // Whoever has gone without a word is let go of after a while, with the locks of its branches.
  const auto silence = 2 * std::chrono::ceil<std::chrono::seconds>(settings_.answer_within);
  Add("SET NAMES utf8mb4");
  Add("SET SESSION autocommit = 1, sql_mode = "
      "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', completion_type = 0, "
      "foreign_key_checks = 1, unique_checks = 1, default_storage_engine = InnoDB, tx_read_only = "
      "0, session_track_transaction_info = 'STATE', innodb_lock_wait_timeout = " +
      lock_wait + ", lock_wait_timeout = " + lock_wait + ", max_statement_time = " +
      Seconds(settings_.statement_timeout) + ", wait_timeout = " + std::to_string(silence.count()));
  Add(std::string("SET SESSION TRANSACTION ISOLATION LEVEL ") + NameOf(settings_.isolation));
  lock_wait_ = settings_.lock_timeout;
  for (const Answer& answer : Exchange()) {
    if (!answer.ok()) return Unavailable(place_ + ": " + answer.message);
  }
  return CheckServer();
}

Status Connection::CheckServer() {
  const Answer found =
      Run("SELECT CONNECTION_ID(), @@global.innodb_flush_log_at_trx_commit, "
          "@@global.innodb_doublewrite, @@global.log_bin, @@global.sync_binlog, "
          "@@session.binlog_format, @@global.read_only, @@global.innodb_rollback_on_timeout, "
          "@@global.max_allowed_packet, CONCAT(@@hostname, ':', @@port, '/', @@server_id), "
          "DATABASE()");
  if (!found.ok()) return Unavailable(place_ + ": " + found.message);
  const auto text = [&found](int column) { return found.table.Text(0, column); };
  const auto refuse = [this](const std::string& why) {
    return FailedPrecondition(place_ + ": " + why);
  };
  timeout_ends_transaction_ = !IsOff(text(7));
  identity_ = text(9);
  if (found.table.Int(0, 0) != static_cast<std::int64_t>(mysql_thread_id(&mysql_))) {
    return refuse(
        "a proxy stands between, which may give each transaction another session: "
        "connect to the server itself");
  }
  if (text(1) != "1" && text(1) != "3") {
    return refuse("the server has innodb_flush_log_at_trx_commit = " + std::string(text(1)) +
                  ": what it calls committed would not survive a power cut; set it to 1");
  }
  if (IsOff(text(2))) {
    return refuse(
        "the server has innodb_doublewrite = OFF: a page that was half written in a "
        "power cut could not be mended; set it to ON");
  }
  const bool has_binlog = !IsOff(text(3));
  if (has_binlog && text(4) != "1") {
    return refuse("the server writes a binary log with sync_binlog = " + std::string(text(4)) +
                  ": after a power cut it would roll back what is missing there, and what it "
                  "called committed; set it to 1");
  }
  if (has_binlog && text(5) == "STATEMENT" && settings_.isolation == Isolation::kReadCommitted) {
    return refuse(
        "the server has binlog_format = STATEMENT, which does not take what READ "
        "COMMITTED writes: set it to MIXED or ROW, or Options::isolation to "
        "kRepeatableRead");
  }
  if (!IsOff(text(6))) return refuse("the server is read-only, as replicas are: name the primary");
  if (found.table.Int(0, 8) < static_cast<std::int64_t>(limits::kMinPacketBytes)) {
    return refuse("the server has max_allowed_packet = " + std::string(text(8)) + ": set it to " +
                  std::to_string(limits::kMinPacketBytes) + " or more");
  }
  if (found.table.IsNull(0, 10)) {
    return FailedPrecondition(place_ + ": no database is named: Server::database");
  }
  const Answer galera = Run("SELECT @@wsrep_on");  // a variable that not every server knows
  if (galera.number == kUnknownVariable || (galera.ok() && IsOff(galera.table.Text(0, 0))))
    return OkStatus();
  if (!galera.ok()) return Unavailable(place_ + ": " + galera.message);
  return refuse(
      "the server is part of a Galera cluster, whose named locks are of one node and "
      "which has no XA: the adapter needs a server of its own");
}

}  // namespace assent::mariadb::internal
