#include "participant-sdk/cpp/sqlite/foreign_keys.h"

#include <algorithm>

#include "participant-sdk/cpp/sqlite/claims.h"

namespace assent::sqlite::internal {
namespace {

// Some row of `table` has these values in these columns.
Result<bool> Exists(Schema& schema, const TableInfo& table, const std::vector<int>& columns,
                    const std::vector<Value>& values) {
  Statement read(schema.connection(),
                 "SELECT 1 FROM " + table.Quoted() + " WHERE " + table.Where(columns) + " LIMIT 1");
  for (std::size_t i = 0; i < values.size(); ++i) read.Bind(static_cast<int>(i) + 1, values[i]);
  const bool found = read.Step();
  if (!read.status().ok()) return read.status();
  return found;
}

// The parent of a child row that was written.
Result<bool> ParentHolds(Schema& schema, const ForeignKey& link, const RowChange& change) {
  if (change.after.empty()) return true;
  const std::vector<Value> after = Pick(change.after, link.child_columns);
  const TableInfo* parent = schema.Find(link.parent);
  if (parent == nullptr || HasNull(after)) return true;
  if (!change.before.empty() && Pick(change.before, link.child_columns) == after) return true;
  return Exists(schema, *parent, link.parent_columns, after);
}

// The children of a parent key that was taken away.
Result<bool> ChildrenHold(Schema& schema, const ForeignKey& link, const RowChange& change) {
  if (change.before.empty()) return true;
  const std::vector<Value> before = Pick(change.before, link.parent_columns);
  const TableInfo* child = schema.Find(link.child);
  const TableInfo* parent = schema.Find(link.parent);
  if (child == nullptr || parent == nullptr || HasNull(before)) return true;
  if (!change.after.empty() && Pick(change.after, link.parent_columns) == before) return true;
  Result<bool> still = Exists(schema, *parent, link.parent_columns, before);
  if (!still.ok() || *still) return still;
  Result<bool> left = Exists(schema, *child, link.child_columns, before);
  if (!left.ok()) return left;
  return !*left;
}

}  // namespace

Result<std::string> FindBrokenForeignKey(Schema& schema, const std::vector<RowChange>& changes) {
  for (const RowChange& change : changes) {
    const TableInfo* table = schema.Find(change.table);
    if (table == nullptr || (table->references.empty() && table->referenced_by.empty())) continue;
    RowChange filled = change;
    Status status = FillRow(schema.connection(), *table, filled);
    if (!status.ok()) return status;
    for (const ForeignKey& link : table->references) {
      Result<bool> holds = ParentHolds(schema, link, filled);
      if (!holds.ok()) return holds.status();
      if (!*holds)
        return "a row of " + link.child + " refers to a row of " + link.parent + " that is gone";
    }
    for (const ForeignKey& link : table->referenced_by) {
      Result<bool> holds = ChildrenHold(schema, link, filled);
      if (!holds.ok()) return holds.status();
      if (!*holds) return "rows of " + link.child + " still refer to a row of " + link.parent;
    }
  }
  return std::string();
}

}  // namespace assent::sqlite::internal
