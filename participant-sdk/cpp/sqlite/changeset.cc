#include "participant-sdk/cpp/sqlite/changeset.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "participant-sdk/cpp/sqlite/claims.h"
#include "participant-sdk/cpp/sqlite/foreign_keys.h"
#include "participant-sdk/cpp/sqlite/savepoint.h"
#include "participant-sdk/cpp/sqlite/shape.h"

namespace assent::sqlite::internal {
namespace {

struct FreeWithSqlite {
  void operator()(void* bytes) const { sqlite3_free(bytes); }
};
using SqliteBytes = std::unique_ptr<void, FreeWithSqlite>;

// The iterator's functions take void*, though they only read.
void* Data(const std::string& changeset) { return const_cast<char*>(changeset.data()); }  // NOLINT

std::string ToString(const SqliteBytes& bytes, int size) {
  if (size <= 0) return {};
  return {static_cast<const char*>(bytes.get()), static_cast<std::size_t>(size)};
}

using ReadColumn = int (*)(sqlite3_changeset_iter*, int, sqlite3_value**);

std::vector<std::optional<Value>> ReadRow(sqlite3_changeset_iter* it, int columns,
                                          ReadColumn read) {
  std::vector<std::optional<Value>> row;
  for (int i = 0; i < columns; ++i) {
    sqlite3_value* value = nullptr;
    if (read(it, i, &value) == SQLITE_OK && value != nullptr) {
      row.emplace_back(ValueOf(value));
    } else {
      row.emplace_back(std::nullopt);
    }
  }
  return row;
}

RowChange ReadChange(sqlite3_changeset_iter* it) {
  RowChange change;
  const char* table = nullptr;
  int columns = 0;
  int op = 0;
  sqlite3changeset_op(it, &table, &columns, &op, nullptr);
  change.table = table;
  change.kind = op == SQLITE_INSERT   ? RowChange::Kind::kInsert
                : op == SQLITE_DELETE ? RowChange::Kind::kDelete
                                      : RowChange::Kind::kUpdate;
  if (op != SQLITE_INSERT) change.before = ReadRow(it, columns, &sqlite3changeset_old);
  if (op != SQLITE_DELETE) change.after = ReadRow(it, columns, &sqlite3changeset_new);
  return change;
}

std::string DescribeRow(const TableInfo* table, const RowChange& change) {
  std::string text = change.table + "(";
  if (table != nullptr) {
    const auto& row = change.before.empty() ? change.after : change.before;
    bool first = true;
    for (int column : table->primary_key) {
      text +=
          (first ? "" : ", ") + Describe(row[static_cast<std::size_t>(column)].value_or(Value()));
      first = false;
    }
  }
  return text + ")";
}

struct ApplyContext {
  Schema* schema = nullptr;
  std::string conflict;
};

int OnConflict(void* self, int kind, sqlite3_changeset_iter* it) {
  auto& context = *static_cast<ApplyContext*>(self);
  if (kind == SQLITE_CHANGESET_FOREIGN_KEY) {
    context.conflict = "a foreign key would be violated";
    return SQLITE_CHANGESET_ABORT;
  }
  const RowChange change = ReadChange(it);
  const std::string row = "row " + DescribeRow(context.schema->Find(change.table), change);
  switch (kind) {
    case SQLITE_CHANGESET_DATA: context.conflict = row + " was changed since"; break;
    case SQLITE_CHANGESET_NOTFOUND: context.conflict = row + " was deleted since"; break;
    case SQLITE_CHANGESET_CONFLICT: context.conflict = row + " was inserted since"; break;
    default: context.conflict = row + " would violate a constraint"; break;
  }
  return SQLITE_CHANGESET_ABORT;
}

}  // namespace

Recording::Recording(Connection& connection) : connection_(connection) {
  connection_.YieldHook();
  int code = sqlite3session_create(connection_.handle(), "main", &session_);
  if (code == SQLITE_OK) {
    sqlite3session_table_filter(session_, &Recording::Filter, this);
    code = sqlite3session_attach(session_, nullptr);
  }
  status_ = connection_.LastError(code);
}

Recording::~Recording() {
  if (session_ != nullptr) sqlite3session_delete(session_);
  connection_.InstallHook();
}

int Recording::Filter(void* self, const char* table) {
  if (sqlite3_strnicmp(table, "assent_", 7) == 0) return 0;
  static_cast<Recording*>(self)->tables_.insert(table);
  return 1;
}

Result<std::string> Recording::Take() {
  if (!status_.ok()) return status_;
  int size = 0;
  void* raw = nullptr;
  const int code = sqlite3session_changeset(session_, &size, &raw);
  const SqliteBytes bytes(raw);
  if (code != SQLITE_OK)
    return StatusOf(code, std::string("recording changes: ") + sqlite3_errstr(code));
  return ToString(bytes, size);
}

Status CheckRecordable(Schema& schema, const std::set<std::string>& tables) {
  for (const std::string& name : tables) {
    const TableInfo* table = schema.Find(name);
    if (table == nullptr)
      return FailedPrecondition("table " + name + " was created by the handler");
    if (table->kind == TableInfo::Kind::kShadow) {
      return FailedPrecondition(name +
                                " belongs to a virtual table, whose changes cannot be recorded");
    }
    if (table->primary_key.empty()) {
      return FailedPrecondition(
          "table " + name + " has no PRIMARY KEY, so its changes cannot be recorded: declare one");
    }
    if (table->generated) {
      return FailedPrecondition("table " + name +
                                " has generated columns, which SQLite's sessions cannot record");
    }
    if (!table->nullable_key) continue;
    for (int column : table->primary_key) {
      const std::string& key = table->columns[static_cast<std::size_t>(column)];
      Statement read(schema.connection(), "SELECT 1 FROM " + table->Quoted() + " WHERE " +
                                              QuoteName(key) + " IS NULL LIMIT 1");
      if (read.Step()) {
        return FailedPrecondition(
            "table " + name + " holds a row whose PRIMARY KEY is NULL, which cannot be recorded: " +
            "declare column " + key + " NOT NULL");
      }
      if (!read.status().ok()) return read.status();
    }
  }
  return OkStatus();
}

Result<std::vector<RowChange>> ReadChangeset(const std::string& changeset) {
  std::vector<RowChange> changes;
  sqlite3_changeset_iter* it = nullptr;
  int code = sqlite3changeset_start(&it, static_cast<int>(changeset.size()), Data(changeset));
  if (code == SQLITE_OK) {
    while (sqlite3changeset_next(it) == SQLITE_ROW) changes.push_back(ReadChange(it));
    code = sqlite3changeset_finalize(it);
  }
  if (code != SQLITE_OK)
    return DataLoss(std::string("a stored changeset is damaged: ") + sqlite3_errstr(code));
  return changes;
}

Result<std::string> InvertChangeset(const std::string& changeset) {
  int size = 0;
  void* raw = nullptr;
  const int code =
      sqlite3changeset_invert(static_cast<int>(changeset.size()), Data(changeset), &size, &raw);
  const SqliteBytes bytes(raw);
  if (code != SQLITE_OK)
    return DataLoss(std::string("a stored changeset is damaged: ") + sqlite3_errstr(code));
  return ToString(bytes, size);
}

bool MayFailToApply(const Schema& schema, const std::vector<RowChange>& changes) {
  if (changes.size() <= 1) return false;
  return std::any_of(changes.begin(), changes.end(), [&](const RowChange& change) {
    const TableInfo* table = schema.Find(change.table);
    const auto folds = [](Fold fold) { return fold != Fold::kBinary; };
    return table == nullptr || table->unique_keys.size() > 1 ||
           std::any_of(table->primary_folds.begin(), table->primary_folds.end(), folds);
  });
}

Applied ApplyChangeset(Schema& schema, const std::string& changeset,
                       const std::vector<RowChange>& changes, const std::string& shape) {
  Connection& connection = schema.connection();
  if (changes.empty()) return {};
  if (std::string misfit = FindMisfit(schema, shape); !misfit.empty())
    return {OkStatus(), std::move(misfit)};
  const bool linked = std::any_of(changes.begin(), changes.end(), [&](const RowChange& change) {
    return schema.Find(change.table)->is_linked();
  });
  Savepoint savepoint(connection);
  Status status = savepoint.status();
  if (!status.ok()) return {status, {}};
  ApplyContext context{&schema, {}};
  const std::int64_t before = sqlite3_total_changes64(connection.handle());
  if (linked) connection.SetRaw(true);
  const int code = sqlite3changeset_apply(connection.handle(), static_cast<int>(changeset.size()),
                                          Data(changeset), nullptr, &OnConflict, &context);
  if (linked) connection.SetRaw(false);
  const auto applied =
      static_cast<std::size_t>(sqlite3_total_changes64(connection.handle()) - before);
  if (code != SQLITE_OK && context.conflict.empty()) {
    status = Status(StatusOf(code, "").code(),
                    std::string("applying changes: ") + sqlite3_errmsg(connection.handle()));
  }
  if (code == SQLITE_OK && applied != changes.size()) {
    context.conflict = "only " + std::to_string(applied) + " of " + std::to_string(changes.size()) +
                       " changes applied";
  }
  Applied result{std::move(status), std::move(context.conflict)};
  if (result.ok() && linked) {
    Result<std::string> broken = FindBrokenForeignKey(schema, changes);
    if (broken.ok()) {
      result.conflict = *broken;
    } else {
      result.status = broken.status();
    }
  }
  if (result.ok()) result.status = savepoint.Keep();
  return result;
}

}  // namespace assent::sqlite::internal
