#include "participant-sdk/cpp/sqlite/schema.h"

#include <algorithm>
#include <utility>

namespace assent::sqlite::internal {
namespace {

// The hidden column of pragma_table_xinfo.
constexpr std::int64_t kVirtualColumn = 2;
constexpr std::int64_t kStoredColumn = 3;

// Sorts a key's columns, its folds along with them, so that an index and a foreign key name the
// same key alike.
void SortColumns(UniqueKey& key) {
  std::vector<std::pair<int, Fold>> pairs;
  for (std::size_t i = 0; i < key.columns.size(); ++i)
    pairs.emplace_back(key.columns[i], key.folds[i]);
  std::sort(pairs.begin(), pairs.end());
  for (std::size_t i = 0; i < pairs.size(); ++i) std::tie(key.columns[i], key.folds[i]) = pairs[i];
}

std::vector<int> Sorted(std::vector<int> columns) {
  std::sort(columns.begin(), columns.end());
  return columns;
}

}  // namespace

std::string QuoteName(std::string_view name) {
  std::string quoted = "\"";
  for (char c : name) {
    if (c == '"') quoted.push_back('"');
    quoted.push_back(c);
  }
  return quoted + "\"";
}

std::string TableInfo::Quoted() const { return "main." + QuoteName(name); }

std::string TableInfo::Where(const std::vector<int>& wanted) const {
  std::string condition;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (i > 0) condition += " AND ";
    condition +=
        QuoteName(columns[static_cast<std::size_t>(wanted[i])]) + " = ?" + std::to_string(i + 1);
  }
  return condition;
}

bool Schema::CaseLess::operator()(std::string_view a, std::string_view b) const {
  const auto fold = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [&](char x, char y) { return fold(x) < fold(y); });
}

const TableInfo* Schema::Find(std::string_view table) const {
  auto found = tables_.find(table);
  return found == tables_.end() ? nullptr : &found->second;
}

Status Schema::Refresh() {
  Statement read(connection_, "PRAGMA main.schema_version");
  if (!read.Step()) return read.status();
  const std::int64_t version = read.Int(0);
  if (version == version_) return OkStatus();
  version_ = -1;
  Status loaded = Load();
  if (loaded.ok()) version_ = version;
  return loaded;
}

Status Schema::Load() {
  tables_.clear();
  std::vector<std::pair<std::string, bool>> without_rowid;
  Statement list(connection_, "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'");
  while (list.Step()) {
    TableInfo table;
    table.name = list.Text(0);
    const std::string type = list.Text(1);
    if (table.name.rfind("sqlite_", 0) == 0 || type == "view") continue;
    table.kind = type == "table"    ? TableInfo::Kind::kTable
                 : type == "shadow" ? TableInfo::Kind::kShadow
                                    : TableInfo::Kind::kOther;
    without_rowid.emplace_back(table.name, list.Int(2) != 0);
    tables_.emplace(table.name, std::move(table));
  }
  if (!list.status().ok()) return list.status();
  for (auto& [name, is_without] : without_rowid) {
    TableInfo& table = tables_.find(name)->second;
    if (table.kind == TableInfo::Kind::kOther) continue;
    Status status = LoadColumns(table, is_without);
    if (status.ok()) status = LoadKeys(table);
    if (!status.ok()) return status;
  }
  Statement triggers(connection_, "SELECT tbl_name FROM main.sqlite_schema WHERE type = 'trigger'");
  while (triggers.Step()) {
    auto found = tables_.find(triggers.Text(0));
    if (found != tables_.end()) found->second.has_triggers = true;
  }
  if (!triggers.status().ok()) return triggers.status();
  return foreign_keys_ ? LoadForeignKeys() : OkStatus();
}

Status Schema::LoadColumns(TableInfo& table, bool without_rowid) {
  Statement read(
      connection_,
      "SELECT name, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
      table.name);
  std::vector<std::pair<std::int64_t, int>> key;  // position in the key, column
  while (read.Step()) {
    const int column = static_cast<int>(table.columns.size());
    table.columns.push_back(read.Text(0));
    const std::int64_t hidden = read.Int(3);
    if (hidden == kVirtualColumn || hidden == kStoredColumn) table.generated = true;
    if (read.Int(2) == 0) continue;
    key.emplace_back(read.Int(2), column);
    if (read.Int(1) == 0 && !without_rowid) table.nullable_key = true;
  }
  std::sort(key.begin(), key.end());
  for (auto& [position, column] : key) table.primary_key.push_back(column);
  table.primary_folds.assign(table.primary_key.size(), Fold::kBinary);
  return read.status();
}

