#pragma once

// What an automatic Saga step wrote: images of rows in assent_undo, which the trigger keeps while
// the handler runs; behind them the shapes of their tables, and a seal by which it is seen whether
// anything is missing.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <assent/call.h>

#include "participant-sdk/cpp/postgresql/connection.h"
#include "participant-sdk/cpp/postgresql/row_text.h"

namespace assent::postgresql::internal {

using server::Column;
using server::Record;

// A table as it is. Its name and those of its columns are as SQL takes them.
struct Shape : server::RowShape {
  std::int64_t oid = 0;
  // Has triggers or rules of somebody else's, which act on what is undone as well.
  bool has_triggers = false;
  // Has keys beside the primary one: rows that can be written in one order may not be in another.
  bool has_more_keys = false;

  std::string Text() const;
  // Empty: the columns are as they were in `text`, and there may be more.
  std::string FindMisfit(std::string_view text) const;
};
// By their full names, which are those in assent_undo.
using Shapes = std::map<std::string, Shape>;

// Rows written since the local transaction began, by table, as the server counts them.
struct Written {
  std::string shown;
  std::int64_t inserted = 0;
  std::int64_t updated = 0;
  std::int64_t deleted = 0;
  bool is_catalog = false;
  bool is_seen = false;  // the adapter's trigger writes down what happens to it

  bool SameCounts(const Written& other) const {
    return inserted == other.inserted && updated == other.updated && deleted == other.deleted;
  }
};
using WrittenByTable = std::map<std::int64_t, Written>;

// Statements for the next message, and what is read from their answers.
void AddCountWritten(Connection& connection);
WrittenByTable ReadWritten(const Table& table);
void AddFindShapes(Connection& connection, const Call& call);
Shapes ReadShapes(const Table& table);

// A foreign key between tables of a step: columns by their numbers.
struct Link {
  std::string child;
  std::string parent;
  std::vector<std::size_t> child_columns;
  std::vector<std::size_t> parent_columns;
};
void AddFindLinks(Connection& connection, const Shapes& shapes);
std::vector<Link> ReadLinks(const Table& table, const Shapes& shapes);

void AddFindRecords(Connection& connection, const Call& call);
// kDataLoss when an image cannot be read.
Result<std::vector<Record>> ReadRecords(const Table& table);

// Behind the last record of a step. `shapes`: of the tables that it wrote.
void AddSeal(Connection& connection, const Call& call, const Shapes& shapes);
// The answer has the shapes as they were, by table; and ...
void AddFindSealed(Connection& connection, const Call& call);
std::map<std::string, std::string> ReadSealed(const Table& table);
// ... whether all is there: kNotFound, kDataLoss when not.
void AddCheckSeal(Connection& connection, const Call& call);
Status ReadSealChecked(const Table& table);

void AddForgetUndo(Connection& connection, const Call& call);

}  // namespace assent::postgresql::internal
