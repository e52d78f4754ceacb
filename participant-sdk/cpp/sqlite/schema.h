#pragma once

// What the adapter must know of the user's tables to claim rows and keys: primary keys, unique
// keys, foreign keys in both directions. Read from SQLite's pragmas, kept until the schema version
// moves.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

// A unique key (an index or the primary key), its columns in ascending order of column number.
struct UniqueKey {
  std::vector<int> columns;
  std::vector<Fold> folds;  // as long as `columns`
  // Claimed as a whole instead of by value: an expression, or a collating sequence that we do not
  // know.
  bool coarse = false;
  bool primary = false;
  bool referenced = false;  // some foreign key points at it
  std::string name;
};

// A foreign key of a child table; the pairs of columns are in the order of its declaration.
struct ForeignKey {
  std::string child;
  std::vector<int> child_columns;
  std::string parent;
  std::vector<int> parent_columns;
};

struct TableInfo {
  enum class Kind : std::uint8_t { kTable, kShadow, kOther };
  std::string name;
  Kind kind = Kind::kTable;
  std::vector<std::string> columns;  // without hidden ones; generated ones included
  std::vector<int> primary_key;      // column numbers in the key's order; empty: none declared
  std::vector<Fold> primary_folds;   // as long as `primary_key`
  // A quirk of SQLite: such a primary key takes NULL, and sessions skip those rows.
  bool nullable_key = false;
  bool generated = false;  // has generated columns, which sessions cannot record
  bool autoincrement = false;
  bool has_triggers = false;
  std::vector<UniqueKey> unique_keys;
  std::vector<ForeignKey> references;     // as a child
  std::vector<ForeignKey> referenced_by;  // as a parent

  bool is_linked() const { return has_triggers || !references.empty() || !referenced_by.empty(); }
  // The SQL condition "key1 = ?1 AND …" over `wanted`, and the quoted name.
  std::string Where(const std::vector<int>& wanted) const;
  std::string Quoted() const;
};

std::string QuoteName(std::string_view name);

class Schema {
 public:
  Schema(Connection& connection, bool foreign_keys)
      : connection_(connection), foreign_keys_(foreign_keys) {}

  // Reads it anew if it changed since. Call before a series of Find; pointers live until the next
  // Refresh.
  Status Refresh();
  // The next Refresh reads it anew: a change of the schema was undone, and its version number will
  // be given again.
  void Forget() { version_ = -1; }
  // By name, in any case of letters; null when there is no such table.
  const TableInfo* Find(std::string_view table) const;
  std::int64_t version() const { return version_; }
  Connection& connection() { return connection_; }

 private:
  struct CaseLess {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const;
  };
  Status Load();
  Status LoadColumns(TableInfo& table, bool without_rowid);
  Status LoadKeys(TableInfo& table);
  Status LoadForeignKeys();
  void Link(ForeignKey key, const std::vector<std::string>& from,
            const std::vector<std::string>& to);

  Connection& connection_;
  bool foreign_keys_;
  std::int64_t version_ = -1;
  std::map<std::string, TableInfo, CaseLess> tables_;
};

}  // namespace assent::sqlite::internal
