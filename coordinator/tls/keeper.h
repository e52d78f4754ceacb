#pragma once

// What was made of files, and the files, which may change.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/tls/dial.h"
#include "coordinator/tls/material.h"

namespace assent::tls {

template <typename Files, typename Made>
class FileKeeper {
 public:
  // Reads the files; what is wrong with them is the failure.
  static Result<std::unique_ptr<FileKeeper>> Open(Files files);
  FileKeeper(const FileKeeper&) = delete;
  FileKeeper& operator=(const FileKeeper&) = delete;

  // Any thread; for each connection anew.
  std::shared_ptr<const Made> Current() const ASSENT_EXCLUDES(mutex_);

  // From one thread:
  // Whether the files are others than those that were read last, whatever came of that.
  bool HaveFilesChanged() const;
  // Reads them again. A failure changes nothing but that: the old ones stay.
  Status Reload() ASSENT_EXCLUDES(mutex_);

 private:
  // By which a file is known to be the same.
  struct Mark {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = -1;
    std::int64_t changed_ns = 0;
    bool operator==(const Mark&) const = default;
  };

  explicit FileKeeper(Files files) : files_(std::move(files)) {}
  static Mark MarkOf(const std::string& path);
  std::vector<Mark> Marks() const;

  const Files files_;
  std::vector<Mark> read_;
  mutable Mutex mutex_;
  std::shared_ptr<const Made> current_ ASSENT_GUARDED_BY(mutex_);
};

// The certificates that are served now.
using Keeper = FileKeeper<ServerFiles, Material>;
// What receivers are dialled with now.
using DialKeeper = FileKeeper<DialFiles, DialMaterial>;
extern template class FileKeeper<ServerFiles, Material>;
extern template class FileKeeper<DialFiles, DialMaterial>;

}  // namespace assent::tls
