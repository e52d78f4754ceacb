#include "coordinator/log/unwritten.h"

#include <set>

namespace assent::log {

bool Unwritten::BuiltOn(const std::vector<Entry>& batch) const {
  if (unwritten_.empty()) return false;
  std::set<std::uint64_t> resumed;  // whose missing version this very batch supplies
  for (const Entry& entry : batch) {
    if (entry.kind == EntryKind::kForget) continue;
    const std::uint64_t* missing = unwritten_.Find(entry.serial);
    if (missing == nullptr || entry.version < *missing) continue;
    if (entry.version == *missing) {
      resumed.insert(entry.serial);
    } else if (!resumed.contains(entry.serial)) {
      return true;
    }
  }
  return false;
}

void Unwritten::NoteUnwritten(const std::vector<Entry>& batch) {
  for (const Entry& entry : batch) {
    if (entry.kind != EntryKind::kForget) unwritten_.Insert(entry.serial, entry.version);
  }
}

void Unwritten::NoteWritten(const std::vector<Entry>& batch) {
  if (unwritten_.empty()) return;
  for (const Entry& entry : batch) {
    if (entry.kind != EntryKind::kForget) unwritten_.Erase(entry.serial);
  }
}

void Unwritten::NoteNeverBegun(std::uint64_t serial) { never_begun_.Insert(serial, 1); }

const std::uint64_t* Unwritten::Marks::Find(std::uint64_t serial) const {
  const auto found = marks_.find(serial);
  return found == marks_.end() ? nullptr : &found->second.version;
}

void Unwritten::Marks::Insert(std::uint64_t serial, std::uint64_t version) {
  if (!marks_.emplace(serial, Mark{version, next_stamp_}).second) return;
  order_.emplace_back(serial, next_stamp_++);
  while (order_.size() > kMaxSerials) {
    const auto [oldest, stamp] = order_.front();
    order_.pop_front();
    const auto found = marks_.find(oldest);
    if (found != marks_.end() && found->second.stamp == stamp) marks_.erase(found);
  }
}

void Unwritten::Marks::Erase(std::uint64_t serial) {
  marks_.erase(serial);
  if (marks_.empty()) order_.clear();
}

}  // namespace assent::log
