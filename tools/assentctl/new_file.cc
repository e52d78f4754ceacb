#include "tools/assentctl/new_file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

namespace assent::ctl {

int WriteNewFile(const std::string& path, std::string_view bytes, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) return errno;
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

int ReplaceFile(const std::string& path, std::string_view bytes) {
  struct stat there {};
  if (::stat(path.c_str(), &there) != 0) return errno;
  const std::string fresh = path + ".new";
  if (const int failed = WriteNewFile(fresh, bytes, 0600); failed != 0) return failed;
  if (::chown(fresh.c_str(), there.st_uid, there.st_gid) == 0 &&
      ::chmod(fresh.c_str(), there.st_mode & ALLPERMS) == 0 &&
      ::rename(fresh.c_str(), path.c_str()) == 0)
    return 0;
  const int error = errno;
  (void)::unlink(fresh.c_str());
  return error;
}

}  // namespace assent::ctl
