#pragma once

// What automatic Saga steps need in the database: the table of row images, and the triggers that
// write them, three on each table that the service names.
//
//   assent_undo            (gid, branch_id, seq) → table, kind, shape, before, after
//   assent_undo_i_…, u, d  after INSERT, UPDATE and DELETE; act only while @assent_step names a
//                          branch, which is so while the handler of an automatic step runs
//   assent_undo_forget     on assent_barrier, so that the images of a branch go with its row,
//                          whoever deletes it
//
// A trigger names the columns, so it is made again where the table has others than it knows.

#include <string>
#include <vector>

#include "participant-sdk/cpp/mariadb/connection.h"

namespace assent::mariadb::internal {

// Makes what is missing of these. Fails (kFailedPrecondition) where a name is no table or one that
// cannot be undone soundly, and (kPermissionDenied) where we may not make triggers.
Status MakeUndoTables(Connection& connection, const std::vector<std::string>& tables);

}  // namespace assent::mariadb::internal
