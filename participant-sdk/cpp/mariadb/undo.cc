#include "participant-sdk/cpp/mariadb/undo.h"

#include <utility>

namespace assent::mariadb::internal {
namespace {

// " WHERE assent_row.`id` = 1 AND …"; `row` names the table, where it has a name here.
std::string WhereKey(const Shape& shape, const server::RowShape::Key& key, const char* row) {
  std::string sql;
  for (std::size_t i = 0; i < shape.key.size(); ++i) {
    sql += (i == 0 ? " WHERE " : " AND ") + std::string(row) +
           NameInSql(shape.columns[shape.key[i]].name) + " = " + shape.Value(shape.key[i], key[i]);
  }
  return sql;
}

}  // namespace

Undo::Undo(Db::Impl& db, const std::vector<Record>& records, const Shapes& shapes)
    : UndoPass(db), connection_(db.connection), records_(records), shapes_(shapes) {
  for (const Record& record : records_) rows_.Follow(record, shapes_.at(record.table));
}

bool Undo::Run() {
  // So that triggers of the service's own can stand aside.
  connection_.Add("SET @assent_undoing = 1");
  Written before;
  Written after;
  if (!Count(before) || !CheckRows(Moment::kBefore) || !WriteAll()) return false;
  if (!CheckRows(Moment::kAfter) || !Count(after)) return false;
  connection_.Add(kStepOff);
  if (after - before == own_) return true;
  return Conflict("a trigger would write more than is written back");
}

bool Undo::Count(Written& written) {
  std::vector<Answer> answers;
  AddCountWritten(connection_);
  if (!db_.Send(1, answers)) return false;
  written = ReadWritten(answers.front().table);
  return true;
}

void Undo::AddLook(const Shape& shape, const Key& key) {
  connection_.Add(kExact + ("SELECT " + shape.Image("assent_row")) + " FROM " + shape.sql +
                  " AS assent_row" + WhereKey(shape, key, "assent_row.") + " FOR UPDATE");
}

Result<server::Fields> Undo::Parse(const Shape& shape, std::string_view image) const {
  return shape.Parse(image);
}

void Undo::AddWrite(const UndoWrite& write) { connection_.Add(kExact + write.sql); }

std::vector<Answer> Undo::SendWrites(std::size_t count) { return connection_.ExchangeLast(count); }

void Undo::TakeBack(const Record& record) {
  const Shape& shape = shapes_.at(record.table);
  const bool inserted = record.kind == Record::Kind::kInsert;
  const server::RowShape::Key key = shape.KeyOf(inserted ? record.after : record.before);
  UndoWrite write{.row = "row " + shape.Describe(key), .sql = {}};
  std::string names;
  std::string values;
  std::string changes;
  for (std::size_t i = 0; i < shape.columns.size(); ++i) {
    const std::string name = NameInSql(shape.columns[i].name);
    const bool differs = !server::SameIn(record.before, record.after, i);
    if (record.kind == Record::Kind::kDelete) {
      names += (names.empty() ? "" : ", ") + name;
      values += (values.empty() ? "" : ", ") + shape.Value(i, record.before[i]);
    } else if (record.kind == Record::Kind::kUpdate && (differs || shape.moving[i])) {
      // What moves at each UPDATE stays where it is if it is said so.
      changes += (changes.empty() ? "" : ", ") + name + " = ";
      changes += differs ? shape.Value(i, record.before[i]) : name;
    }
  }
  switch (record.kind) {
    case Record::Kind::kInsert:
      ++own_.deleted;
      write.sql = "DELETE FROM " + shape.sql + WhereKey(shape, key, "");
      break;
    case Record::Kind::kDelete:
      ++own_.inserted;
      write.sql = "INSERT INTO " + shape.sql + "(" + names + ") VALUES(" + values + ")";
      break;
    case Record::Kind::kUpdate:
      ++own_.updated;
      write.sql = "UPDATE " + shape.sql + " SET " + changes +
                  WhereKey(shape, shape.KeyOf(record.after), "");
      break;
  }
  batch_.push_back(std::move(write));
}

bool Undo::WriteAll() {
  for (std::size_t number = records_.size(); number-- > 0;) {
    TakeBack(records_[number]);
    if (!WriteFullBatch()) return false;
  }
  return WriteBatch();
}

}  // namespace assent::mariadb::internal
