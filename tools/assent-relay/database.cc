#include "tools/assent-relay/database.h"

#include <charconv>
#include <sstream>
#include <string_view>

#include <assent/outbox_mariadb.h>
#include <assent/outbox_postgresql.h>
#include <assent/outbox_sqlite.h>

namespace assent::relay {
namespace {

constexpr std::string_view kPostgresqlUrl = "postgresql://";

Status ReadPort(const std::string& text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size() && port != 0) return OkStatus();
  return InvalidArgument("--database mariadb: port is no port");
}

// "host=… port=… user=…", as libpq has it. What stands in it may be a password, and is not quoted.
Result<mariadb::Server> ReadServer(const std::string& words) {
  mariadb::Server server;
  struct Field {
    const char* name;
    std::string mariadb::Server::*member;
  };
  static constexpr Field kFields[] = {
      {"host", &mariadb::Server::host},         {"socket", &mariadb::Server::socket},
      {"user", &mariadb::Server::user},         {"password", &mariadb::Server::password},
      {"database", &mariadb::Server::database}, {"option_file", &mariadb::Server::option_file},
      {"tls_ca", &mariadb::Server::tls_ca},     {"tls_cert", &mariadb::Server::tls_certificate},
      {"tls_key", &mariadb::Server::tls_key},
  };
  std::istringstream rest(words);
  for (std::string word; rest >> word;) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (name == "port") {
      if (Status s = ReadPort(value, server.port); !s.ok()) return s;
      continue;
    }
    bool known = false;
    for (const Field& field : kFields) {
      if (name != field.name || equals == std::string::npos) continue;
      server.*field.member = value;
      known = true;
    }
    if (known) continue;
    return InvalidArgument(
        "--database mariadb: takes NAME=VALUE with blanks between: host, port, socket, user, "
        "password, database, option_file, tls_ca, tls_cert, tls_key");
  }
  if (server.database.empty()) return InvalidArgument("--database mariadb: database= is missing");
  return server;
}

}  // namespace

Result<std::unique_ptr<OutboxTable>> OpenTable(const std::string& database) {
  const std::size_t colon = database.find(':');
  const std::string kind = database.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : database.substr(colon + 1);
  if (kind == "sqlite" && !rest.empty()) return sqlite::OpenOutboxTable({.path = rest});
  if (kind == "postgresql" && !rest.empty()) {
    const bool is_url = database.starts_with(kPostgresqlUrl);
    return postgresql::OpenOutboxTable({.connection = is_url ? database : rest});
  }
  if (kind == "mariadb" && !rest.empty()) {
    Result<mariadb::Server> server = ReadServer(rest);
    if (!server.ok()) return server.status();
    return mariadb::OpenOutboxTable({.server = std::move(*server)});
  }
  return InvalidArgument(
      "--database begins with sqlite:, postgresql: or mariadb:, and says where: "
      "sqlite:/var/lib/shop/orders.db");
}

std::string TableSql(const std::string& kind) {
  if (kind == "sqlite") return sqlite::OutboxTableSql();
  return kind == "postgresql" ? postgresql::OutboxTableSql() : mariadb::OutboxTableSql();
}

}  // namespace assent::relay
