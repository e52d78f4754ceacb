// What people do with rows.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/text.h>

#include "tools/assent-relay/commands.h"
#include "tools/assent-relay/database.h"
#include "tools/assentctl/duration.h"

namespace assent::relay {
namespace {

Exit Fail(const Status& status) {
  std::fprintf(stderr, "assent-relay: %s\n",
               EscapeUnseen(status.message(), /*keep_line_feeds=*/false).c_str());
  return ExitFor(status.code());
}

// What the row waits for, in few words.
std::string StateOf(const OutboxRow& row) {
  if (!row.parked_reason.empty()) return "parked";
  if (row.kind != 1) return "kind " + std::to_string(row.kind) + ", unknown here";
  if (row.due_in.count() <= 0) return "due";
  return "due in " + ctl::FormatDuration(row.due_in.count());
}

void PrintTableOf(const std::vector<OutboxRow>& rows) {
  std::vector<std::vector<std::string>> lines = {
      {"GID", "AGE", "KEY", "STATE", "ATTEMPTS", "BYTES", "WHY"}};
  for (const OutboxRow& row : rows) {
    const std::string& why = row.parked_reason.empty() ? row.last_error : row.parked_reason;
    lines.push_back({row.gid, ctl::FormatDuration(row.age.count()), row.ordering_key, StateOf(row),
                     std::to_string(row.attempts), std::to_string(row.request_bytes), why});
  }
  std::vector<std::size_t> widths(lines.front().size());
  for (auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      line[i] = EscapeUnseen(line[i], /*keep_line_feeds=*/false);
      widths[i] = std::max(widths[i], line[i].size());
    }
  }
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text.append(widths[i] - line[i].size() + 2, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    std::printf("%s\n", text.c_str());
  }
}

void PrintJson(const OutboxRow& row) {
  nlohmann::ordered_json json = {{"id", row.id},
                                 {"gid", row.gid},
                                 {"kind", row.kind},
                                 {"orderingKey", row.ordering_key},
                                 {"requestBytes", row.request_bytes},
                                 {"attempts", row.attempts},
                                 {"ageMs", row.age.count()},
                                 {"dueInMs", row.due_in.count()},
                                 {"parkedReason", row.parked_reason},
                                 {"lastError", row.last_error}};
  if (row.first_attempt_ago) json["firstAttemptAgoMs"] = row.first_attempt_ago->count();
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", EscapeUnseen(text, /*keep_line_feeds=*/false).c_str());
}

}  // namespace

Exit List(const std::string& database, const ListCommand& command) {
  const auto table = OpenTable(database);
  if (!table.ok()) return Fail(table.status());
  const auto rows = (*table)->List(command.parked_only, command.limit);
  if (!rows.ok()) return Fail(rows.status());
  if (command.json) {
    for (const OutboxRow& row : *rows) PrintJson(row);
  } else if (rows->empty()) {
    std::printf(command.parked_only ? "No row is parked.\n" : "No row waits.\n");
  } else {
    PrintTableOf(*rows);
    if (rows->size() == command.limit)
      std::printf("There may be more: --limit %zu\n", command.limit * 10);
  }
  return Exit::kDone;
}

Exit Apply(const std::string& database, const ApplyCommand& command) {
  const auto table = OpenTable(database);
  if (!table.ok()) return Fail(table.status());
  Exit exit = Exit::kDone;
  for (const std::string& gid : command.gids) {
    const Status status = (*table)->Apply(gid, command.change);
    const bool retry = command.change == OutboxTable::Change::kRetry;
    if (status.ok()) {
      std::printf("%s %s\n", gid.c_str(), retry ? "is due now" : "is dropped");
    } else {
      exit = Fail(status);
    }
  }
  return exit;
}

Exit PrintTable(const TableCommand& command) {
  std::printf("%s", TableSql(command.database_kind).c_str());
  return Exit::kDone;
}

}  // namespace assent::relay
