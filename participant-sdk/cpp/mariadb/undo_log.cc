#include "participant-sdk/cpp/mariadb/undo_log.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "participant-sdk/cpp/mariadb/barrier_rows.h"

namespace assent::mariadb::internal {
namespace {

// Behind those of the images, which are numbered from 1.
constexpr std::int64_t kFirstShapeNumber = 1'000'000'000;
constexpr std::int64_t kSealNumber = 2'000'000'000;

#define ASSENT_COUNT(name) "SUM(IF(VARIABLE_NAME = '" name "', CAST(VARIABLE_VALUE AS SIGNED), 0))"
#define ASSENT_OF_SESSION                                                             \
  " FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME IN ('HANDLER_WRITE', " \
  "'HANDLER_UPDATE', 'HANDLER_DELETE')"
constexpr char kCounts[] = "SELECT " ASSENT_COUNT("HANDLER_WRITE") " - IFNULL(@assent_w, 0), "
    ASSENT_COUNT("HANDLER_UPDATE") " - IFNULL(@assent_u, 0), " ASSENT_COUNT("HANDLER_DELETE")
    " - IFNULL(@assent_d, 0)" ASSENT_OF_SESSION;
constexpr char kRemember[] =
    "SELECT " ASSENT_COUNT("HANDLER_WRITE") ", " ASSENT_COUNT("HANDLER_UPDATE") ", " ASSENT_COUNT(
        "HANDLER_DELETE") " INTO @assent_try_w, @assent_try_u, @assent_try_d" ASSENT_OF_SESSION;
constexpr char kForgive[] = "SELECT @assent_w - @assent_try_w + " ASSENT_COUNT("HANDLER_WRITE")
    ", @assent_u - @assent_try_u + " ASSENT_COUNT("HANDLER_UPDATE")
    ", @assent_d - @assent_try_d + " ASSENT_COUNT("HANDLER_DELETE")
    " INTO @assent_w, @assent_u, @assent_d" ASSENT_OF_SESSION;

// Of a digest each, so that no list is longer than the server makes them.
constexpr char kDigest[] =
    "CONCAT(COUNT(*), ' ', SHA2(IFNULL(GROUP_CONCAT(SHA2(CONCAT_WS('|', seq, table_name, kind, "
    "shape, SHA2(before_image, 256), SHA2(after_image, 256)), 256) ORDER BY seq SEPARATOR ''), "
    "''), 256))";
constexpr char kLongLists[] = "SET STATEMENT group_concat_max_len = 4194304 FOR ";
static_assert((limits::kMaxUndoRowsCount + 1000) * 64 < 4194304);

std::string BranchOf(const Call& call) { return IsBranch({call.gid, call.branch_id}); }
std::string IsImage(const Call& call) {
  return " FROM assent_undo WHERE " + BranchOf(call) + " AND kind IN ('I', 'U', 'D')";
}
std::string KeysOf(const Call& call) { return Quoted(call.gid) + ", " + Quoted(call.branch_id); }

struct TypeForm {
  std::string_view type;
  Form form;
};
constexpr std::array kForms = {
    TypeForm{"tinyint", Form::kNumber},     TypeForm{"smallint", Form::kNumber},
    TypeForm{"mediumint", Form::kNumber},   TypeForm{"int", Form::kNumber},
    TypeForm{"bigint", Form::kNumber},      TypeForm{"decimal", Form::kNumber},
    TypeForm{"year", Form::kNumber},        TypeForm{"float", Form::kReal},
    TypeForm{"double", Form::kReal},        TypeForm{"bit", Form::kIndex},
    TypeForm{"enum", Form::kIndex},         TypeForm{"set", Form::kIndex},
    TypeForm{"char", Form::kText},          TypeForm{"varchar", Form::kText},
    TypeForm{"tinytext", Form::kText},      TypeForm{"text", Form::kText},
    TypeForm{"mediumtext", Form::kText},    TypeForm{"longtext", Form::kText},
    TypeForm{"binary", Form::kBytes},       TypeForm{"varbinary", Form::kBytes},
    TypeForm{"tinyblob", Form::kBytes},     TypeForm{"blob", Form::kBytes},
    TypeForm{"mediumblob", Form::kBytes},   TypeForm{"longblob", Form::kBytes},
    TypeForm{"geometry", Form::kBytes},     TypeForm{"point", Form::kBytes},
    TypeForm{"linestring", Form::kBytes},   TypeForm{"polygon", Form::kBytes},
    TypeForm{"multipoint", Form::kBytes},   TypeForm{"multilinestring", Form::kBytes},
    TypeForm{"multipolygon", Form::kBytes}, TypeForm{"geometrycollection", Form::kBytes},
    TypeForm{"date", Form::kWord},          TypeForm{"time", Form::kWord},
    TypeForm{"datetime", Form::kWord},      TypeForm{"uuid", Form::kWord},
    TypeForm{"inet4", Form::kWord},         TypeForm{"inet6", Form::kWord},
    TypeForm{"timestamp", Form::kStamp}};

std::string Where(const TableName& table, const char* database_column, const char* name_column) {
  return std::string(" WHERE ") + database_column + " = " + HexTextOf(table.database) + " AND " +
         name_column + " = " + HexTextOf(table.name);
}

// The words follow "table t ".
std::string WhyNot(const Table& table, const Table& cascades) {
  if (table.Text(0, 2) == "SYSTEM VERSIONED")
    return "is system-versioned, which writes rows that no trigger sees";
  if (table.Text(0, 3) != "InnoDB")
    return "is of the engine " + std::string(table.Text(0, 3)) + ", which undoes nothing";
  if (table.Text(0, 4).find("partitioned") != std::string_view::npos)
    return "is partitioned, and the server counts its rows in another way";
  if (cascades.rows() == 0) return {};
  return "has rows of " + std::string(cascades.Text(0, 0)) +
         " that follow its own by CASCADE or SET NULL, which no trigger sees";
}

void ReadColumns(const Table& columns, const Table& keys, Shape& shape) {
  for (int i = 0; i < columns.rows(); ++i) {
    if (columns.Int(i, 5) == 1) continue;  // generated
    const std::string_view type = columns.Text(i, 1);
    const auto form = std::find_if(kForms.begin(), kForms.end(),
                                   [type](const TypeForm& one) { return one.type == type; });
    if (form == kForms.end() && shape.why_not.empty()) {
      shape.why_not = "has the column " + std::string(columns.Text(i, 0)) + " of the type " +
                      std::string(type) + ", which the adapter does not know";
    }
    int place = 0;
    for (int key = 0; key < keys.rows(); ++key)
      if (keys.Text(key, 0) == columns.Text(i, 0)) place = key + 1;
    shape.AddColumn({.name = std::string(columns.Text(i, 0)),
                     .type = std::string(columns.Text(i, 2)),
                     .generated = false,
                     .key = place});
    shape.forms.push_back(form == kForms.end() ? Form::kBytes : form->form);
    shape.charsets.push_back(std::string(columns.Text(i, 3)));
    shape.moving.push_back(columns.Text(i, 4).find("on update") != std::string_view::npos);
  }
}

bool IsOurs(std::string_view trigger) { return trigger.starts_with("assent_undo_"); }

TableName NameOf(const Table& table, int row, int column) {
  const std::string_view full = table.Text(row, column);
  const std::size_t dot = full.find('.');
  return {std::string(full.substr(0, dot)), std::string(full.substr(dot + 1))};
}

}  // namespace

std::string TriggerOf(char event, const TableName& table) {
  return std::string("assent_undo_") + event + "_" + Fingerprint(table.name);
}

void AddFindShape(Connection& connection, const TableName& table, bool cascades) {
  connection.Add(
      "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, IFNULL(ENGINE, ''), "
      "IFNULL(CREATE_OPTIONS, ''), TABLE_SCHEMA = DATABASE() FROM "
      "information_schema.TABLES" +
      Where(table, "TABLE_SCHEMA", "TABLE_NAME"));
  connection.Add(
      "SELECT COLUMN_NAME, LOWER(DATA_TYPE), COLUMN_TYPE, IFNULL(CHARACTER_SET_NAME, "
      "'-'), LOWER(EXTRA), IS_GENERATED = 'ALWAYS' FROM information_schema.COLUMNS" +
      Where(table, "TABLE_SCHEMA", "TABLE_NAME") + " ORDER BY ORDINAL_POSITION");
  connection.Add("SELECT COLUMN_NAME FROM information_schema.STATISTICS" +
                 Where(table, "TABLE_SCHEMA", "TABLE_NAME") +
                 " AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX");
  connection.Add(
      "SELECT TRIGGER_NAME, ACTION_STATEMENT, ACTION_TIMING, EVENT_MANIPULATION FROM "
      "information_schema.TRIGGERS" +
      Where(table, "EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE"));
  connection.Add(cascades ? "SELECT CONCAT(CONSTRAINT_SCHEMA, '.', TABLE_NAME) FROM "
                            "information_schema.REFERENTIAL_CONSTRAINTS" +
                                Where(table, "UNIQUE_CONSTRAINT_SCHEMA", "REFERENCED_TABLE_NAME") +
                                " AND (UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR DELETE_RULE "
                                "NOT IN ('RESTRICT', 'NO ACTION')) LIMIT 1"
                          : "SELECT 1 FROM DUAL WHERE FALSE");
}

FoundShape ReadShape(const TableName& table, const Answer* answers) {
  FoundShape found;
  const Table& itself = answers[0].table;
  if (itself.rows() == 0) return found;
  found.exists = true;
  const std::string_view type = itself.Text(0, 2);
  found.is_table = type == "BASE TABLE" || type == "SYSTEM VERSIONED";
  Shape& shape = found.shape;
  shape.shown = itself.Int(0, 5) == 1 ? table.name : table.Full();
  shape.sql = NameInSql(table.database) + "." + NameInSql(table.name);
  shape.why_not = WhyNot(itself, answers[4].table);
  const Table& keys = answers[2].table;
  ReadColumns(answers[1].table, keys, shape);
  // One of a generated column cannot be looked for by what is kept.
  const auto of_key = std::count_if(shape.columns.begin(), shape.columns.end(),
                                    [](const server::Column& column) { return column.key > 0; });
  if (of_key != keys.rows()) shape.key.clear();
  for (int i = 0; i < answers[3].table.rows(); ++i)
    shape.has_triggers = shape.has_triggers || !IsOurs(answers[3].table.Text(i, 0));
  return found;
}

void AddCountWritten(Connection& connection) { connection.Add(kCounts); }

Written ReadWritten(const Table& table) {
  return {table.Int(0, 0), table.Int(0, 1), table.Int(0, 2)};
}

void AddRememberCounts(Connection& connection) { connection.Add(kRemember); }
void AddForgiveCounts(Connection& connection) { connection.Add(kForgive); }

void AddStepOn(Connection& connection, const Call& call) {
  connection.Add("SET @assent_step = '" + call.gid + "/" + call.branch_id +
                 "', @assent_seq = 0, @assent_w = 0, @assent_u = 0, @assent_d = 0");
}

void AddFindTotals(Connection& connection, const Call& call) {
  connection.Add(
      "SELECT COUNT(*), IFNULL(SUM(kind = 'I'), 0), IFNULL(SUM(kind = 'U'), 0), "
      "IFNULL(SUM(kind = 'D'), 0), IFNULL(SUM(LENGTH(before_image) + LENGTH(after_image)), 0), "
      "IFNULL(@assent_step = '" +
      call.gid + "/" + call.branch_id + "', 0)" + IsImage(call));
}

Totals ReadTotals(const Table& table) {
  return {.seen = {table.Int(0, 1), table.Int(0, 2), table.Int(0, 3)},
          .images = table.Int(0, 0),
          .bytes = table.Int(0, 4),
          .is_on = table.Int(0, 5) == 1};
}

void AddFindTables(Connection& connection, const Call& call) {
  connection.Add("SELECT table_name, shape, MAX(kind <> 'I')" + IsImage(call) +
                 " GROUP BY table_name, shape");
}

std::vector<Touched> ReadTables(const Table& table) {
  std::vector<Touched> tables;
  for (int i = 0; i < table.rows(); ++i)
    tables.push_back({NameOf(table, i, 0), std::string(table.Text(i, 1)), table.Int(i, 2) == 1});
  return tables;
}

void AddFindRecords(Connection& connection, const Call& call) {
  connection.Add("SELECT table_name, kind, before_image, after_image" + IsImage(call) +
                 " ORDER BY seq");
}

Result<std::vector<Record>> ReadRecords(const Table& table, const Shapes& shapes) {
  std::vector<Record> records;
  records.reserve(static_cast<std::size_t>(table.rows()));
  for (int i = 0; i < table.rows(); ++i) {
    Record& record = records.emplace_back();
    record.table = table.Text(i, 0);
    record.kind = static_cast<Record::Kind>(table.Text(i, 1).front());
    const auto shape = shapes.find(record.table);
    if (shape == shapes.end()) return DataLoss(server::kUndoDamaged);
    for (const auto& [column, fields, without] :
         {std::tuple(2, &record.before, Record::Kind::kInsert),
          std::tuple(3, &record.after, Record::Kind::kDelete)}) {
      if (record.kind == without) continue;
      Result<Fields> parsed = shape->second.Parse(table.Text(i, column));
      if (!parsed.ok()) return parsed.status();
      *fields = std::move(*parsed);
    }
  }
  return records;
}

void AddSeal(Connection& connection, const Call& call, const Shapes& shapes) {
  std::int64_t number = kFirstShapeNumber;
  for (const auto& [name, shape] : shapes) {
    connection.Add(
        "INSERT INTO assent_undo(gid, branch_id, seq, table_name, kind, shape, before_image, "
        "after_image) VALUES(" +
        KeysOf(call) + ", " + std::to_string(number++) + ", " + HexTextOf(name) + ", 'S', '" +
        shape.Digest() + "', " + HexTextOf(shape.Text()) + ", '')");
  }
  connection.Add(
      std::string(kLongLists) +
      "INSERT INTO assent_undo(gid, branch_id, seq, table_name, kind, shape, before_image, "
      "after_image) SELECT " +
      KeysOf(call) + ", " + std::to_string(kSealNumber) + ", '', '#', '', " + kDigest +
      ", '' FROM assent_undo WHERE " + BranchOf(call));
}

void AddFindSealed(Connection& connection, const Call& call) {
  connection.Add("SELECT table_name, before_image FROM assent_undo WHERE " + BranchOf(call) +
                 " AND kind = 'S'");
}

std::vector<Sealed> ReadSealed(const Table& table) {
  std::vector<Sealed> shapes;
  for (int i = 0; i < table.rows(); ++i)
    shapes.push_back({NameOf(table, i, 0), std::string(table.Text(i, 1))});
  return shapes;
}

void AddCheckSeal(Connection& connection, const Call& call) {
  connection.Add(std::string(kLongLists) + "SELECT before_image, (SELECT " + kDigest +
                 " FROM assent_undo WHERE " + BranchOf(call) +
                 " AND kind <> '#') FROM assent_undo WHERE " + BranchOf(call) + " AND kind = '#'");
}

Status ReadSealChecked(const Table& table) {
  if (table.rows() != 1) return NotFound(server::kUndoLost);
  return table.Text(0, 0) == table.Text(0, 1) ? OkStatus() : DataLoss(server::kUndoDamaged);
}

void AddForgetUndo(Connection& connection, const Call& call) {
  connection.Add("DELETE FROM assent_undo WHERE " + BranchOf(call));
}

}  // namespace assent::mariadb::internal
