#include "coordinator/log/sqlite/in_place.h"

#include <sys/stat.h>

namespace assent::log {

Status CheckInPlace(const std::string& path, Place& known) {
  struct stat info {};
  const bool there = stat(path.c_str(), &info) == 0;
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  if (there && known.inode == 0) {
    known.device = info.st_dev;
    known.inode = info.st_ino;
  }
  if (!there || known.device != info.st_dev || known.inode != info.st_ino) {
    return DataLoss(path +
                    ": deleted or replaced while in use: what is committed now cannot be "
                    "found again");
  }
  if (bytes < known.bytes) {
    return DataLoss(path + ": shortened while in use, from at least " +
                    std::to_string(known.bytes) + " to " + std::to_string(bytes) +
                    " bytes: what was committed is gone from it");
  }
  known.bytes = bytes;
  return OkStatus();
}

}  // namespace assent::log
