#include "coordinator/tls/keeper.h"

#include <utility>

#include <sys/stat.h>

namespace assent::tls {

Result<std::unique_ptr<Keeper>> Keeper::Open(ServerFiles files) {
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(files)));
  if (const Status read = keeper->Reload(); !read.ok()) return read;
  return keeper;
}

MaterialPtr Keeper::Current() const {
  const MutexLock lock(mutex_);
  return current_;
}

Keeper::Mark Keeper::MarkOf(const std::string& path) {
  struct stat what {};
  if (path.empty() || ::stat(path.c_str(), &what) != 0) return {};
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  return {what.st_dev, what.st_ino, what.st_size,
          what.st_ctim.tv_sec * kNsPerSecond + what.st_ctim.tv_nsec};
}

std::vector<Keeper::Mark> Keeper::Marks() const {
  return {MarkOf(files_.cert), MarkOf(files_.key), MarkOf(files_.client_ca)};
}

bool Keeper::HaveFilesChanged() const { return Marks() != read_; }

Status Keeper::Reload() {
  read_ = Marks();  // before they are read: a change that comes meanwhile is seen as one
  auto material = ReadMaterial(files_, std::chrono::system_clock::now());
  if (!material.ok()) return material.status();
  const MutexLock lock(mutex_);
  current_ = std::move(material).value();
  return OkStatus();
}

}  // namespace assent::tls
