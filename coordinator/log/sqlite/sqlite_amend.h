#pragma once

// Changes by hand to a log that nobody has. All of it in one local transaction of the caller's,
// with `meta` as that is to leave it: one commit more.

#include <string>
#include <string_view>

#include <assent/status.h>

#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"
#include "coordinator/log/sqlite/sqlite_walk.h"

namespace assent::log {

// Writes the row as `row` has it, but for its spec, with checksums that are right. What table meta
// counts is the caller's.
Status AmendRow(SqliteConnection& db, const std::string& path, const Meta& meta,
                const WalkedRow& row);

// The epochs of this log are others from now on, of the same starts: whatever has begun in one of
// before, in this log or in the one of which it is a copy, has not begun in one of its own. The
// newest has ended in order.
Status RenewEpochs(SqliteConnection& db, const std::string& path, Meta& meta);

// `held`: the epoch that table meta has so far.
Status WriteMeta(SqliteConnection& db, const std::string& path, const Meta& meta,
                 std::uint64_t held);

}  // namespace assent::log
