#pragma once

// Takes back what a step wrote: the last record first, each row back to its image from before. Only
// if each row is as the step left it, and only if nothing else happens by it; otherwise nothing of
// it may be kept, and who asked rolls back. Each state on the way back is one that was there on the
// way, and InnoDB checks keys and foreign keys row by row: so one that was possible is.
//
// What a row has to look like: participant-sdk/cpp/server/undo_rows.h.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/mariadb/undo_log.h"

namespace assent::mariadb::internal {

class Undo {
 public:
  // Borrows all of them. `shapes` has one for each table of the records.
  Undo(Db::Impl& db, const std::vector<Record>& records, const Shapes& shapes);

  // Before anything else has happened: whether what is recorded is what was written. MariaDB runs
  // the trigger for a row that an UPDATE IGNORE could not write, too.
  bool IsTrue() { return rows_.consistent() && CheckRows(Moment::kBefore); }

  // False: `conflict` says what is in the way, or, where that is empty, the Db what has failed.
  bool Run();
  const std::string& conflict() const { return conflict_; }

 private:
  using Rows = server::UndoRows<Shape>;
  using Moment = Rows::Moment;
  struct Write {
    std::string row;  // for people
    std::string sql;
  };

  // Locks all rows, and looks whether they are as the step left them, or as they were before it.
  bool CheckRows(Moment moment);
  bool CheckRow(const Rows::Key& key, const Rows::Row& row, const Table& found, Moment moment);
  bool WriteAll();
  bool WriteBatch(const std::vector<Write>& batch);
  void AddWrite(const Record& record, std::vector<Write>& writes);
  bool Count(Written& written);
  bool Conflict(std::string what) {
    conflict_ = std::move(what);
    return false;
  }

  Db::Impl& db_;
  Connection& connection_;
  const std::vector<Record>& records_;
  const Shapes& shapes_;
  Rows rows_;
  Written own_;  // what the writes here come to
  std::string conflict_;
};

}  // namespace assent::mariadb::internal
