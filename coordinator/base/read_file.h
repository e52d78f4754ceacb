#pragma once

#include <cstddef>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <sys/stat.h>

#include <assent/status.h>

namespace assent::base {

// A file, or its first max_bytes + 1 bytes if it has more. NOT_FOUND: it cannot be read, or is a
// folder, a pipe or a device, which whoever waits for it would wait for in vain.
inline Result<std::string> ReadAtMost(const std::string& file, std::size_t max_bytes) {
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) return NotFound("it cannot be read");
  struct stat what {};
  const bool is_file = ::fstat(opened, &what) == 0 && S_ISREG(what.st_mode);
  std::string text(is_file ? max_bytes + 1 : 0, '\0');
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() && (got = ::read(opened, text.data() + size, text.size() - size)) > 0)
    size += static_cast<std::size_t>(got);
  ::close(opened);
  if (!is_file) return NotFound("it cannot be read: it is no file");
  if (got < 0) return NotFound("it cannot be read");
  text.resize(size);
  return text;
}

}  // namespace assent::base
