#include "participant-sdk/cpp/sqlite/shape.h"

#include <set>

namespace assent::sqlite::internal {
namespace {

// A shape is a list of marked texts, each closed by a byte that no name can contain.
constexpr char kEnd = '\0';
constexpr char kTableMark = '=';
constexpr char kColumnMark = '-';
constexpr char kKeyMark = '*';

// One line for each key by which rows of `table` are claimed.
std::set<std::string> KeysOf(const TableInfo& table) {
  const auto numbers = [](const std::vector<int>& columns) {
    std::string text;
    for (int column : columns) text += " " + std::to_string(column);
    return text;
  };
  std::set<std::string> keys;
  for (const UniqueKey& key : table.unique_keys) {
    keys.insert("unique" + (key.coarse ? " " + key.name : numbers(key.columns)));
  }
  for (const std::vector<ForeignKey>* links : {&table.references, &table.referenced_by}) {
    for (const ForeignKey& link : *links) {
      keys.insert(link.child + numbers(link.child_columns) + " refers to " + link.parent +
                  numbers(link.parent_columns));
    }
  }
  return keys;
}

}  // namespace

std::string FindMisfit(const Schema& schema, const std::string& shape) {
  const TableInfo* table = nullptr;
  std::size_t column = 0;
  std::size_t from = 0;
  for (std::size_t end = shape.find(kEnd); end != std::string::npos;
       from = end + 1, end = shape.find(kEnd, from)) {
    const std::string name = shape.substr(from + 1, end - from - 1);
    if (shape[from] == kTableMark) {
      table = schema.Find(name);
      column = 0;
      if (table == nullptr) return "table " + name + " is gone";
      continue;
    }
    if (shape[from] == kKeyMark) continue;
    if (table == nullptr || column >= table->columns.size() || table->columns[column] != name) {
      return "column " + name + " of table " + (table == nullptr ? "?" : table->name) +
             " is gone or has moved";
    }
    ++column;
  }
  return {};
}

std::string ShapeOf(const Schema& schema, const std::vector<RowChange>& changes) {
  std::set<std::string> tables;
  for (const RowChange& change : changes) tables.insert(change.table);
  std::string shape;
  for (const std::string& name : tables) {
    shape += kTableMark + name + kEnd;
    const TableInfo* table = schema.Find(name);
    if (table == nullptr) continue;
    for (const std::string& column : table->columns) shape += kColumnMark + column + kEnd;
    for (const std::string& key : KeysOf(*table)) shape += kKeyMark + key + kEnd;
  }
  return shape;
}

bool KeysAreAsIn(const Schema& schema, const std::vector<RowChange>& changes,
                 const std::string& shape) {
  const auto keys_in = [](const std::string& text) {
    std::vector<std::string> keys;
    std::size_t from = 0;
    for (std::size_t end = text.find(kEnd); end != std::string::npos;
         from = end + 1, end = text.find(kEnd, from)) {
      if (text[from] == kKeyMark) keys.push_back(text.substr(from, end - from));
    }
    return keys;
  };
  return keys_in(ShapeOf(schema, changes)) == keys_in(shape);
}

}  // namespace assent::sqlite::internal
