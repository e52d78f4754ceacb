#pragma once

// A log in PostgreSQL that was put back to an older state. A dump and a recovery to a point in time
// are seen to be that at the next start; a snapshot of a disk, which looks like itself, only a
// person can tell.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/postgresql/connection.h"

namespace assent::log {

struct RestoredOptions {
  ConnectionOptions postgres;
  bool dry_run = false;
  // As MigrateOptions.
  std::chrono::milliseconds patience{3'000};
  std::function<void(const std::string& words)> on_progress = [](const std::string&) {};
};

struct Restored {
  std::uint32_t log_id = 0;
  std::uint64_t generation = 0;  // the new one; of a dry run the old one
  std::uint64_t unfinished = 0;
  // Those that had not left, and are fenced; of a dry run would be: "node a at host:7400".
  std::vector<std::string> fenced{};
};

// The store's generation rises, and all slot epochs: nothing from before is presumed about, and
// participants hear epochs above what a lost history may have given. Whoever has not left is
// fenced, seen or not, so that nobody goes on in the generation before. It may be said twice.
// kFailedPrecondition: a coordinator runs, or there is no log of ours. kUnknownOutcome: the answer
// was lost, say it again.
Result<Restored> NoteRestored(const RestoredOptions& options);

}  // namespace assent::log
