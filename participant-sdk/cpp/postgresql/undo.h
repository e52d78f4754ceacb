#pragma once

// Takes back what a step wrote: the last record first, each row back to its image from before. Only
// if each row is as the step left it, and only if nothing else happens by it; otherwise nothing of
// it may be kept, and who asked rolls back.
//
// A foreign key's CASCADE and SET NULL have written the children after their parent was deleted, so
// such a parent comes back before them.
// What a row has to look like: participant-sdk/cpp/server/undo_rows.h.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/postgresql/db_impl.h"
#include "participant-sdk/cpp/postgresql/undo_log.h"

namespace assent::postgresql::internal {

class Undo {
 public:
  // Borrows all of them. `shapes` has one for each table of the records.
  Undo(Db::Impl& db, const std::vector<Record>& records, const Shapes& shapes);

  // False: `conflict` says what is in the way, or, where that is empty, the Db what has failed.
  bool Run();
  const std::string& conflict() const { return conflict_; }

 private:
  using Rows = server::UndoRows<Shape>;
  using Key = Rows::Key;
  using Moment = Rows::Moment;
  struct Write {
    std::string row;  // for people
    std::string sql;
    Params params;
  };

  void FindDeleted();
  // Locks all rows, and looks whether they are as the step left them, or as they were before it.
  bool CheckRows(Moment moment);
  bool CheckRow(const Key& key, const Rows::Row& row, const Table& found, Moment moment);
  bool WriteAll();
  bool WriteBatch(const std::vector<Write>& batch);
  // The parent first that its foreign keys want, if it was deleted before it.
  void AddInOrder(std::size_t number, std::vector<Write>& writes);
  void AddWrites(const Record& record, std::vector<Write>& writes);
  bool CheckNothingElse(const WrittenByTable& before);
  std::string WhyAlso(std::int64_t oid, const std::string& shown);
  bool Conflict(std::string what) {
    conflict_ = std::move(what);
    return false;
  }

  Db::Impl& db_;
  Connection& connection_;
  const std::vector<Record>& records_;
  const Shapes& shapes_;
  Rows rows_;
  std::vector<Link> links_;
  // By link: rows that were deleted, by what children have referred to; their records.
  std::vector<std::map<Fields, std::vector<std::size_t>>> deleted_;
  std::vector<bool> is_added_;  // by record
  WrittenByTable own_;          // what the writes here come to
  std::string conflict_;
};

}  // namespace assent::postgresql::internal
