#include "participant-sdk/cpp/sqlite/claims.h"

#include <algorithm>
#include <utility>

namespace assent::sqlite::internal {
namespace {

void Add(ClaimSet& claims, std::string resource, bool exclusive, std::string what) {
  Claim& claim = claims[std::move(resource)];
  claim.exclusive = claim.exclusive || exclusive;
  if (claim.what.empty()) claim.what = std::move(what);
}

std::string Resource(char kind, const std::string& table) {
  std::string resource(1, kind);
  resource += table;
  resource.push_back('\0');
  return resource;
}

// "stock('A', 3)".
std::string Describe(const TableInfo& table, const std::vector<Value>& key) {
  std::string text = table.name + "(";
  for (std::size_t i = 0; i < key.size(); ++i)
    text += (i > 0 ? ", " : "") + internal::Describe(key[i]);
  return text + ")";
}

void AddTable(const TableInfo& table, bool exclusive, ClaimSet& claims) {
  Add(claims, Resource('T', table.name), exclusive, "table " + table.name);
}

void AddRow(const TableInfo& table, const std::vector<Value>& key, ClaimSet& claims) {
  std::string resource = Resource('R', table.name);
  for (std::size_t i = 0; i < key.size(); ++i) {
    // An unknown collation: the whole table, for want of a name that equal keys share.
    if (table.primary_folds[i] == Fold::kUnknown) return AddTable(table, true, claims);
    AppendKey(key[i], table.primary_folds[i], resource);
  }
  Add(claims, std::move(resource), true, "row " + Describe(table, key));
}

void AddKey(const TableInfo& table, const UniqueKey& key, const std::vector<Value>& values,
            bool exclusive, ClaimSet& claims) {
  std::string resource = Resource('K', table.name);
  resource += key.coarse ? key.name : "";
  for (int column : key.columns) resource += "," + std::to_string(column);
  resource.push_back('\0');
  if (key.coarse) return Add(claims, std::move(resource), exclusive, "unique index " + key.name);
  if (HasNull(values)) return;  // NULLs are distinct from one another
  for (std::size_t i = 0; i < values.size(); ++i) AppendKey(values[i], key.folds[i], resource);
  Add(claims, std::move(resource), exclusive, "key " + Describe(table, values));
}

// A key that appears or disappears. One that a row keeps is not claimed, so that children may
// reference it meanwhile.
void AddUniqueKeys(const TableInfo& table, const RowChange& change, ClaimSet& claims) {
  for (const UniqueKey& key : table.unique_keys) {
    if (key.primary && !key.referenced && !key.coarse) continue;  // its row's claim says the same
    if (key.coarse) {
      AddKey(table, key, {}, true, claims);
      continue;
    }
    const std::vector<Value> before =
        change.before.empty() ? std::vector<Value>() : Pick(change.before, key.columns);
    const std::vector<Value> after =
        change.after.empty() ? std::vector<Value>() : Pick(change.after, key.columns);
    if (before == after) continue;
    if (!before.empty()) AddKey(table, key, before, true, claims);
    if (!after.empty()) AddKey(table, key, after, true, claims);
  }
}

// The parent's key as the parent holds it (its affinity and collation have been applied).
Status AddParentKey(Schema& schema, const ForeignKey& link, const std::vector<Value>& child_values,
                    ClaimSet& claims) {
  const TableInfo* parent = schema.Find(link.parent);
  if (parent == nullptr) return OkStatus();
  if (parent->generated) {
    AddTable(*parent, false, claims);
    return OkStatus();
  }
  std::vector<int> sorted = link.parent_columns;
  std::sort(sorted.begin(), sorted.end());
  for (const UniqueKey& key : parent->unique_keys) {
    if (key.columns != sorted) continue;
    std::string wanted;
    for (int column : key.columns) {
      wanted += (wanted.empty() ? "" : ", ") +
                QuoteName(parent->columns[static_cast<std::size_t>(column)]);
    }
    Statement read(schema.connection(), "SELECT " + wanted + " FROM " + parent->Quoted() +
                                            " WHERE " + parent->Where(link.parent_columns));
    for (std::size_t i = 0; i < child_values.size(); ++i)
      read.Bind(static_cast<int>(i) + 1, child_values[i]);
    if (!read.Step()) return read.status();  // no parent: the foreign key check will say so
    std::vector<Value> values(key.columns.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = read.At(static_cast<int>(i));
    AddKey(*parent, key, values, false, claims);
  }
  return OkStatus();
}

Status AddParents(Schema& schema, const TableInfo& table, const RowChange& change,
                  ClaimSet& claims) {
  if (change.after.empty()) return OkStatus();
  for (const ForeignKey& link : table.references) {
    const std::vector<Value> after = Pick(change.after, link.child_columns);
    if (HasNull(after)) continue;
    if (!change.before.empty() && Pick(change.before, link.child_columns) == after) continue;
    Status status = AddParentKey(schema, link, after, claims);
    if (!status.ok()) return status;
  }
  return OkStatus();
}

bool HasGaps(const RowChange& change) {
  const auto missing = [](const std::optional<Value>& v) { return !v.has_value(); };
  return std::any_of(change.after.begin(), change.after.end(), missing);
}

}  // namespace

std::vector<Value> Pick(const Columns& row, const std::vector<int>& columns) {
  std::vector<Value> picked;
  picked.reserve(columns.size());
  for (int column : columns) {
    // A column added since the change was recorded reads as NULL.
    const auto i = static_cast<std::size_t>(column);
    picked.push_back(i < row.size() ? row[i].value_or(Value()) : Value());
  }
  return picked;
}

bool HasNull(const std::vector<Value>& values) {
  return std::any_of(values.begin(), values.end(), [](const Value& v) { return v.is_null(); });
}

Status FillRow(Connection& connection, const TableInfo& table, RowChange& change) {
  if (change.kind != RowChange::Kind::kUpdate || !HasGaps(change)) return OkStatus();
  Statement read(connection,
                 "SELECT * FROM " + table.Quoted() + " WHERE " + table.Where(table.primary_key));
  const std::vector<Value> key = Pick(change.before, table.primary_key);
  for (std::size_t i = 0; i < key.size(); ++i) read.Bind(static_cast<int>(i) + 1, key[i]);
  if (!read.Step())
    return read.status().ok() ? NotFound("row " + Describe(table, key) + " is gone")
                              : read.status();
  for (std::size_t i = 0; i < change.after.size() && static_cast<int>(i) < read.columns(); ++i) {
    if (change.after[i].has_value()) continue;
    if (!change.before[i].has_value()) change.before[i] = read.At(static_cast<int>(i));
    change.after[i] = change.before[i];
  }
  return OkStatus();
}

Status AddClaims(Schema& schema, const RowChange& change, ClaimSet& claims) {
  const TableInfo* table = schema.Find(change.table);
  if (table == nullptr || table->kind != TableInfo::Kind::kTable) return OkStatus();
  AddTable(*table, false, claims);
  if (table->generated) {
    // The hook numbers the columns of such a table in its own way.
    AddTable(*table, true, claims);
    for (const ForeignKey& link : table->references) {
      if (const TableInfo* parent = schema.Find(link.parent); parent != nullptr)
        AddTable(*parent, true, claims);
    }
    return OkStatus();
  }
  RowChange filled = change;
  Status status = FillRow(schema.connection(), *table, filled);
  if (!status.ok()) return status;
  if (!table->primary_key.empty()) {
    const auto key_of = [&](const Columns& row) { return Pick(row, table->primary_key); };
    if (!filled.before.empty()) AddRow(*table, key_of(filled.before), claims);
    if (!filled.after.empty()) AddRow(*table, key_of(filled.after), claims);
  }
  AddUniqueKeys(*table, filled, claims);
  return AddParents(schema, *table, filled, claims);
}

Status AddClaims(Schema& schema, const std::vector<RowChange>& changes, ClaimSet& claims) {
  for (const RowChange& change : changes) {
    Status status = AddClaims(schema, change, claims);
    if (!status.ok()) return status;
    if (claims.size() > limits::kMaxClaimsPerBranchCount) {
      return InvalidArgument("more than " + std::to_string(limits::kMaxClaimsPerBranchCount) +
                             " rows and keys are written");
    }
  }
  return OkStatus();
}

Status AddRowClaim(Schema& schema, std::string_view table_name, const Arg* key, std::size_t count,
                   ClaimSet& claims) {
  Status status = schema.Refresh();
  if (!status.ok()) return status;
  const TableInfo* table = schema.Find(table_name);
  if (table == nullptr || table->primary_key.empty()) {
    return Internal("Claim: " + std::string(table_name) + " is not a table with a PRIMARY KEY");
  }
  if (table->primary_key.size() != count) {
    return Internal("Claim: the primary key of " + table->name + " has " +
                    std::to_string(table->primary_key.size()) + " columns, not " +
                    std::to_string(count));
  }
  Statement read(schema.connection(),
                 "SELECT * FROM " + table->Quoted() + " WHERE " + table->Where(table->primary_key));
  Columns row;
  // Bound by hand: the count is not known when compiling.
  std::vector<Value> wanted(count);
  for (std::size_t i = 0; i < count; ++i) {
    wanted[i] = {key[i].type(), key[i].integer(), key[i].real(), std::string(key[i].bytes())};
    read.Bind(static_cast<int>(i) + 1, wanted[i]);
  }
  if (!read.Step())
    return read.status().ok() ? NotFound("Claim: no row " + Describe(*table, wanted))
                              : read.status();
  for (int i = 0; i < read.columns(); ++i) row.emplace_back(read.At(i));
  AddTable(*table, false, claims);
  AddRow(*table, Pick(row, table->primary_key), claims);
  return OkStatus();
}

Result<bool> ClaimTable::Any() {
  Statement read(connection_, "SELECT 1 FROM assent_lock LIMIT 1");
  const bool any = read.Step();
  if (!read.status().ok()) return read.status();
  return any;
}

Result<std::optional<barrier::Holder>> ClaimTable::Find(const ClaimSet& claims,
                                                        std::string_view gid,
                                                        std::string_view branch_id) {
  for (const auto& [resource, claim] : claims) {
    Statement read(
        connection_,
        "SELECT p.gid, p.branch_id, p.began_unix_ms, p.coordinator_id FROM assent_lock l "
        "JOIN assent_prepared p ON p.id = l.holder "
        "WHERE l.resource = ?1 AND (l.exclusive OR ?2) AND NOT (p.gid = ?3 AND p.branch_id = ?4) "
        "LIMIT 1",
        Blob{resource}, claim.exclusive, gid, branch_id);
    if (read.Step())
      return std::optional<barrier::Holder>(
          barrier::Holder{read.Text(0), read.Text(1), claim.what, read.Int(2),
                          static_cast<std::uint32_t>(read.Int(3))});
    if (!read.status().ok()) return read.status();
  }
  return std::optional<barrier::Holder>();
}

Status ClaimTable::Insert(const ClaimSet& claims, std::int64_t holder) {
  for (const auto& [resource, claim] : claims) {
    Statement write(connection_,
                    "INSERT INTO assent_lock(resource, holder, exclusive) VALUES(?1, ?2, ?3)",
                    Blob{resource}, holder, claim.exclusive);
    Status status = write.Finish();
    if (!status.ok()) return status;
  }
  return OkStatus();
}

Status ClaimTable::Drop(std::int64_t holder) {
  return Statement(connection_, "DELETE FROM assent_lock WHERE holder = ?1", holder).Finish();
}

}  // namespace assent::sqlite::internal
