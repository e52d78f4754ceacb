#include "coordinator/log/sqlite/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

namespace assent::log {

bool DiskReserve::Take() {
  if (held_ || bytes_ == 0) return true;
  const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return false;
  held_ = posix_fallocate(file, 0, static_cast<off_t>(bytes_)) == 0;
  close(file);
  if (!held_) Release();
  return held_;
}

void DiskReserve::Release() {
  held_ = false;
  if (bytes_ != 0) unlink(path_.c_str());
}

}  // namespace assent::log
