#include "coordinator/log/memory/memory_group.h"

#include <algorithm>
#include <optional>

#include "coordinator/log/group_plan.h"

namespace assent::log {

Status MemoryGroup::Apply(const Entry& entry, Status& refusal) {
  MemoryImage& image = of_.image;
  const auto finished = image.serial_of_gid.find(entry.gid);
  if (entry.kind == EntryKind::kForget) {
    if (finished == image.serial_of_gid.end()) {
      refusal = NotFound("no finished transaction " + entry.gid);
    } else {
      of_.delta.finished[finished->second] = std::nullopt;
      image.EraseFinished(finished->second);
    }
    return OkStatus();
  }
  if (entry.kind == EntryKind::kBegin && finished != image.serial_of_gid.end()) {
    refusal = AlreadyExists("transaction " + entry.gid + " has already finished");
    of_.never_begun.push_back(entry.serial);
    return OkStatus();
  }
  if (of_.unwritten.NeverBegun(entry.serial) ||
      std::find(of_.never_begun.begin(), of_.never_begun.end(), entry.serial) !=
          of_.never_begun.end()) {
    refusal = NotFound("transaction " + entry.gid + ", serial " + std::to_string(entry.serial) +
                       ": its beginning was refused");
    return OkStatus();
  }
  return ApplyToLive(entry, refusal);
}

Status MemoryGroup::ApplyToLive(const Entry& entry, Status& refusal) {
  MemoryImage& image = of_.image;
  const std::uint64_t serial = entry.serial;
  if (serial == 0 || serial > INT64_MAX) return OutOfTurn(entry, "no such serial");
  if (!of_.loaded.contains(entry.slot)) return OutOfTurn(entry, "its slot is not ours");
  if ((entry.kind == EntryKind::kBegin) != (entry.version == 1)) {
    return OutOfTurn(entry, "version 1 belongs to the beginning, and to nothing else");
  }
  if (entry.kind == EntryKind::kBegin) {
    if (serial < of_.serials_from) return OutOfTurn(entry, "the serial is of an earlier epoch");
    if (image.live.contains(serial) || image.finished.contains(serial)) {
      return OutOfTurn(entry, "there is a row with this serial");
    }
    image.live[serial] = {serial, 1, entry.gid, entry.spec, entry.state, entry.slot};
    of_.delta.live[serial] = image.live[serial];
    image.next_serial = std::max(image.next_serial, serial + 1);
    return OkStatus();
  }
  const auto found = image.live.find(serial);
  if (found == image.live.end() || found->second.version + 1 != entry.version) {
    return OutOfTurn(entry, "there is no unfinished row with the version before");
  }
  const bool ends = entry.kind == EntryKind::kEnd;
  if (ends && found->second.gid != entry.gid) return OutOfTurn(entry, "the row has another gid");
  const bool collides = ends && image.serial_of_gid.contains(entry.gid);
  if (!ends || collides) {
    found->second.version = entry.version;
    found->second.state = entry.state;
    of_.delta.live[serial] = found->second;
    if (collides)
      refusal =
          AlreadyExists("transaction " + entry.gid + " cannot end: a finished one has this gid");
    return OkStatus();
  }
  image.live.erase(found);
  of_.delta.live[serial] = std::nullopt;
  image.PutFinished(
      {serial, entry.gid, entry.spec, entry.state, entry.outcome, entry.finished_unix_ms});
  of_.delta.finished[serial] = image.finished[serial];
  return OkStatus();
}

}  // namespace assent::log
