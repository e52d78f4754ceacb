#include "tools/assentctl/new_file.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

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

}  // namespace assent::ctl
