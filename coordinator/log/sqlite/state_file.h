#pragma once

// PATH-state: what must be there at the next start (start_check.h), in a file of its own, as text
// that a person can read.
//
//   Anchor   durable: at each start and end, before a WAL is emptied, and about once a second while
//            commits come
//   Note     after each commit and before anybody hears of it: how far the log has got. Not
//            synchronised, which would be a second fsync for each commit. A process that is killed
//            loses nothing of it: the kernel has it. A power cut may lose it, and then the newest
//            anchor counts
//
// Anchors alternate between two blocks and notes have a third, so that a write that is torn harms
// none of the others. Each is written after what it speaks of is durable: the file never claims too
// much.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <assent/status.h>

#include "coordinator/log/start_check.h"

struct sqlite3_file;

namespace assent::log {

class StateFile {
 public:
  // `vfs`: as of SqliteOptions. Nothing is touched yet.
  StateFile(const std::string& path, const std::string& vfs);
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  Result<bool> Exists() const;
  // Nothing: there is no such file, or nothing in it that makes sense. kUnknownOutcome: it cannot
  // be read.
  Result<std::optional<LogState>> Read();
  // The first one creates the file; its folder is the caller's to synchronise then.
  // kResourceExhausted: the disk is full.
  Status Anchor(const LogState& state);
  Status Note(std::uint64_t commit_seq);
  // False: it was deleted or cut since it was opened, and the next Anchor makes it again, whole.
  // kDataLoss: another file is in its place, which is nobody's to write over. On the machine's own
  // file system alone.
  Result<bool> StillThere();
  const LogState& anchored() const { return anchored_; }

 private:
  Status Open(bool create);
  void Close();
  Status Write(int block, const std::string& line);
  Status Failure(const char* what, int code) const;

  const std::string path_;
  const std::string vfs_;
  const char* name_ = nullptr;  // as SQLite wants names to be
  std::unique_ptr<char[]> memory_;
  sqlite3_file* file_ = nullptr;  // in memory_, once it is open
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  bool whole_ = false;  // has all of its blocks
  LogState anchored_;
  std::uint64_t anchors_ = 0;  // so far, over all lives
};

}  // namespace assent::log
