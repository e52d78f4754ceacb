#include "coordinator/log/memory/memory_disk.h"

#include <algorithm>
#include <utility>

namespace assent::log {

void MemoryImage::Apply(const MemoryDelta& delta) {
  for (const auto& [serial, row] : delta.rewritten) finished[serial] = row;
  next_serial = delta.next_serial;
  commit_seq = delta.commit_seq;
  marks = delta.marks;
  for (const auto& [serial, row] : delta.live) {
    if (row) {
      live[serial] = *row;
    } else {
      live.erase(serial);
    }
  }
  for (const auto& [serial, row] : delta.finished) {
    if (row) {
      PutFinished(*row);
      finished_in[serial] = delta.commit_seq;
    } else {
      EraseFinished(serial);
    }
  }
}

void MemoryImage::PutFinished(FinishedRow row) {
  serial_of_gid[row.gid] = row.serial;
  finished[row.serial] = std::move(row);
}

void MemoryImage::EraseFinished(std::uint64_t serial) {
  const auto found = finished.find(serial);
  if (found == finished.end()) return;
  const auto gid = serial_of_gid.find(found->second.gid);
  if (gid != serial_of_gid.end() && gid->second == serial) serial_of_gid.erase(gid);
  finished.erase(found);
  finished_in.erase(serial);
}

void MemoryDisk::PowerLoss(std::size_t kept) {
  for (std::size_t i = 0; i < std::min(kept, written_.size()); ++i) durable_.Apply(written_[i]);
  written_.clear();
  seen_ = durable_;
  if (state_) state_->commit_seq = anchored_seq_;
}

void MemoryDisk::LoseWal() {
  before_loss_ = std::make_shared<MemoryDisk>(*this);
  durable_ = seen_ = database_;
  written_.clear();
}

void MemoryDisk::PutWalBack() {
  const auto draws = draws_;
  *this = MemoryDisk(*std::exchange(before_loss_, nullptr));
  draws_ = draws;
}

void MemoryDisk::PlantFinished(FinishedRow row) {
  row.serial = std::max(seen_.next_serial, durable_.next_serial);
  for (MemoryImage* image : {&seen_, &durable_}) {
    image->next_serial = row.serial + 1;
    image->finished_in[row.serial] = image->commit_seq;
    image->PutFinished(row);
  }
}

}  // namespace assent::log
