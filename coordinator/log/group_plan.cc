#include "coordinator/log/group_plan.h"

namespace assent::log {

Status OutOfTurn(const Entry& entry, const std::string& what) {
  return FailedPrecondition("transaction " + entry.gid + ", serial " +
                            std::to_string(entry.serial) + ", version " +
                            std::to_string(entry.version) + ": " + what);
}

Status GroupPlan::Add(const Entry& entry) {
  if (entry.serial == 0 || entry.serial > INT64_MAX) return OutOfTurn(entry, "no such serial");
  const bool begins = entry.kind == EntryKind::kBegin;
  if (begins != (entry.version == 1)) {
    return OutOfTurn(entry, "version 1 belongs to the beginning, and to nothing else");
  }
  const auto [at, is_new] = index_.try_emplace(entry.serial, writes_.size());
  if (is_new) {
    writes_.push_back({.serial = entry.serial,
                       .stored_version = entry.version - 1,
                       .begin = begins ? &entry : nullptr,
                       .last = &entry});
  } else {
    NetWrite& write = writes_[at->second];
    if (begins) return OutOfTurn(entry, "begins a second time");
    if (write.last->kind == EntryKind::kEnd) return OutOfTurn(entry, "has already ended");
    if (entry.version != write.last->version + 1) {
      return OutOfTurn(entry, "follows version " + std::to_string(write.last->version));
    }
    write.last = &entry;
  }
  if (entry.kind == EntryKind::kEnd) ended_gids_.insert(entry.gid);
  return OkStatus();
}

void GroupPlan::Clear() {
  writes_.clear();
  index_.clear();
  ended_gids_.clear();
}

}  // namespace assent::log
