#pragma once

// A log file made of another store's rows. It is written under another name, checked, and put in
// its place when it is whole: a death before leaves nothing that could be taken for a log.
//
// A mark beside it, PATH-incoming-from, names the source until it is in its place: while the mark
// is there and the database is not, nobody begins a log of his own.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/log.h"
#include "coordinator/log/sqlite/sqlite_connection.h"
#include "coordinator/log/sqlite/sqlite_rows.h"

namespace assent::log {

// What is true of the whole log.
struct ImportedLog {
  std::uint32_t log_id = 0;
  std::vector<std::uint64_t> epochs;  // rising, without a gap; at least one
  std::uint64_t ran_ms = 0;           // how long it has run, in all
};

// With what the mark of a backup begins.
inline constexpr char kBackupMark[] = "the backup ";
// The mark. Empty: none comes.
std::string ReadIncomingMark(const std::string& path);
// Durable when it returns.
Status MarkIncoming(const std::string& path, const std::string& source);
// Last of all: beside a database it means nothing any more.
void RemoveIncomingMark(const std::string& path);
// kFailedPrecondition: there is one. Of a database that is not there.
Status CheckNotIncoming(const std::string& path);

// Single-threaded. After a failure it is to be thrown away.
class SqliteImport {
 public:
  // `path` is that of the log, which must not be there, nor any of the files beside it.
  SqliteImport(std::string path, ImportedLog log);

  Status Begin();
  Status Add(const LiveRow& row);
  // `ran_ms`: how long the log had run when it ended.
  Status Add(const FinishedRow& row, std::uint64_t ran_ms);
  Status Commit();
  // Every row as it was written, with its checksum checked.
  Status ReadBack(const std::function<void(const LiveRow&)>& live,
                  const std::function<void(const FinishedRow&)>& finished);
  // The file is the log from now on. Its last epoch has ended in order.
  Status Finish();

 private:
  Status Failure(const std::string& what, int code) const;
  Status WriteAges();
  Status WriteEpochs();
  std::uint64_t Bucket(std::uint64_t ran_ms) const;

  const std::string path_;
  const std::string incoming_;
  const ImportedLog log_;
  // Rows need no stamp of their age but a commit that one of few marks knows: those of one part of
  // the run time have one commit.
  const std::uint64_t bucket_ms_;
  Meta meta_;
  SqliteConnection db_;
  Statement live_;
  Statement finished_;
};

}  // namespace assent::log
