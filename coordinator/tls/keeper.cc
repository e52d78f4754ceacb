#include "coordinator/tls/keeper.h"

#include <chrono>

#include <sys/stat.h>

namespace assent::tls {
namespace {

Result<MaterialPtr> Read(const ServerFiles& files, Time now) { return ReadMaterial(files, now); }
Result<DialMaterialPtr> Read(const DialFiles& files, Time now) {
  return ReadDialMaterial(files, now);
}
std::vector<std::string> PathsOf(const ServerFiles& files) {
  return {files.cert, files.key, files.client_ca};
}

}  // namespace

template <typename Files, typename Made>
Result<std::unique_ptr<FileKeeper<Files, Made>>> FileKeeper<Files, Made>::Open(Files files) {
  std::unique_ptr<FileKeeper> keeper(new FileKeeper(std::move(files)));
  if (const Status read = keeper->Reload(); !read.ok()) return read;
  return keeper;
}

template <typename Files, typename Made>
std::shared_ptr<const Made> FileKeeper<Files, Made>::Current() const {
  const MutexLock lock(mutex_);
  return current_;
}

template <typename Files, typename Made>
typename FileKeeper<Files, Made>::Mark FileKeeper<Files, Made>::MarkOf(const std::string& path) {
  struct stat what {};
  if (path.empty() || ::stat(path.c_str(), &what) != 0) return {};
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  return {what.st_dev, what.st_ino, what.st_size,
          what.st_ctim.tv_sec * kNsPerSecond + what.st_ctim.tv_nsec};
}

template <typename Files, typename Made>
std::vector<typename FileKeeper<Files, Made>::Mark> FileKeeper<Files, Made>::Marks() const {
  std::vector<Mark> marks;
  for (const std::string& path : PathsOf(files_)) marks.push_back(MarkOf(path));
  return marks;
}

template <typename Files, typename Made>
bool FileKeeper<Files, Made>::HaveFilesChanged() const {
  return Marks() != read_;
}

template <typename Files, typename Made>
Status FileKeeper<Files, Made>::Reload() {
  read_ = Marks();  // before they are read: a change that comes meanwhile is seen as one
  auto material = Read(files_, std::chrono::system_clock::now());
  if (!material.ok()) return material.status();
  const MutexLock lock(mutex_);
  current_ = std::move(material).value();
  return OkStatus();
}

template class FileKeeper<ServerFiles, Material>;
template class FileKeeper<DialFiles, DialMaterial>;

}  // namespace assent::tls
