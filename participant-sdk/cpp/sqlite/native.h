#pragma once

// SQLite with its session extension and preupdate hook, which its header shows only on request.

#ifndef SQLITE_ENABLE_SESSION
#define SQLITE_ENABLE_SESSION 1
#endif
#ifndef SQLITE_ENABLE_PREUPDATE_HOOK
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#endif
#include <sqlite3.h>
#include <string>

#include <assent/status.h>

namespace assent::sqlite::internal {

// What a result code means to a caller: kFailedPrecondition for a constraint, kResourceExhausted
// for a full disk, kDataLoss for a damaged file, kUnavailable for what may pass (busy, I/O),
// kInternal for the rest.
Status StatusOf(int code, const std::string& message);

}  // namespace assent::sqlite::internal
