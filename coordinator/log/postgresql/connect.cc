// How a connection comes about: who answers, whether it is one that may be trusted with a log, and
// what to do when not.

#include <algorithm>
#include <array>
#include <cctype>
#include <poll.h>
#include <utility>

#include "coordinator/log/postgresql/connection.h"

namespace assent::log {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kOldestVersion = 130000;

struct FreeInfo {
  void operator()(PQconninfoOption* info) const { PQconninfoFree(info); }
};
using Info = std::unique_ptr<PQconninfoOption, FreeInfo>;

Info Parsed(const std::string& url) { return Info(PQconninfoParse(url.c_str(), nullptr)); }

std::string ValueOf(const Info& info, std::string_view keyword) {
  for (const PQconninfoOption* option = info.get(); option && option->keyword; ++option) {
    if (keyword == option->keyword && option->val != nullptr) return option->val;
  }
  return "";
}

std::string WithoutPassword(std::string text, const std::string& password) {
  if (password.empty()) return text;
  constexpr std::string_view kHidden = "***";
  for (std::size_t at = text.find(password); at != std::string::npos;
       at = text.find(password, at + kHidden.size()))
    text.replace(at, password.size(), kHidden);
  return text;
}

// In the server's verbose form: "FATAL:  28P01: password authentication failed ...\nLOCATION: ...".
struct ServerWords {
  std::string sqlstate;
  std::string text;
};

bool IsState(std::string_view text) {
  int digits = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'A' || c > 'Z')) return false;
    digits += digit ? 1 : 0;
  }
  return text.size() == 5 && digits > 0;  // FATAL is none
}

ServerWords ReadWords(std::string verbose) {
  ServerWords words;
  if (const std::size_t end = verbose.find("\nLOCATION:"); end != std::string::npos)
    verbose.resize(end);
  for (std::size_t at = 0; (at = verbose.find(": ", at)) != std::string::npos; at += 2) {
    if (at < 5 || !IsState(std::string_view(verbose).substr(at - 5, 5))) continue;
    words.sqlstate = verbose.substr(at - 5, 5);
    verbose.erase(at - 5, 7);
    break;
  }
  words.text = OneLine(verbose);
  return words;
}

// What to do about a server that does not let us in.
Status NotLetIn(const std::string& place, const ServerWords& words) {
  const std::string begin = place + ": ";
  const std::string& state = words.sqlstate;
  const auto says = [&](const char* text) { return words.text.find(text) != std::string::npos; };
  if (says("session is read-only") || says("server is in hot standby mode")) {
    return FailedPrecondition(
        begin +
        "this server takes no writes (a standby, or read-only by its "
        "settings): name the primary, or all hosts of the pair in one address "
        "(postgresql://a,b/...), of which the one that takes writes is used");
  }
  if (state.substr(0, 2) == "28" || says("no password supplied")) {
    return {Code::kPermissionDenied,
            begin + words.text +
                " -- give the password by PGPASSFILE (~/.pgpass) or a service file, and look at "
                "the server's pg_hba.conf for who may come from here"};
  }
  if (state == "3D000") {
    return NotFound(begin + words.text + " -- make it, as its owner: createdb NAME");
  }
  if (state == "42501") {
    return {Code::kPermissionDenied,
            begin + words.text + " -- GRANT CONNECT ON DATABASE ... TO this user"};
  }
  // Libpq's own words: they come before the server could say anything.
  for (const char* text : {"certificate verify failed", "server certificate for",
                           "root certificate file", "does not support SSL"}) {
    if (!says(text)) continue;
    return FailedPrecondition(begin + words.text +
                              " -- look at sslmode and sslrootcert in the address or the service "
                              "file, and at the server's ssl settings");
  }
  // The other side's, of what we have shown.
  if (says("SSL error:") && says(" alert ")) {
    return {Code::kPermissionDenied,
            begin + words.text +
                " -- the server does not take the certificate that it was shown: look at sslcert "
                "and sslkey in the address or the service file"};
  }
  return Unavailable(begin + words.text);
}

bool IsSchemaName(const std::string& name) {
  if (name.empty() || name.size() > 63 || std::isdigit(static_cast<unsigned char>(name[0])) != 0)
    return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
  });
}

}  // namespace

std::string Connection::Place(const std::string& url) {
  const Info info = Parsed(url);
  if (!info) return "the database";
  std::string host = ValueOf(info, "host");
  if (host.empty()) host = ValueOf(info, "hostaddr");
  if (host.empty()) host = "localhost";
  const std::string port = ValueOf(info, "port");
  return host + (port.empty() ? "" : ":" + port) + "/" + ValueOf(info, "dbname");
}

bool Connection::HasPassword(const std::string& url) {
  return !ValueOf(Parsed(url), "password").empty();
}

Connection::Connection(const ConnectionOptions& options)
    : options_(options), place_(Place(options.url)) {}

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  // What libpq says of an address that it cannot read may quote the password.
  if (!Parsed(options.url)) {
    return InvalidArgument(
        "the database's address cannot be read; it looks like "
        "postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full");
  }
  if (!IsSchemaName(options.schema))
    return InvalidArgument("schema " + options.schema + ": lower-case letters, digits and _ only");
  std::unique_ptr<Connection> connection(new Connection(options));
  if (Status status = connection->Connect(); !status.ok()) return status;
  PQsetNoticeReceiver(connection->connection_.get(), &Connection::OnNotice, connection.get());
  PQsetErrorVerbosity(connection->connection_.get(), PQERRORS_DEFAULT);
  if (Status status = connection->FirstWords(); !status.ok()) return status;
  if (Status status = connection->CheckSettings(); !status.ok()) return status;
  if (Status status = connection->CheckPooler(); !status.ok()) return status;
  return connection;
}

