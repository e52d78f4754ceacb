#pragma once

// Which log the settings name, and how it is opened: one file of SQLite, or a PostgreSQL that
// several coordinators share.

#include <functional>
#include <memory>
#include <string>

#include <assent/status.h>

#include "coordinator/cluster/view.h"
#include "coordinator/daemon/config.h"
#include "coordinator/grpc/backup_service.h"
#include "coordinator/log/log.h"
#include "coordinator/log/postgresql/postgres_log.h"

namespace assent::daemon {

struct OpenedLog {
  std::unique_ptr<log::Log> log;
  std::string place;                   // for people
  log::PostgresLog* shared = nullptr;  // `log`, if several coordinators may share it
  door::MakeBackup make_backup;        // of `log`
};

// The three ways in which a log ends for good; each ends the process. And what there is to see.
struct LogEvents {
  std::function<void(const Status&)> on_poisoned;
  std::function<void(const Status&)> on_fenced;
  std::function<void(const Status&)> on_regressed;
  std::function<void(cluster::ViewPtr)> on_view;
};

// A failure says what to do; `exit_code` is set with it.
// `wrap` is put around its stores.
Result<OpenedLog> OpenLog(const Config& config, LogEvents events, const log::StoreWrap& wrap,
                          int& exit_code);
// Of a log that cannot be joined.
int ExitOfJoin(const Config& config, const Status& why);
// Of a log that was there, a setting for new ones says nothing; one that contradicts it is a
// mistake that nobody would find, and none that should keep a coordinator from its work.
void WarnOfSlots(const Config& config, Slot has);

}  // namespace assent::daemon