Status Schema::LoadKeys(TableInfo& table) {
  bool has_primary_index = false;
  Statement list(connection_,
                 "SELECT name, origin FROM pragma_index_list(?1, 'main') WHERE \"unique\" = 1",
                 table.name);
  while (list.Step()) {
    UniqueKey key;
    key.name = list.Text(0);
    key.primary = list.Text(1) == "pk";
    Statement parts(
        connection_,
        "SELECT cid, coll FROM pragma_index_xinfo(?1, 'main') WHERE key = 1 ORDER BY seqno",
        key.name);
    std::vector<Fold> folds;
    while (parts.Step()) {
      const int column = static_cast<int>(parts.Int(0));
      const std::string collation = parts.Text(1);
      const Fold fold = FoldOf(collation.c_str());
      if (column < 0 || fold == Fold::kUnknown) key.coarse = true;
      key.columns.push_back(column);
      key.folds.push_back(fold);
    }
    if (!parts.status().ok()) return parts.status();
    if (key.primary) {
      has_primary_index = true;
      // An index on a primary key lists its columns in the key's order.
      table.primary_folds = key.folds;
      table.primary_folds.resize(table.primary_key.size(), Fold::kBinary);
    }
    SortColumns(key);
    table.unique_keys.push_back(std::move(key));
  }
  if (!list.status().ok()) return list.status();
  if (has_primary_index || table.primary_key.size() != 1) return OkStatus();
  // INTEGER PRIMARY KEY: the rowid itself, with no index and never NULL.
  table.nullable_key = false;
  table.unique_keys.push_back(
      {table.primary_key, {Fold::kBinary}, false, true, false, "the rowid"});
  int autoincrement = 0;
  const std::string& column = table.columns[static_cast<std::size_t>(table.primary_key[0])];
  const int code = sqlite3_table_column_metadata(connection_.handle(), "main", table.name.c_str(),
                                                 column.c_str(), nullptr, nullptr, nullptr, nullptr,
                                                 &autoincrement);
  table.autoincrement = autoincrement != 0;
  return connection_.LastError(code);
}

Status Schema::LoadForeignKeys() {
  for (auto& [name, table] : tables_) {
    if (table.kind != TableInfo::Kind::kTable) continue;
    Statement read(connection_,
                   "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1, "
                   "'main') ORDER BY id, seq",
                   name);
    std::int64_t current = -1;
    ForeignKey key;
    std::vector<std::string> from;
    std::vector<std::string> to;
    while (read.Step()) {
      if (read.Int(0) != current) {
        if (current >= 0) Link(std::move(key), from, to);
        current = read.Int(0);
        key = {table.name, {}, read.Text(1), {}};
        from.clear();
        to.clear();
      }
      from.push_back(read.Text(2));
      if (!read.IsNull(3)) to.push_back(read.Text(3));
    }
    if (current >= 0) Link(std::move(key), from, to);
    if (!read.status().ok()) return read.status();
  }
  return OkStatus();
}

// Adds one foreign key to both its ends. One whose parent is missing is left out: SQLite fails
// every write through it.
void Schema::Link(ForeignKey key, const std::vector<std::string>& from,
                  const std::vector<std::string>& to) {
  auto child = tables_.find(key.child);
  auto parent = tables_.find(key.parent);
  if (child == tables_.end() || parent == tables_.end()) return;
  key.parent = parent->second.name;
  const auto number = [](const TableInfo& table, const std::string& column) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (sqlite3_stricmp(table.columns[i].c_str(), column.c_str()) == 0)
        return static_cast<int>(i);
    }
    return -1;
  };
  for (const std::string& column : from) key.child_columns.push_back(number(child->second, column));
  for (const std::string& column : to) key.parent_columns.push_back(number(parent->second, column));
  if (to.empty()) key.parent_columns = parent->second.primary_key;
  const auto unknown = [](int column) { return column < 0; };
  if (key.parent_columns.size() != key.child_columns.size() ||
      std::any_of(key.child_columns.begin(), key.child_columns.end(), unknown) ||
      std::any_of(key.parent_columns.begin(), key.parent_columns.end(), unknown)) {
    return;
  }
  const std::vector<int> columns = Sorted(key.parent_columns);
  for (UniqueKey& unique : parent->second.unique_keys) {
    if (unique.columns == columns) unique.referenced = true;
  }
  child->second.references.push_back(key);
  parent->second.referenced_by.push_back(std::move(key));
}

}  // namespace assent::sqlite::internal
