#pragma once

// The command line of assent-relay, read: each field with its default and what --help says.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <assent/client.h>
#include <assent/outbox.h>

namespace assent::relay {

// Part of the interface, listed in docs/messages.md; the numbers are assentctl's.
enum class Exit : int {
  kDone = 0,
  kOther = 1,
  kUsage = 2,
  kCannotConnect = 3,  // to the database
  kNotFound = 4,       // no row has the gid
  kWrongState = 5,     // the table is missing, or the database cannot be used
};
Exit ExitFor(Code code);

struct RunCommand {
  ClientOptions client = {};
  RelayOptions relay = {};
  std::string metrics_listen = {};  // "host:port"; empty: none
  bool json_log = false;
};
struct ListCommand {
  bool parked_only = false;
  std::size_t limit = 50;
  bool json = false;
};
struct ApplyCommand {
  OutboxTable::Change change = OutboxTable::Change::kRetry;
  std::vector<std::string> gids = {};
};
struct TableCommand {
  std::string database_kind = {};
};
using Command = std::variant<RunCommand, ListCommand, ApplyCommand, TableCommand>;

struct ParsedLine {
  std::string database = {};
  Command command;
};
struct ParseEnd {
  Exit exit = Exit::kDone;
  std::string out = {};
  std::string err = {};
};
using GetEnv = std::function<const char*(const char*)>;
std::variant<ParsedLine, ParseEnd> ParseCommandLine(const std::vector<std::string>& args,
                                                    const GetEnv& env);

}  // namespace assent::relay
