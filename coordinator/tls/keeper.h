#pragma once

// The certificates that are served now, and their files, which may change.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/tls/material.h"

namespace assent::tls {

class Keeper {
 public:
  // Reads the files; what is wrong with them is the failure.
  static Result<std::unique_ptr<Keeper>> Open(ServerFiles files);
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Any thread; for each connection anew.
  MaterialPtr Current() const ASSENT_EXCLUDES(mutex_);

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

  explicit Keeper(ServerFiles files) : files_(std::move(files)) {}
  static Mark MarkOf(const std::string& path);
  std::vector<Mark> Marks() const;

  const ServerFiles files_;
  std::vector<Mark> read_;
  mutable Mutex mutex_;
  MaterialPtr current_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::tls
