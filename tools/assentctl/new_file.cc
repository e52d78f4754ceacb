#include "tools/assentctl/new_file.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

#include "coordinator/base/sync.h"

namespace assent::ctl {

namespace {

// That the folder of it has it, and not what it had before.
int SyncFolderOf(const std::string& path) {
  return base::SyncPath(base::FolderOf(path), O_RDONLY | O_DIRECTORY);
}

int WriteFile(const std::string& path, std::string_view bytes, int file) {
  ssize_t some = 1;
  while (!bytes.empty() && some > 0) {
    some = ::write(file, bytes.data(), bytes.size());
    if (some > 0) bytes.remove_prefix(static_cast<std::size_t>(some));
  }
  int error = bytes.empty() && ::fsync(file) == 0 ? 0 : errno;
  if (::close(file) != 0 && error == 0) error = errno;
  if (error != 0) (void)::unlink(path.c_str());
  return error;
}

}  // namespace

int WriteNewFile(const std::string& path, std::string_view bytes, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) return errno;
  const int error = WriteFile(path, bytes, file);
  return error != 0 ? error : SyncFolderOf(path);
}

int ReplaceFile(const std::string& path, std::string_view bytes) {
  struct stat there {};
  if (::stat(path.c_str(), &there) != 0) return errno;
  std::string fresh = path + ".XXXXXX";  // what a death leaves is in nobody's way
  const int file = ::mkostemp(fresh.data(), O_CLOEXEC);
  if (file < 0) return errno;
  if (const int failed = WriteFile(fresh, bytes, file); failed != 0) return failed;
  if (::chown(fresh.c_str(), there.st_uid, there.st_gid) == 0 &&
      ::chmod(fresh.c_str(), there.st_mode & ALLPERMS) == 0 &&
      ::rename(fresh.c_str(), path.c_str()) == 0)
    return SyncFolderOf(path);
  const int error = errno;
  (void)::unlink(fresh.c_str());
  return error;
}

}  // namespace assent::ctl
