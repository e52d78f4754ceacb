#pragma once

// What an automatic Saga step did to each row, for the adapters that keep images of rows: what a
// row has to look like before its way back and after it, and what is wrong where it does not. Pure:
// the adapters read and write the rows.
//
// A row that was updated counts in the columns that the step changed; what others have written into
// further columns stays. One that was inserted or deleted counts as a whole.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/call.h>

namespace assent::server {

// A row's columns. Without a value: NULL.
using Fields = std::vector<std::optional<std::string>>;

inline bool SameIn(const Fields& one, const Fields& other, std::size_t column) {
  return column < one.size() && column < other.size() && one[column] == other[column];
}

struct Column {
  std::string name;  // for people
  std::string type;
  bool generated = false;
  int key = 0;  // its place in the primary key, from 1; 0: none
};

// What undoing has to know of a table.
struct RowShape {
  using Key = std::vector<std::string>;

  std::string shown;  // for people
  std::vector<Column> columns;
  std::vector<std::size_t> key;  // the primary key's columns, in its order

  // `place` in the primary key: from 1; 0: none.
  void AddColumn(Column column) {
    columns.push_back(std::move(column));
    const int place = columns.back().key;
    if (place <= 0) return;
    key.resize(std::max(key.size(), static_cast<std::size_t>(place)));
    key[static_cast<std::size_t>(place) - 1] = columns.size() - 1;
  }
  // Of the first `count` columns, those that can be written.
  std::vector<std::size_t> Writable(std::size_t count) const {
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < count && i < columns.size(); ++i) {
      if (!columns[i].generated) numbers.push_back(i);
    }
    return numbers;
  }
  Key KeyOf(const Fields& row) const {
    Key values;
    for (const std::size_t column : key)
      values.push_back(column < row.size() ? row[column].value_or("") : "");
    return values;
  }
  std::string Describe(const Key& key_of_row) const {  // account(7, 'x')
    std::string text = shown + "(";
    for (std::size_t i = 0; i < key_of_row.size(); ++i) {
      const std::string& value = key_of_row[i];
      text += (i == 0 ? "" : ", ") + (IsNumber(value) ? value : "'" + value + "'");
    }
    return text + ")";
  }

 private:
  static bool IsNumber(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
      return std::isdigit(c) != 0 || c == '-' || c == '.';
    });
  }
};

// One write of one row.
struct Record {
  enum class Kind : char { kInsert = 'I', kUpdate = 'U', kDelete = 'D' };
  std::string table;
  Kind kind = Kind::kInsert;
  Fields before;
  Fields after;
};

// What became of a row between the first record and the last.
template <typename Shape>
struct UndoRow {
  const Shape* shape = nullptr;
  bool was_there = false;
  bool is_there = false;
  Fields before;
  Fields after;
  bool whole = false;             // all columns count, or ...
  std::set<std::size_t> changed;  // ... these
};

template <typename Shape>
class UndoRows {
 public:
  using Key = RowShape::Key;
  using Row = UndoRow<Shape>;
  using Place = std::pair<std::string, Key>;  // its table, and its key there
  enum class Moment : std::uint8_t { kBefore, kAfter };

  void Follow(const Record& record, const Shape& shape) {
    NoteWhetherItFollows(record, shape);
    const bool moves = record.kind == Record::Kind::kUpdate &&
                       shape.KeyOf(record.before) != shape.KeyOf(record.after);
    if (record.kind == Record::Kind::kDelete || moves) {
      Row& row = RowAt(record.table, shape, record.before, true);
      row.is_there = false;
      row.whole = true;
    }
    if (record.kind == Record::Kind::kInsert || moves) {
      Row& row = RowAt(record.table, shape, record.after, false);
      row.is_there = true;
      row.whole = true;
      row.after = record.after;
    }
    if (record.kind != Record::Kind::kUpdate || moves) return;
    Row& row = RowAt(record.table, shape, record.before, true);
    row.is_there = true;
    row.after = record.after;
    for (std::size_t i = 0; i < record.after.size(); ++i) {
      if (!SameIn(record.before, record.after, i)) row.changed.insert(i);
    }
  }

