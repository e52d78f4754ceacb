#include "participant-sdk/cpp/postgresql/undo.h"

#include <algorithm>
#include <iterator>

namespace assent::postgresql::internal {
namespace {

Param ParamOf(const std::optional<std::string>& value) {
  return value ? Param::Text(*value) : Param::Null();
}

// " WHERE id = $1 AND …", its parameters behind those that are there.
std::string WhereKey(const Shape& shape, const std::vector<std::string>& key, Params& params) {
  std::string sql;
  for (std::size_t i = 0; i < shape.key.size(); ++i) {
    params.push_back(Param::Text(key[i]));
    sql += (i == 0 ? " WHERE assent_row." : " AND assent_row.") + shape.columns[shape.key[i]].name +
           " = $" + std::to_string(params.size());
  }
  return sql;
}

Fields Pick(const Fields& row, const std::vector<std::size_t>& columns) {
  Fields values;
  for (const std::size_t column : columns)
    values.push_back(column < row.size() ? row[column] : std::nullopt);
  return values;
}

}  // namespace

Undo::Undo(Db::Impl& db, const std::vector<Record>& records, const Shapes& shapes)
    : UndoPass(db), connection_(db.connection), records_(records), shapes_(shapes) {
  for (const Record& record : records_) rows_.Follow(record, shapes_.at(record.table));
}

bool Undo::Run() {
  std::vector<Answer> answers;
  connection_.Add("SELECT set_config('assent.undoing', 'on', true)");
  AddCountWritten(connection_);
  AddFindLinks(connection_, shapes_);
  if (!db_.Send(2, answers)) return false;
  const WrittenByTable before = ReadWritten(answers[0].table);
  links_ = ReadLinks(answers[1].table, shapes_);
  FindDeleted();
  if (!CheckRows(Moment::kBefore) || !WriteAll() || !CheckRows(Moment::kAfter)) return false;
  if (!CheckNothingElse(before)) return false;
  connection_.Add("SELECT set_config('assent.undoing', '', true)");
  return true;
}

void Undo::AddLook(const Shape& shape, const Key& key) {
  Params params;
  const std::string where = WhereKey(shape, key, params);
  connection_.Add("SELECT assent_undo_row(assent_row) FROM ONLY " + shape.shown + " AS assent_row" +
                      where + " FOR UPDATE",
                  std::move(params));
}

Result<server::Fields> Undo::Parse(const Shape&, std::string_view image) const {
  return ParseRow(image);
}

void Undo::AddWrite(const UndoWrite& write) { connection_.Add(write.sql, write.params); }

std::vector<Answer> Undo::SendWrites(std::size_t count) { return connection_.QueryLast(count); }

void Undo::TakeBack(const Record& record) {
  const Shape& shape = shapes_.at(record.table);
  const std::vector<std::size_t> columns =
      shape.Writable(std::max(record.before.size(), record.after.size()));
  const bool inserted = record.kind == Record::Kind::kInsert;
  const Key key = shape.KeyOf(inserted ? record.after : record.before);
  Written& own = own_[shape.oid];
  UndoWrite write{.row = "row " + shape.Describe(key), .sql = {}, .params = {}};
  if (inserted) {
    ++own.deleted;
    write.sql = "DELETE FROM ONLY " + shape.shown + " AS assent_row";
    write.sql += WhereKey(shape, key, write.params);
  } else if (record.kind == Record::Kind::kDelete) {
    ++own.inserted;
    std::string names;
    std::string values;
    for (const std::size_t column : columns) {
      write.params.push_back(ParamOf(record.before[column]));
      names += (names.empty() ? "" : ", ") + shape.columns[column].name;
      values += (values.empty() ? "$" : ", $") + std::to_string(write.params.size());
    }
    write.sql = "INSERT INTO " + shape.shown + "(" + names + ") OVERRIDING SYSTEM VALUE VALUES(" +
                values + ")";
  } else {
    std::string changes;
    for (const std::size_t column : columns) {
      if (server::SameIn(record.before, record.after, column)) continue;
      write.params.push_back(ParamOf(record.before[column]));
      changes += (changes.empty() ? "" : ", ") + shape.columns[column].name + " = $" +
                 std::to_string(write.params.size());
    }
    if (changes.empty()) return;
    ++own.updated;
    write.sql = "UPDATE ONLY " + shape.shown + " AS assent_row SET " + changes;
    write.sql += WhereKey(shape, shape.KeyOf(record.after), write.params);
  }
  batch_.push_back(std::move(write));
}

void Undo::FindDeleted() {
  is_added_.assign(records_.size(), false);
  deleted_.resize(links_.size());
  for (std::size_t i = 0; i < records_.size(); ++i) {
    if (records_[i].kind != Record::Kind::kDelete) continue;
    for (std::size_t link = 0; link < links_.size(); ++link) {
      if (links_[link].parent != records_[i].table) continue;
      deleted_[link][Pick(records_[i].before, links_[link].parent_columns)].push_back(i);
    }
  }
}

void Undo::TakeBackInOrder(std::size_t number) {
  if (is_added_[number]) return;
  is_added_[number] = true;
  const Record& record = records_[number];
  for (std::size_t link = 0; link < links_.size(); ++link) {
    if (links_[link].child != record.table || record.kind == Record::Kind::kInsert) continue;
    const auto parents = deleted_[link].find(Pick(record.before, links_[link].child_columns));
    if (parents == deleted_[link].end()) continue;
    // The last time that it was deleted before.
    const auto& numbers = parents->second;
    const auto after = std::lower_bound(numbers.begin(), numbers.end(), number);
    if (after != numbers.begin()) TakeBackInOrder(*std::prev(after));
  }
  TakeBack(record);
}

bool Undo::WriteAll() {
  for (std::size_t number = records_.size(); number-- > 0;) {
    TakeBackInOrder(number);
    if (!WriteFullBatch()) return false;
  }
  return WriteBatch();
}

bool Undo::CheckNothingElse(const WrittenByTable& before) {
  std::vector<Answer> answers;
  AddCountWritten(connection_);
  if (!db_.Send(1, answers)) return false;
  for (const auto& [oid, now] : ReadWritten(answers.front().table)) {
    Written expected = own_.count(oid) > 0 ? own_.at(oid) : Written();
    const auto was = before.find(oid);
    if (was != before.end()) {
      expected.inserted += was->second.inserted;
      expected.updated += was->second.updated;
      expected.deleted += was->second.deleted;
    }
    if (!now.SameCounts(expected)) return Conflict(WhyAlso(oid, now.shown));
  }
  return true;
}

// Why more was written than was asked for.
std::string Undo::WhyAlso(std::int64_t oid, const std::string& shown) {
  std::vector<std::string_view> written;
  std::vector<std::string> numbers;
  for (const auto& [name, shape] : shapes_) numbers.push_back(std::to_string(shape.oid));
  std::copy(numbers.begin(), numbers.end(), std::back_inserter(written));
  const Answer parent = connection_.Query(
      "SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = "
      "$1::bigint::oid AND confrelid = ANY($2::text[]::oid[]) LIMIT 1",
      {Param::Int(oid), Param::Texts(written)});
  if (parent.ok() && parent.table.rows() > 0)
    return "rows of " + shown + " still refer to a row of " + std::string(parent.table.Text(0, 0));
  return "a trigger or rule would write table " + shown + " once more";
}

}  // namespace assent::postgresql::internal
