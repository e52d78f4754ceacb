#pragma once

// What the entries of one group do to the rows of an image in memory: who is refused, and what is
// taken for a second writer. The same for a log on one disk and for one that several share.

#include <cstdint>
#include <set>
#include <vector>

#include <assent/status.h>

#include "coordinator/log/memory/memory_disk.h"
#include "coordinator/log/unwritten.h"

namespace assent::log {

class MemoryGroup {
 public:
  // All of it outlives the group.
  struct Of {
    MemoryImage& image;
    MemoryDelta& delta;            // what has been changed
    const std::set<Slot>& loaded;  // of which rows may be written
    std::uint64_t serials_from;    // of what begins: an earlier epoch had those below
    const Unwritten& unwritten;
    std::vector<std::uint64_t>& never_begun;  // serials of the refused kBegins
  };
  explicit MemoryGroup(const Of& of) : of_(of) {}

  // Applies an entry, or refuses it alone. A failure is two writers' and leaves a mess.
  Status Apply(const Entry& entry, Status& refusal);

 private:
  Status ApplyToLive(const Entry& entry, Status& refusal);

  const Of of_;
};

}  // namespace assent::log
