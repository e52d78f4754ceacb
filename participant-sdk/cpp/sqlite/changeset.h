#pragma once

// Changesets: recorded by a session while a handler runs, kept as bytes, applied (or their inverse)
// later.

#include <set>
#include <string>
#include <vector>

#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/schema.h"

namespace assent::sqlite::internal {

// Records every write to the main database while it lives, except the adapter's own tables. Takes
// the preupdate hook's place meanwhile. End it before the savepoint around it is rolled back.
class Recording {
 public:
  explicit Recording(Connection& connection);
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // The net changes so far; empty when there are none. Fails (kFailedPrecondition) for what cannot
  // be recorded.
  Result<std::string> Take();
  // Tables written, those that cannot be recorded included.
  const std::set<std::string>& tables() const { return tables_; }

 private:
  static int Filter(void* self, const char* table);
  Connection& connection_;
  sqlite3_session* session_ = nullptr;
  Status status_;
  std::set<std::string> tables_;
};

// Why the rows of one of `tables` cannot be recorded, or OK. Reads the rows as they stand: call it
// before and after the writes, since a row whose key is NULL may be in either state.
Status CheckRecordable(Schema& schema, const std::set<std::string>& tables);

Result<std::vector<RowChange>> ReadChangeset(const std::string& changeset);
Result<std::string> InvertChangeset(const std::string& changeset);

// Whether rows that a handler wrote in its own order might not be writable again one by one: rows
// that exchange values of a UNIQUE key, or a primary key that changes into an equal one. A single
// row can, and so can rows that have nothing but their primary keys in common with others.
bool MayFailToApply(const Schema& schema, const std::vector<RowChange>& changes);

// What applying came to. A conflict is a row that is not as the changeset left it (or a key that is
// taken, a parent or child that is missing): nothing has been applied then, and `conflict` says
// which.
struct Applied {
  Status status;
  std::string conflict;
  bool ok() const { return status.ok() && conflict.empty(); }
};

// Applies all of it or nothing, with triggers and foreign key actions off (they acted when it was
// recorded), then checks the foreign keys of the rows it touched. `changes` are
// ReadChangeset(changeset). Columns added since `shape` was taken get their defaults; any other
// difference is a conflict.
Applied ApplyChangeset(Schema& schema, const std::string& changeset,
                       const std::vector<RowChange>& changes, const std::string& shape);

}  // namespace assent::sqlite::internal
