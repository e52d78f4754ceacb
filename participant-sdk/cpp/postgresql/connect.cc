// How a connection comes about: who answers, whether its word may be relied on, and what to do when
// not.

#include <array>
#include <utility>

#include "participant-sdk/cpp/postgresql/connection.h"

namespace assent::postgresql::internal {
namespace {

constexpr int kOldestVersion = 130000;

struct FreeInfo {
  void operator()(PQconninfoOption* info) const { PQconninfoFree(info); }
};
using Info = std::unique_ptr<PQconninfoOption, FreeInfo>;

Info Parsed(const std::string& text) { return Info(PQconninfoParse(text.c_str(), nullptr)); }

std::string ValueOf(const Info& info, std::string_view keyword) {
  for (const PQconninfoOption* option = info.get(); option && option->keyword; ++option) {
    if (keyword == option->keyword && option->val != nullptr) return option->val;
  }
  return "";
}

// "host:port/database", for people.
std::string PlaceOf(const std::string& connection) {
  const Info info = Parsed(connection);
  if (!info) return "PostgreSQL";
  std::string host = ValueOf(info, "host");
  if (host.empty()) host = ValueOf(info, "hostaddr");
  if (host.empty()) host = "localhost";
  const std::string port = ValueOf(info, "port");
  return host + (port.empty() ? "" : ":" + port) + "/" + ValueOf(info, "dbname");
}

std::string WithoutPassword(std::string text, const std::string& password) {
  if (password.empty()) return text;
  constexpr std::string_view kHidden = "***";
  for (std::size_t at = text.find(password); at != std::string::npos;
       at = text.find(password, at + kHidden.size()))
    text.replace(at, password.size(), kHidden);
  return text;
}

// What to do about a server that does not let us in.
Status NotLetIn(const std::string& place, const std::string& words) {
  const auto says = [&](const char* text) { return words.find(text) != std::string::npos; };
  const std::string text = place + ": " + words;
  if (says("session is read-only") || says("server is in hot standby mode")) {
    return FailedPrecondition(text +
                              " -- name the primary, or all hosts of the pair in one address");
  }
  if (says("no password supplied") || says("authentication failed") || says("no pg_hba.conf entry"))
    return PermissionDenied(text +
                            " -- give the password by PGPASSFILE (~/.pgpass) or a service "
                            "file, and look at the server's pg_hba.conf");
  return Unavailable(text);
}

// What libpq says besides what it answers (NOTICE, WARNING) nobody reads here.
void Ignore(void* /*self*/, const PGresult* /*notice*/) {}

}  // namespace

Connection::Connection(const ConnectionSettings& settings)
    : settings_(settings), place_(PlaceOf(settings.connection)) {}

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionSettings& settings) {
  // What libpq says of an address that it cannot read may quote the password.
  if (!Parsed(settings.connection)) {
    return InvalidArgument(
        "Options::connection cannot be read; it looks like "
        "postgresql://USER@HOST:PORT/DATABASE or \"host=... dbname=...\"");
  }
  std::unique_ptr<Connection> connection(new Connection(settings));
  Status status = connection->Connect();
  if (status.ok()) status = connection->FirstWords();
  if (status.ok()) status = connection->CheckServer();
  if (!status.ok()) return status;
  return connection;
}

// The later of two words wins: the address may change those before it, and not those behind it.
Status Connection::Connect() {
  const std::string timeout = std::to_string(settings_.connect_timeout.count());
  const std::array<const char*, 10> names = {"connect_timeout",
                                             "keepalives_idle",
                                             "keepalives_interval",
                                             "keepalives_count",
                                             "tcp_user_timeout",
                                             "fallback_application_name",
                                             "dbname",
                                             "client_encoding",
                                             "target_session_attrs",
                                             nullptr};
  const std::array<const char*, 10> values = {
      timeout.c_str(), "5",          "2",    "3", "15000", "assent", settings_.connection.c_str(),
      "UTF8",          "read-write", nullptr};
  connection_.reset(PQconnectdbParams(names.data(), values.data(), 1));
  if (!connection_) return ResourceExhausted("no memory for a connection");
  if (PQstatus(raw()) == CONNECTION_OK) {
    PQsetNoticeReceiver(raw(), Ignore, nullptr);
    PQsetnonblocking(raw(), 1);
    return OkStatus();
  }
  const Info used(PQconninfo(raw()));
  return NotLetIn(place_,
                  WithoutPassword(OneLine(PQerrorMessage(raw())), ValueOf(used, "password")));
}

// The session as we need it. Whoever made synchronous_commit stronger than on may keep it.
Status Connection::FirstWords() {
  const std::string words =
      "SET client_min_messages = warning; SET bytea_output = hex; SET "
      "default_transaction_isolation "
      "= 'read committed'; SET default_transaction_read_only = off; SET "
      "default_transaction_deferrable "
      "= off; SET statement_timeout = " +
      std::to_string(settings_.statement_timeout.count()) +
      "; SET lock_timeout = " + std::to_string(settings_.lock_timeout.count()) +
      "; SELECT set_config('synchronous_commit', 'on', false) WHERE "
      "current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";
  const Answer answer = Run(words);
  return answer.ok() ? OkStatus() : Unavailable(place_ + ": " + answer.message);
}

Status Connection::CheckServer() {
  if (PQserverVersion(raw()) < kOldestVersion) {
    return FailedPrecondition(place_ + ": PostgreSQL " +
                              std::to_string(PQserverVersion(raw()) / 10000) +
                              " is too old: 13 or newer");
  }
  const Answer answer =
      Run("SELECT current_setting('fsync'), current_setting('full_page_writes'),"
          " current_setting('max_prepared_transactions'), pg_backend_pid()");
  if (!answer.ok()) return Unavailable(place_ + ": " + answer.message);
  for (const int column : {0, 1}) {
    if (answer.table.Text(0, column) == "on") continue;
    return FailedPrecondition(place_ + ": the server has " +
                              (column == 0 ? "fsync" : "full_page_writes") +
                              " = off: what it calls committed would not survive a power cut; set "
                              "it to on");
  }
  max_prepared_transactions_ = answer.table.Int(0, 2);
  if (answer.table.Int(0, 3) == backend_pid()) return OkStatus();
  return FailedPrecondition(
      place_ +
      ": a pooler stands between, which may give each transaction another session: connect to the "
      "server itself");
}

}  // namespace assent::postgresql::internal
