#pragma once

// A disk in memory that can lose power. Of each file it keeps what is durable, what a reader
// sees, and what lies between: writes and truncations that no sync has followed. The same of the
// folder: files created and deleted since it was last synchronised.
//
// A power loss leaves any subset of what lies between: a write whole, not at all, or torn. Torn
// means sector by sector: the old one, the new one, the beginning of the new one and the end of the
// old one, or garbage. What is assumed of the hardware:
//   - bytes outside a write stay as they are (SQLite calls that powersafe overwrite, and its own
//     VFS claims it as well);
//   - a sector in which a write changes nothing stays as it is (a start writes the WAL again in
//     place, byte for byte).
//
// A failed sync is Linux's: some of the file's waiting writes are durable, the others
// are forgotten although readers still see them, and the next sync succeeds without writing them.
//
// A value: copies are independent. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace assent::log {

using Random = std::mt19937_64;

inline constexpr std::size_t kSectorBytes = 512;

// What a file system is asked to do that changes what a crash would leave.
struct DiskChange {
  enum class Kind : std::uint8_t {
    kCreate,
    kDelete,
    kWrite,
    kTruncate,
    kSync,
    kFailedSync,
    kSyncFolder,
    // Nothing for the disk: `offset` is a number of the test's, in its place among the changes.
    kMark,
  };
  Kind kind = Kind::kMark;
  std::string path{};
  std::int64_t offset = 0;  // kTruncate: the new size. kFailedSync: the seed of what was lost
  std::string bytes{};
};

// How much of what is waiting a power loss leaves.
enum class Loss : std::uint8_t {
  kAll,       // nothing
  kSome,      // each write whole or not at all
  kTorn,      // each whole, not at all or torn
  kAllButOne  // all, but one that is lost or torn: what was asked for first need not be there first
};

class SimDisk {
 public:
  void Apply(const DiskChange& change);

  // What the machine finds when the power is back. Nothing waits any more.
  SimDisk AfterPowerLoss(Loss loss, Random& random) const;
  // True if a power loss now could leave more than one disk.
  bool IsWaiting() const;

  bool Exists(const std::string& path) const { return names_.contains(path); }
  // As a reader sees it. The file exists.
  const std::string& Content(const std::string& path) const {
    return files_.at(names_.at(path)).seen;
  }
  // A file that lies there, whole and durable.
  void Put(const std::string& path, std::string content);

 private:
  struct Pending {
    bool truncates = false;
    std::size_t offset = 0;  // or the new size
    std::string bytes{};
  };
  struct File {
    std::string seen{};
    std::string durable{};
    std::vector<Pending> pending{};
  };
  using FileId = std::uint64_t;  // 0: none
  struct NameChange {
    std::string path{};
    FileId file = 0;
  };

  static std::string Survivor(const File& file, Loss loss, Random& random);
  File& Find(const std::string& path) { return files_.at(names_.at(path)); }

  std::map<FileId, File> files_;
  FileId last_file_ = 0;
  std::map<std::string, FileId> names_;          // as a process sees them
  std::map<std::string, FileId> durable_names_;  // as of the last sync of the folder
  std::vector<NameChange> name_changes_;         // since then
};

}  // namespace assent::log
