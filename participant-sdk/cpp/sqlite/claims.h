#pragma once

// What a prepared branch holds until it ends, so that its changeset can be applied whatever happens
// in between:
//
//   row     (table, primary key)      exclusive   each row it writes, or claims with Db::Claim
//   key     (table, columns, values)  exclusive   each unique key that appears or disappears
//                                     shared      each parent key that a new child row references
//   table                             exclusive   written rows of a table that has no better name
//                                                 for them (generated columns, seen from TCC, Saga
//                                                 and Local only)
//
// Two claims of different branches on one resource conflict unless both are shared. A claim wider
// than needed costs waiting; one that is missing costs the promise.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/barrier/who_waits.h"
#include "participant-sdk/cpp/sqlite/connection.h"
#include "participant-sdk/cpp/sqlite/schema.h"

namespace assent::sqlite::internal {

struct Claim {
  bool exclusive = false;
  std::string what;  // "row stock('A')": for messages
};

// By resource: bytes that name it.
using ClaimSet = std::map<std::string, Claim>;

// Adds what `change` needs. Reads rows of the connection: call it in the state right after the
// writes (or right before them, for changes yet to be applied), within the same transaction.
Status AddClaims(Schema& schema, const RowChange& change, ClaimSet& claims);
Status AddClaims(Schema& schema, const std::vector<RowChange>& changes, ClaimSet& claims);

// Adds an exclusive claim on an existing row by its primary key.
Status AddRowClaim(Schema& schema, std::string_view table, const Arg* key, std::size_t count,
                   ClaimSet& claims);

// The values of `columns` in a row of a RowChange; and whether one of them is NULL.
using Columns = std::vector<std::optional<Value>>;
std::vector<Value> Pick(const Columns& row, const std::vector<int>& columns);
bool HasNull(const std::vector<Value>& values);

// Fills the columns that an UPDATE left alone, from the row as it stands. kNotFound when the row is
// gone.
Status FillRow(Connection& connection, const TableInfo& table, RowChange& change);

// The claims of prepared branches, in table assent_lock.
class ClaimTable {
 public:
  explicit ClaimTable(Connection& connection) : connection_(connection) {}

  // Somebody holds something.
  Result<bool> Any();
  // The first of `claims` that another branch than (gid, branch_id) holds against it.
  Result<std::optional<barrier::Holder>> Find(const ClaimSet& claims, std::string_view gid,
                                              std::string_view branch_id);
  Status Insert(const ClaimSet& claims, std::int64_t holder);
  Status Drop(std::int64_t holder);

 private:
  Connection& connection_;
};

}  // namespace assent::sqlite::internal
