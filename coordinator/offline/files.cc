#include "coordinator/offline/files.h"

#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include <sys/stat.h>

#include "coordinator/base/sync.h"

namespace assent::offline {
namespace {

Status Sync(const std::string& path, int flags) {
  const int error = base::SyncPath(path, flags);
  if (error == 0) return OkStatus();
  return Unavailable(path + ": cannot be synchronised: " + std::strerror(error));
}

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

Status SyncFile(const std::string& path) { return Sync(path, O_RDONLY); }
Status SyncFolder(const std::string& folder) { return Sync(folder, O_RDONLY | O_DIRECTORY); }

bool MakePrivateFolder(const std::string& folder) { return mkdir(folder.c_str(), 0700) == 0; }

Status MakeOwned(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct stat folder {};
  bool made = fd >= 0 && stat(ParentOf(path).c_str(), &folder) == 0;
  if (made && geteuid() == 0) made = fchown(fd, folder.st_uid, folder.st_gid) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  return made ? OkStatus() : Unavailable(path + ": cannot be created: " + std::strerror(error));
}

// Not every file system can promise not to write over what is there.
Status PutInPlace(const std::string& from, const std::string& to) {
  int done = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  if (done != 0 && errno == EINVAL && access(to.c_str(), F_OK) != 0)
    done = std::rename(from.c_str(), to.c_str());
  if (done != 0) return Unavailable(to + ": cannot be put in its place: " + std::strerror(errno));
  return SyncFolder(ParentOf(to));
}

std::string UriOf(const std::string& path) {
  std::string uri;
  for (const char c : path) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("/._-~", c) != nullptr;
    std::array<char, 4> hex{};
    std::snprintf(hex.data(), hex.size(), "%%%02X", static_cast<unsigned char>(c));
    uri += plain ? std::string(1, c) : hex.data();
  }
  return uri;
}

}  // namespace assent::offline
