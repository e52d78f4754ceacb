#pragma once

// A backup as a folder: log.db, perhaps audit.db, and manifest.json, which says what they are. It
// is written under another name, read back, and put in its place when it is whole: a folder of the
// right name is a backup.

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

namespace assent::offline {

inline constexpr char kLogName[] = "log.db";
inline constexpr char kAuditName[] = "audit.db";
inline constexpr char kManifestName[] = "manifest.json";

// manifest.json.
struct Manifest {
  struct File {
    std::string name;
    std::uint64_t bytes = 0;
    std::uint32_t crc32c = 0;
  };
  std::string version{};  // of the coordinator that made it
  std::uint32_t format = 0;
  std::uint32_t coordinator_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t start = 0;
  std::uint64_t commit_seq = 0;
  std::int64_t unix_ms = 0;
  std::uint64_t unfinished = 0;
  std::uint64_t finished = 0;
  std::vector<File> files{};
};

// Single-threaded. Without Finish nothing stays.
class BackupWriter {
 public:
  // kAlreadyExists: there is something at `folder`, which is left as it is.
  static Result<std::unique_ptr<BackupWriter>> Begin(const std::string& folder);
  ~BackupWriter();
  BackupWriter(const BackupWriter&) = delete;
  BackupWriter& operator=(const BackupWriter&) = delete;

  // A file, its bytes, and their checksum as they were sent.
  Status File(const std::string& name, std::uint64_t bytes);
  Status Data(std::string_view bytes);
  Status FileEnds(std::uint32_t crc32c);
  // Synchronises what was written, reads all of it back, each row with its checksum, and puts it in
  // its place. `facts` but for `files`.
  Status Finish(Manifest facts);

 private:
  explicit BackupWriter(std::string folder) : folder_(std::move(folder)) {}
  std::string Partial() const { return folder_ + ".partial"; }

  const std::string folder_;
  std::ofstream file_;
  Manifest::File current_;
  std::uint64_t expected_bytes_ = 0;
  std::vector<Manifest::File> files_;
};

// Reads manifest.json, and compares all files with it and with themselves: sizes, checksums, each
// row. kNotFound: there is no backup; kDataLoss: it is not what was written.
Result<Manifest> CheckBackup(const std::string& folder);

}  // namespace assent::offline
