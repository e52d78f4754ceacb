#pragma once

// Changesets in the file: of prepared branches (assent_prepared) and of automatic Saga steps
// (assent_undo).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <assent/call.h>

#include "participant-sdk/cpp/sqlite/changeset.h"
#include "participant-sdk/cpp/sqlite/connection.h"

namespace assent::sqlite::internal {

struct StoredChanges {
  std::int64_t id = 0;  // prepared only
  std::string changeset;
  std::string shape;
  std::string hazard;  // prepared only: why the last commit failed
  std::vector<RowChange> changes;
};

// kNotFound when there is none; kDataLoss when its checksum is wrong. Both mean that what was
// promised cannot be kept.
Result<StoredChanges> LoadPrepared(Connection& connection, std::string_view gid,
                                   std::string_view branch_id);
// The inverse of what the step changed.
Result<StoredChanges> LoadUndo(Connection& connection, std::string_view gid,
                               std::string_view branch_id);

// Keeps a prepared branch's changes; its id.
Result<std::int64_t> StorePrepared(Connection& connection, const Call& call,
                                   const StoredChanges& stored, std::int64_t now_ms);
Status StoreUndo(Connection& connection, const Call& call, const StoredChanges& stored);

}  // namespace assent::sqlite::internal
