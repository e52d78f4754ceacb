#include "participant-sdk/cpp/postgresql/undo_log.h"

#include <algorithm>
#include <utility>

namespace assent::postgresql::internal {
namespace {

// TRUNCATE and whatever changes the schema write catalogs, which count as well. What has no count
// is refused by who asks: foreign tables. The adapter's own tables are not looked at.
#define ASSENT_INSERTED "pg_stat_get_xact_tuples_inserted(c.oid)"
#define ASSENT_UPDATED "pg_stat_get_xact_tuples_updated(c.oid)"
#define ASSENT_DELETED "pg_stat_get_xact_tuples_deleted(c.oid)"
constexpr char kWritten[] =
    "SELECT c.oid::bigint, c.oid::regclass::text, " ASSENT_INSERTED ", " ASSENT_UPDATED
    ", " ASSENT_DELETED
    ", c.relnamespace = 'pg_catalog'::regnamespace, EXISTS(SELECT FROM pg_trigger g WHERE "
    "g.tgrelid = c.oid AND g.tgfoid = to_regprocedure('assent_undo_capture()') AND g.tgenabled IN "
    "('O', 'A')) FROM pg_class c WHERE c.relkind IN ('r', 'm') AND (" ASSENT_INSERTED
    " <> 0 OR " ASSENT_UPDATED " <> 0 OR " ASSENT_DELETED
    " <> 0) AND c.relname NOT IN ('assent_barrier', 'assent_marker', 'assent_age', 'assent_undo')";

// What PostgreSQL itself does by triggers (foreign keys, deferrable keys) is none of somebody's.
constexpr char kShapes[] =
    "SELECT w.name, c.oid::regclass::text, c.oid::bigint, quote_ident(a.attname), "
    "format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', "
    "coalesce((SELECT k.n FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH "
    "ORDINALITY AS k(attnum, n) WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= "
    "i.indnkeyatts AND k.attnum = a.attnum), 0), "
    "EXISTS(SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = c.oid "
    "AND g.tgenabled <> 'D' AND g.tgfoid <> to_regprocedure('assent_undo_capture()') AND NOT "
    "(p.pronamespace = 'pg_catalog'::regnamespace AND (p.proname LIKE 'RI\\_FKey\\_%' OR "
    "p.proname = 'unique_key_recheck'))) OR EXISTS(SELECT FROM pg_rewrite r WHERE r.ev_class = "
    "c.oid AND r.ev_enabled <> 'D'), "
    "(SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisunique OR "
    "i.indisexclusion)) > 1 OR EXISTS(SELECT FROM pg_constraint f WHERE f.contype = 'f' AND "
    "(f.conrelid = c.oid OR f.confrelid = c.oid)) "
    "FROM (SELECT DISTINCT table_name AS name FROM assent_undo WHERE gid = $1 AND branch_id = $2 "
    "AND kind IN ('I', 'U', 'D')) w JOIN pg_class c ON c.oid = to_regclass(w.name) JOIN "
    "pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY w.name, "
    "a.attnum";

// A row for each pair of columns.
constexpr char kLinks[] =
    "SELECT f.oid::bigint, f.conrelid::bigint, f.confrelid::bigint, quote_ident(c.attname), "
    "quote_ident(p.attname) FROM pg_constraint f CROSS JOIN LATERAL unnest(f.conkey, f.confkey) "
    "AS k(child, parent) JOIN pg_attribute c ON c.attrelid = f.conrelid AND c.attnum = k.child "
    "JOIN pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = k.parent WHERE f.contype = 'f' "
    "AND f.conrelid = ANY($1::text[]::oid[]) AND f.confrelid = ANY($1::text[]::oid[]) ORDER BY "
    "f.oid";

constexpr char kRecords[] =
    "SELECT table_name, kind::text, before, after FROM assent_undo WHERE gid = $1 AND branch_id = "
    "$2 AND kind IN ('I', 'U', 'D') ORDER BY seq";

#define ASSENT_DIGEST                                                                           \
  "count(*) || ' ' || coalesce(encode(sha256(convert_to(string_agg(concat_ws('|', table_name, " \
  "kind, length(before), before, length(after), after), '|' ORDER BY seq), 'UTF8')), 'hex'), '')"
constexpr char kKeepShape[] =
    "INSERT INTO assent_undo(gid, branch_id, table_name, kind, before) VALUES($1, $2, $3, 'S', $4)";
constexpr char kSeal[] =
    "INSERT INTO assent_undo(gid, branch_id, table_name, kind, before) SELECT $1::text, $2::text, "
    "'', '#', " ASSENT_DIGEST " FROM assent_undo WHERE gid = $1 AND branch_id = $2";
constexpr char kSealed[] =
    "SELECT table_name, before FROM assent_undo WHERE gid = $1 AND branch_id = $2 AND kind = 'S'";
constexpr char kCheckSeal[] =
    "SELECT before IS NOT NULL, before = (SELECT " ASSENT_DIGEST
    " FROM assent_undo WHERE gid = $1 AND branch_id = $2 AND kind <> '#') FROM assent_undo WHERE "
    "gid = $1 AND branch_id = $2 AND kind = '#'";
constexpr char kForget[] = "DELETE FROM assent_undo WHERE gid = $1 AND branch_id = $2";

Params BranchOf(const Call& call) { return {Param::Text(call.gid), Param::Text(call.branch_id)}; }

// A shape's text has a line for each column.
std::string LineOf(const Column& column) {
  return column.name + " " + column.type + (column.generated ? " generated" : "") +
         (column.key > 0 ? " key " + std::to_string(column.key) : "") + "\n";
}

}  // namespace

std::string Shape::Text() const {
  std::string text;
  for (const Column& column : columns) text += LineOf(column);
  return text;
}

std::string Shape::FindMisfit(std::string_view text) const {
  for (const Column& column : columns) {
    if (text.empty()) return {};
    const std::string line = LineOf(column);
    if (!text.starts_with(line)) break;
    text.remove_prefix(line.size());
  }
  if (text.empty()) return {};
  return server::ColumnIsGone(std::string(text.substr(0, text.find(' '))), shown);
}

void AddCountWritten(Connection& connection) { connection.Add(kWritten); }

WrittenByTable ReadWritten(const Table& table) {
  WrittenByTable written;
  for (int i = 0; i < table.rows(); ++i) {
    written[table.Int(i, 0)] = {
        std::string(table.Text(i, 1)), table.Int(i, 2),     table.Int(i, 3), table.Int(i, 4),
        table.Int(i, 5) == 1,          table.Int(i, 6) == 1};
  }
  return written;
}

void AddFindShapes(Connection& connection, const Call& call) {
  connection.Add(kShapes, BranchOf(call));
}

Shapes ReadShapes(const Table& table) {
  Shapes shapes;
  for (int i = 0; i < table.rows(); ++i) {
    Shape& shape = shapes[std::string(table.Text(i, 0))];
    shape.shown = table.Text(i, 1);
    shape.oid = table.Int(i, 2);
    shape.AddColumn({std::string(table.Text(i, 3)), std::string(table.Text(i, 4)),
                     table.Int(i, 5) == 1, static_cast<int>(table.Int(i, 6))});
    shape.has_triggers = table.Int(i, 7) == 1;
    shape.has_more_keys = table.Int(i, 8) == 1;
  }
  return shapes;
}

void AddFindLinks(Connection& connection, const Shapes& shapes) {
  std::vector<std::string> numbers;
  for (const auto& [name, shape] : shapes) numbers.push_back(std::to_string(shape.oid));
  connection.Add(kLinks, {Param::Texts({numbers.begin(), numbers.end()})});
}

std::vector<Link> ReadLinks(const Table& table, const Shapes& shapes) {
  std::vector<Link> links;
  const auto find = [&](std::int64_t oid) {
    return std::find_if(shapes.begin(), shapes.end(),
                        [oid](const auto& one) { return one.second.oid == oid; });
  };
  const auto number_of = [](const Shape& shape, std::string_view name) {
    const auto at = std::find_if(shape.columns.begin(), shape.columns.end(),
                                 [name](const Column& column) { return column.name == name; });
    return static_cast<std::size_t>(at - shape.columns.begin());
  };
  for (int i = 0; i < table.rows(); ++i) {
    const auto child = find(table.Int(i, 1));
    const auto parent = find(table.Int(i, 2));
    if (child == shapes.end() || parent == shapes.end()) continue;
    if (i == 0 || table.Int(i, 0) != table.Int(i - 1, 0))
      links.push_back({child->first, parent->first, {}, {}});
    links.back().child_columns.push_back(number_of(child->second, table.Text(i, 3)));
    links.back().parent_columns.push_back(number_of(parent->second, table.Text(i, 4)));
  }
  return links;
}

void AddFindRecords(Connection& connection, const Call& call) {
  connection.Add(kRecords, BranchOf(call));
}

Result<std::vector<Record>> ReadRecords(const Table& table) {
  std::vector<Record> records;
  records.reserve(static_cast<std::size_t>(table.rows()));
  for (int i = 0; i < table.rows(); ++i) {
    Record& record = records.emplace_back();
    record.table = table.Text(i, 0);
    record.kind = static_cast<Record::Kind>(table.Text(i, 1).front());
    for (const auto& [column, fields] : {std::pair(2, &record.before), {3, &record.after}}) {
      if (table.IsNull(i, column)) continue;
      Result<Fields> parsed = ParseRow(table.Text(i, column));
      if (!parsed.ok()) return parsed.status();
      *fields = std::move(*parsed);
    }
  }
  return records;
}

void AddSeal(Connection& connection, const Call& call, const Shapes& shapes) {
  for (const auto& [name, shape] : shapes) {
    Params params = BranchOf(call);
    params.push_back(Param::Text(name));
    params.push_back(Param::Text(shape.Text()));
    connection.Add(kKeepShape, std::move(params));
  }
  connection.Add(kSeal, BranchOf(call));
}

void AddFindSealed(Connection& connection, const Call& call) {
  connection.Add(kSealed, BranchOf(call));
}

std::map<std::string, std::string> ReadSealed(const Table& table) {
  std::map<std::string, std::string> shapes;
  for (int i = 0; i < table.rows(); ++i)
    shapes.emplace(std::string(table.Text(i, 0)), std::string(table.Text(i, 1)));
  return shapes;
}

void AddCheckSeal(Connection& connection, const Call& call) {
  connection.Add(kCheckSeal, BranchOf(call));
}

Status ReadSealChecked(const Table& table) {
  if (table.rows() != 1 || table.Int(0, 0) != 1) return NotFound(server::kUndoLost);
  if (table.Int(0, 1) == 1) return OkStatus();
  return DataLoss(server::kUndoDamaged);
}

void AddForgetUndo(Connection& connection, const Call& call) {
  connection.Add(kForget, BranchOf(call));
}

}  // namespace assent::postgresql::internal