namespace {

// The later of two words wins: the address may change those before it, and not those behind it.
struct Words {
  explicit Words(const ConnectionOptions& options)
      : timeout(std::to_string(options.connect_timeout.count())),
        names{"connect_timeout",
              "keepalives_idle",
              "keepalives_interval",
              "keepalives_count",
              "tcp_user_timeout",
              "fallback_application_name",
              "dbname",
              "client_encoding",
              "target_session_attrs",
              nullptr},
        values{timeout.c_str(),
               "5",
               "2",
               "3",
               "15000",
               options.application_name.c_str(),
               options.url.c_str(),
               "UTF8",
               "read-write",
               nullptr} {}
  std::string timeout;
  std::array<const char*, 10> names;
  std::array<const char*, 10> values;
};

}  // namespace

// Step by step, so that the flag ends it and the server's code is in its words, which libpq does
// not give otherwise. If that takes too long, once more in one piece: only so does libpq go on to
// the next host when one is silent.
Status Connection::Connect() {
  const Words words(options_);
  connection_.reset(PQconnectStartParams(words.names.data(), words.values.data(), 1));
  if (!connection_) return ResourceExhausted("no memory for a connection");
  PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
  const Clock::time_point end = Clock::now() + options_.connect_timeout;
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(connection_.get()) != CONNECTION_BAD) {
    if (!WaitFor(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, end)) break;
    state = PQconnectPoll(connection_.get());
    if (state == PGRES_POLLING_OK || state == PGRES_POLLING_FAILED) break;
  }
  const bool stopped = options_.stop != nullptr && options_.stop->load();
  if (state != PGRES_POLLING_OK && PQstatus(connection_.get()) != CONNECTION_BAD && !stopped) {
    connection_.reset(PQconnectdbParams(words.names.data(), words.values.data(), 1));
  }
  if (stopped) return Unavailable(place_ + ": stopped while connecting");
  if (PQstatus(connection_.get()) == CONNECTION_OK) {
    PQsetnonblocking(connection_.get(), 1);
    return OkStatus();
  }
  const Info used(PQconninfo(connection_.get()));
  return NotLetIn(place_, ReadWords(WithoutPassword(PQerrorMessage(connection_.get()),
                                                    ValueOf(used, "password"))));
}

// The session as we need it. Whoever made synchronous_commit stronger than on may keep it. The last
// statement is for PostgreSQL's planner: a hash join over a table full of dead rows is the plan to
// fear; a store without these settings has none of them to change.
Status Connection::FirstWords() {
  const std::string words =
      "SET client_min_messages = warning; SET search_path = \"" + options_.schema +
      "\"; SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0;"
      " SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";
  Answer answer = Run(words);
  if (!answer.ok()) return answer.status(place_ + ": session settings");
  answer =
      Run("SELECT set_config('synchronous_commit', 'on', false)"
          " WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')");
  if (!answer.ok()) return answer.status(place_ + ": synchronous_commit");
  answer =
      Run("SELECT set_config(name, CASE name WHEN 'plan_cache_mode' THEN 'force_generic_plan'"
          " ELSE 'off' END, false) FROM pg_settings WHERE name IN ('enable_seqscan',"
          " 'enable_hashjoin', 'enable_mergejoin', 'enable_bitmapscan', 'jit', 'plan_cache_mode')");
  return answer.status(place_ + ": planner settings");
}

Status Connection::CheckSettings() {
  const Answer answer =
      Run("SELECT current_setting('synchronous_commit', true), current_setting('fsync', true),"
          " current_setting('full_page_writes', true), pg_backend_pid()");
  if (!answer.ok()) return answer.status(place_ + ": settings");
  if (server_version() < kOldestVersion) {
    return FailedPrecondition(place_ + ": PostgreSQL " + std::to_string(server_version() / 10000) +
                              " is too old: 13 or newer");
  }
  static constexpr std::array kNeeded = {"synchronous_commit", "fsync", "full_page_writes"};
  for (std::size_t i = 0; i < kNeeded.size(); ++i) {
    const int column = static_cast<int>(i);
    if (answer.rows.IsNull(0, column)) continue;  // a store that has no such switch
    const std::string value = answer.rows.Text(0, column);
    if (value == "on" || (i == 0 && value == "remote_apply")) continue;
    return FailedPrecondition(place_ + ": the server has " + kNeeded[i] + " = " + value +
                              ": what it calls committed would not survive a power cut; set it "
                              "to on");
  }
  backend_pid_ = static_cast<std::uint32_t>(answer.rows.Int(0, 3));
  return OkStatus();
}

// A pooler in transaction mode gives the session that rests between two transactions of ours to
// somebody else: to a second connection that we open, or else away from under us while that one
// holds it. Only asked when somebody stands between, which the number of the session tells.
Status Connection::CheckPooler() {
  if (static_cast<std::uint32_t>(PQbackendPID(connection_.get())) == backend_pid_)
    return OkStatus();
  Connection second(options_);
  if (Status status = second.Connect(); !status.ok()) return status;
  const Answer begun = second.Run("BEGIN; SELECT pg_backend_pid()");
  const Answer mine = Run("SELECT pg_backend_pid()");
  if (!begun.ok()) return begun.status(place_);
  if (!mine.ok()) return mine.status(place_);
  const auto pid = [](const Answer& answer) {
    return static_cast<std::uint32_t>(answer.rows.Int(0, 0));
  };
  if (pid(begun) != backend_pid_ && pid(mine) == backend_pid_) return OkStatus();
  return FailedPrecondition(
      place_ +
      ": a pooler stands between that gives each transaction another session: connect to the "
      "server itself, or set the pooler to pool_mode = session");
}

}  // namespace assent::log
