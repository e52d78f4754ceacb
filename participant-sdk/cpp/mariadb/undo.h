#pragma once

// Takes back what a step wrote: the last record first, each row back to its image from before. Only
// if each row is as the step left it, and only if nothing else happens by it; otherwise nothing of
// it may be kept, and who asked rolls back. Each state on the way back is one that was there on the
// way, and InnoDB checks keys and foreign keys row by row: so one that was possible is.
//
// What a row has to look like: participant-sdk/cpp/server/undo_rows.h.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/mariadb/db_impl.h"
#include "participant-sdk/cpp/mariadb/undo_log.h"
#include "participant-sdk/cpp/server/undo_pass.h"

namespace assent::mariadb::internal {

struct UndoWrite {
  std::string row;  // for people
  std::string sql;
};

class Undo final : private server::UndoPass<Db::Impl, Answer, Shape, UndoWrite> {
 public:
  // Borrows all of them. `shapes` has one for each table of the records.
  Undo(Db::Impl& db, const std::vector<Record>& records, const Shapes& shapes);

  // Before anything else has happened: whether what is recorded is what was written. MariaDB runs
  // the trigger for a row that an UPDATE IGNORE could not write, too.
  bool IsTrue() { return rows_.consistent() && CheckRows(Moment::kBefore); }

  // False: `conflict` says what is in the way, or, where that is empty, the Db what has failed.
  bool Run();
  using UndoPass::conflict;

 private:
  void AddLook(const Shape& shape, const Key& key) override;
  Result<server::Fields> Parse(const Shape& shape, std::string_view image) const override;
  void AddWrite(const UndoWrite& write) override;
  std::vector<Answer> SendWrites(std::size_t count) override;
  bool WriteAll();
  void TakeBack(const Record& record);
  bool Count(Written& written);

  Connection& connection_;
  const std::vector<Record>& records_;
  const Shapes& shapes_;
  Written own_;  // what the writes here come to
};

}  // namespace assent::mariadb::internal
