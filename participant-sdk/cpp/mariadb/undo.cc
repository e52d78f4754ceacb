#include "participant-sdk/cpp/mariadb/undo.h"

#include <algorithm>

namespace assent::mariadb::internal {
namespace {

// Statements that go in one message.
constexpr std::size_t kMaxBatchCount = 256;

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
    : db_(db), connection_(db.connection), records_(records), shapes_(shapes) {
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

bool Undo::CheckRows(Moment moment) {
  for (auto first = rows_.rows().begin(); first != rows_.rows().end();) {
    auto last = first;
    std::size_t count = 0;
    for (; last != rows_.rows().end() && count < kMaxBatchCount; ++last, ++count) {
      const Shape& shape = *last->second.shape;
      connection_.Add(kExact + ("SELECT " + shape.Image("assent_row")) + " FROM " + shape.sql +
                      " AS assent_row" + WhereKey(shape, last->first.second, "assent_row.") +
                      " FOR UPDATE");
    }
    std::vector<Answer> answers;
    if (!db_.Send(count, answers)) return false;
    for (std::size_t i = 0; first != last; ++first, ++i) {
      if (!CheckRow(first->first.second, first->second, answers[i].table, moment)) return false;
    }
  }
  return true;
}

bool Undo::CheckRow(const Rows::Key& key, const Rows::Row& row, const Table& found, Moment moment) {
  Fields now;
  if (found.rows() > 0) {
    Result<Fields> parsed = row.shape->Parse(found.Text(0, 0));
    if (!parsed.ok())
      return Conflict("row " + row.shape->Describe(key) + ": " + parsed.status().message());
    now = std::move(*parsed);
  }
  conflict_ = Rows::FindConflict(key, row, now, moment);
  return conflict_.empty();
}

void Undo::AddWrite(const Record& record, std::vector<Write>& writes) {
  const Shape& shape = shapes_.at(record.table);
  const bool inserted = record.kind == Record::Kind::kInsert;
  const server::RowShape::Key key = shape.KeyOf(inserted ? record.after : record.before);
  Write write{.row = "row " + shape.Describe(key), .sql = {}};
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
  writes.push_back(std::move(write));
}

bool Undo::WriteAll() {
  std::vector<Write> batch;
  for (std::size_t number = records_.size(); number-- > 0;) {
    AddWrite(records_[number], batch);
    if (batch.size() < kMaxBatchCount) continue;
    if (!WriteBatch(batch)) return false;
    batch.clear();
  }
  return batch.empty() || WriteBatch(batch);
}

bool Undo::WriteBatch(const std::vector<Write>& batch) {
  for (const Write& write : batch) connection_.Add(kExact + write.sql);
  const std::vector<Answer> answers = connection_.ExchangeLast(batch.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Answer& answer = answers[i];
    if (answer.ok() && answer.table.changed() == 1) continue;
    if (answer.ok()) return Conflict(server::CannotBeWritten(batch[i].row));
    if (answer.failure == Failure::kConstraint)
      return Conflict(server::WouldViolate(batch[i].row, answer.message));
    db_.Fail(answer.failure, answer.status());
    return false;
  }
  return true;
}

}  // namespace assent::mariadb::internal
