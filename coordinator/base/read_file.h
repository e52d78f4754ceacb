#pragma once

// Files of settings, certificates and keys.

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>

#include <assent/status.h>

namespace assent::base {

struct FileText {
  std::string text;
  // Others than its owner may read or change it. A group may read what root gives it.
  bool is_shared = false;
};

// A file, or its first max_bytes + 1 bytes if it has more. NOT_FOUND: the system's words for why it
// cannot be read. FAILED_PRECONDITION: it is a pipe or a device, which whoever waits for it would
// wait for in vain.
inline Result<FileText> ReadFile(const std::string& file, std::size_t max_bytes) {
  const auto failed = [](int error) { return NotFound(std::strerror(error)); };
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) return failed(errno);
  struct stat what {};
  const int looked = ::fstat(opened, &what);
  const int look_error = errno;
  const bool may_wait = looked == 0 && !S_ISREG(what.st_mode) && !S_ISDIR(what.st_mode);
  FileText read{.text = std::string(looked == 0 && !may_wait ? max_bytes + 1 : 0, '\0')};
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < read.text.size() &&
         (got = ::read(opened, read.text.data() + size, read.text.size() - size)) > 0)
    size += static_cast<std::size_t>(got);
  const int read_error = errno;
  ::close(opened);
  if (looked != 0) return failed(look_error);
  if (may_wait) return FailedPrecondition("it is no file");
  if (got < 0) return failed(read_error);
  read.text.resize(size);
  const mode_t allowed = what.st_uid == 0 ? S_IRGRP : 0;
  read.is_shared = (what.st_mode & (S_IRWXG | S_IRWXO) & ~allowed) != 0;
  return read;
}

// The same, of which only the text counts. NOT_FOUND: it cannot be read, as a folder cannot.
inline Result<std::string> ReadAtMost(const std::string& file, std::size_t max_bytes) {
  Result<FileText> read = ReadFile(file, max_bytes);
  if (read.ok()) return std::move(read->text);
  const bool is_no_file = read.status().code() == Code::kFailedPrecondition;
  return NotFound("it cannot be read" + (is_no_file ? ": " + read.status().message() : ""));
}

}  // namespace assent::base
