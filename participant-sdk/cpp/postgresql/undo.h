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
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/postgresql/db_impl.h"
#include "participant-sdk/cpp/postgresql/undo_log.h"
#include "participant-sdk/cpp/server/undo_pass.h"

namespace assent::postgresql::internal {

struct UndoWrite {
  std::string row;  // for people
  std::string sql;
  Params params;
};

class Undo final : private server::UndoPass<Db::Impl, Answer, Shape, UndoWrite> {
 public:
  // Borrows all of them. `shapes` has one for each table of the records.
  Undo(Db::Impl& db, const std::vector<Record>& records, const Shapes& shapes);

  // False: `conflict` says what is in the way, or, where that is empty, the Db what has failed.
  bool Run();
  using UndoPass::conflict;

 private:
  void AddLook(const Shape& shape, const Key& key) override;
  Result<server::Fields> Parse(const Shape& shape, std::string_view image) const override;
  void AddWrite(const UndoWrite& write) override;
  std::vector<Answer> SendWrites(std::size_t count) override;
  void FindDeleted();
  bool WriteAll();
  // The parent first that its foreign keys want, if it was deleted before it.
  void TakeBackInOrder(std::size_t number);
  void TakeBack(const Record& record);
  bool CheckNothingElse(const WrittenByTable& before);
  std::string WhyAlso(std::int64_t oid, const std::string& shown);

  Connection& connection_;
  const std::vector<Record>& records_;
  const Shapes& shapes_;
  std::vector<Link> links_;
  // By link: rows that were deleted, by what children have referred to; their records.
  std::vector<std::map<Fields, std::vector<std::size_t>>> deleted_;
  std::vector<bool> is_added_;  // by record
  WrittenByTable own_;          // what the writes here come to
};

}  // namespace assent::postgresql::internal
