#pragma once

// What an automatic Saga step wrote: images of rows in assent_undo, which the triggers keep while
// the handler runs; behind them the shapes of their tables, and a seal by which it is seen whether
// anything is missing. And the tables as they are.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <assent/call.h>

#include "participant-sdk/cpp/mariadb/connection.h"
#include "participant-sdk/cpp/mariadb/undo_limits.h"
#include "participant-sdk/cpp/mariadb/undo_shape.h"

namespace assent::mariadb::internal {

// A table by its database and name.
struct TableName {
  std::string database;
  std::string name;
  std::string Full() const { return database + "." + name; }  // as in assent_undo
};

// By their full names.
using Shapes = std::map<std::string, Shape>;

// The trigger's name, for one of its events: 'i', 'u' or 'd'. No two tables have the same.
std::string TriggerOf(char event, const TableName& table);

// Statements for the next message about one table as it is. In its answers there is no row where it
// does not exist. `cascades`: whether rows of others follow its own, for which the server looks
// through all tables.
inline constexpr std::size_t kShapeStatementsCount = 5;
void AddFindShape(Connection& connection, const TableName& table, bool cascades);
// From the answers of these statements.
struct FoundShape {
  bool exists = false;
  bool is_table = false;
  Shape shape;
};
FoundShape ReadShape(const TableName& table, const Answer* answers);

// Rows that this session has written since the counters were set, by the server's count; less what
// was forgiven.
struct Written {
  std::int64_t inserted = 0;
  std::int64_t updated = 0;
  std::int64_t deleted = 0;

  bool operator==(const Written&) const = default;
  Written operator-(const Written& other) const {
    return {inserted - other.inserted, updated - other.updated, deleted - other.deleted};
  }
};
void AddCountWritten(Connection& connection);
Written ReadWritten(const Table& table);
// Begins and ends the recording of a step.
void AddStepOn(Connection& connection, const Call& call);
inline constexpr char kStepOff[] = "SET @assent_step = NULL, @assent_undoing = NULL";
// Around a statement that may fail: what it wrote was undone, and is still counted.
void AddRememberCounts(Connection& connection);
void AddForgiveCounts(Connection& connection);

// What was recorded of a step, in figures: one row; and by table.
void AddFindTotals(Connection& connection, const Call& call);
struct Totals {
  Written seen;
  std::int64_t images = 0;
  std::int64_t bytes = 0;
  bool is_on = false;  // still
};
Totals ReadTotals(const Table& table);
void AddFindTables(Connection& connection, const Call& call);
struct Touched {
  TableName table;
  std::string digest;    // of its shape, as its triggers knew it
  bool changes = false;  // rows that were there: by UPDATE or DELETE
};
std::vector<Touched> ReadTables(const Table& table);

void AddFindRecords(Connection& connection, const Call& call);
// kDataLoss when an image cannot be read. `shapes` has one for each of their tables.
Result<std::vector<Record>> ReadRecords(const Table& table, const Shapes& shapes);

// Behind the last record of a step. `shapes`: of the tables that it wrote.
void AddSeal(Connection& connection, const Call& call, const Shapes& shapes);
// The answer has the shapes as they were, by table; and ...
void AddFindSealed(Connection& connection, const Call& call);
struct Sealed {
  TableName table;
  std::string shape;
};
std::vector<Sealed> ReadSealed(const Table& table);
// ... whether all is there: kNotFound, kDataLoss when not.
void AddCheckSeal(Connection& connection, const Call& call);
Status ReadSealChecked(const Table& table);

void AddForgetUndo(Connection& connection, const Call& call);

}  // namespace assent::mariadb::internal