  const std::map<Place, Row>& rows() const { return rows_; }
  // Each record begins where the one before it has left the row.
  bool consistent() const { return consistent_; }

  // What is in the way; empty: the row is as the step left it, or as it was before the step.
  // `now`: what stands where its key leads to, nothing where there is no row.
  static std::string FindConflict(const Key& key, const Row& row, const Fields& now,
                                  Moment moment) {
    const bool before = moment == Moment::kBefore;
    const bool should_be_there = before ? row.is_there : row.was_there;
    const std::string who = "row " + row.shape->Describe(key);
    // A key may be equal to another one for the table, and not the same.
    const bool is_there = !now.empty() && row.shape->KeyOf(now) == key;
    if (!before && is_there != should_be_there)
      return who + " is not as it was: a trigger or rule acts when it is written back";
    if (is_there != should_be_there)
      return who + (is_there ? " was inserted since" : " was deleted since");
    return is_there ? FindDifference(row, now, before, who) : std::string();
  }

 private:
  static std::string FindDifference(const Row& row, const Fields& now, bool before,
                                    const std::string& who) {
    const Fields& image = before ? row.after : row.before;
    for (const std::size_t column : row.shape->Writable(image.size())) {
      if (!row.whole && row.changed.count(column) == 0) continue;
      if (SameIn(now, image, column)) continue;
      if (before) return who + " was changed since";
      return who + " is not as it was in column " + row.shape->columns[column].name +
             ": a trigger or rule acts when it is written back";
    }
    return {};
  }

  void NoteWhetherItFollows(const Record& record, const Shape& shape) {
    const bool inserted = record.kind == Record::Kind::kInsert;
    const Fields& image = inserted ? record.after : record.before;
    const auto known = rows_.find(Place(record.table, shape.KeyOf(image)));
    if (known == rows_.end()) return;
    const Row& row = known->second;
    const bool follows = inserted ? !row.is_there : row.is_there && row.after == image;
    consistent_ = consistent_ && follows;
  }

  Row& RowAt(const std::string& table, const Shape& shape, const Fields& image, bool was_there) {
    const auto [at, is_new] = rows_.try_emplace(Place(table, shape.KeyOf(image)));
    Row& row = at->second;
    if (!is_new) return row;
    row.shape = &shape;
    row.was_there = was_there;
    if (was_there) row.before = image;
    return row;
  }

  std::map<Place, Row> rows_;
  bool consistent_ = true;
};

// Words that all adapters say alike.

// What was promised cannot be kept.
inline Reply Hazard(const std::string& what) { return Reply::Refused("HAZARD: " + what); }

// Empty: it is not more than may be kept.
inline std::string WhyTooMuch(std::int64_t bytes, std::size_t max_bytes, std::int64_t rows,
                              std::size_t max_rows) {
  if (bytes > static_cast<std::int64_t>(max_bytes)) {
    return "the changes have " + std::to_string(bytes) + " bytes; the limit is " +
           std::to_string(max_bytes);
  }
  if (rows > static_cast<std::int64_t>(max_rows)) {
    return "the changes have " + std::to_string(rows) + " rows; the limit is " +
           std::to_string(max_rows);
  }
  return {};
}

inline constexpr char kSettingChanged[] =
    "the handler has changed a setting by which its changes are recorded";
inline constexpr char kUndoLost[] = "what the action changed is lost";
inline constexpr char kUndoDamaged[] = "what the action changed is damaged: its checksum is wrong";

inline std::string HasNoKey(const std::string& table) {
  return "table " + table + " has no PRIMARY KEY, so its changes cannot be undone: declare one";
}
inline std::string ColumnIsGone(const std::string& column, const std::string& table) {
  return "column " + column + " of table " + table + " is gone or has changed";
}
inline std::string WouldViolate(const std::string& row, const std::string& words) {
  return row + " would violate a constraint: " + words;
}
inline std::string CannotBeWritten(const std::string& row) {
  return row + " cannot be written back: a trigger or rule is in the way";
}

}  // namespace assent::server
