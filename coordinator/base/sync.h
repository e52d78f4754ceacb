#pragma once

// What was written is on the disk.

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace assent::base {

// Of a file, or with O_DIRECTORY of the names in a folder. `flags` as of open. 0, or errno.
inline int SyncPath(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = synced ? 0 : errno;
  if (fd >= 0) close(fd);
  return error;
}

// The folder that a file is in: up to the last slash, or ".".
inline std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace assent::base
