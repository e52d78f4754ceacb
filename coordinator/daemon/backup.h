#pragma once

// A backup of this coordinator, made beside its log and handed to whoever asked (assentctl backup).

#include <string>

#include "coordinator/grpc/backup_service.h"
#include "coordinator/log/sqlite/sqlite_log.h"

namespace assent::daemon {

// What a death has left of them, beside the log at `path`. By who has its lock.
void RemoveUnfinishedBackups(const std::string& path);

// `path`: of the log. `leaves_no_remains`: as it has it (SqliteOptions). The log outlives every
// call of what is returned.
door::MakeBackup BackupOf(log::SqliteLog& log, std::string path, bool leaves_no_remains);
// There is none of a log that a database keeps.
door::MakeBackup NoBackup();

}  // namespace assent::daemon
