#pragma once

// What automatic Saga steps need in the database: the table of row images, and the trigger that
// writes them on each table that the service names.
//
//   assent_undo            (gid, branch_id, seq) → table, kind, before, after
//   assent_undo_capture()  the trigger's function; acts only while the setting assent.step names a
//                          branch, which is so while the handler of an automatic step runs
//   assent_undo_row(row)   a row's text, in the settings in which the trigger writes it
//   assent_undo            the trigger, of each table that is named; and one on assent_barrier, so
//                          that the images of a branch go with its row, whoever deletes it

#include <string>
#include <vector>

#include "participant-sdk/cpp/postgresql/connection.h"

namespace assent::postgresql::internal {

// Makes what is missing of these, in a transaction of its own. Fails (kFailedPrecondition) where a
// name is no table, a trigger of that name is somebody else's or disabled, or the server does not
// count what is written.
Status MakeUndoTables(Connection& connection, const std::vector<std::string>& tables);

}  // namespace assent::postgresql::internal
