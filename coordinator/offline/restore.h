#pragma once

// A log of a backup, in an empty folder, with epochs of its own.
//
// What was begun, decided and forgotten after the backup was made, the lost time, is in no row of
// it. So that nothing of it is presumed, the epochs of before are not among the log's any more:
//
//   - whoever holds something that this log does not know, of whatever start, is told CANNOT_TELL;
//     also of the start in which the backup was made, which went on behind it
//   - what was not decided is held for a person, as behind a fail-over that may have lost something
//   - what was decided is carried out, and told to who asks: a decision never changes. What could
//     be done a second time, or a person may have settled, is suspended here

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/offline/backup_folder.h"
#include "coordinator/offline/opener.h"

namespace assent::offline {

struct RestoreOptions {
  std::string backup;
  std::string data;
  std::string who;
  std::string reason;
  KeysPtr keys{};        // of the backup, if it is sealed
  bool dry_run = false;  // looks at both, and changes nothing
  std::function<void(const std::string& words)> on_progress = [](const std::string&) {};
};

struct Unfinished {
  // What is so, and what becomes of it.
  enum class Kind : std::uint8_t {
    kUndecided,   // may have been decided since: held for a person
    kAsked,       // so may this, and its only branch knows: it is asked again
    kStepsLeft,   // committed, with steps after the pivot that may have been done since: suspended
    kNeedsHuman,  // decided; a person may have settled it since: suspended
    kSuspended,   // decided, and stays so
    kCommitting,  // goes on
    kAborting,    // goes on
    kUnreadable,  // or out of service: set aside at each start
  };
  Kind kind = Kind::kUnreadable;
  std::string gid{};
  std::vector<std::string> branches{};  // "inventory/reserve EXECUTED"
};
const char* Name(Unfinished::Kind kind);

struct Restored {
  Manifest manifest{};
  std::vector<Unfinished> unfinished{};
};

// Run again after a death, with the same folders, it begins anew; the log is there or not.
//   kFailedPrecondition  the folder is not empty; or a row needs a key that is not there
//   others               of CheckBackup, and of the disk
Result<Restored> Restore(const RestoreOptions& options);

}  // namespace assent::offline
