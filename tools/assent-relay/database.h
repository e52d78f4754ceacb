#pragma once

// What --database says.

#include <memory>
#include <string>

#include <assent/outbox.h>
#include <assent/status.h>

namespace assent::relay {

// kInvalidArgument: nobody can read it. Nothing is connected yet. No password is ever in a message.
Result<std::unique_ptr<OutboxTable>> OpenTable(const std::string& database);
// Of "sqlite", "postgresql" or "mariadb".
std::string TableSql(const std::string& kind);

}  // namespace assent::relay
