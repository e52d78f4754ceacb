#pragma once

// What the log says of the cluster: who comes and goes, which slots change hands and why, what
// operators have asked for. A line each, so that whoever looks for one member's story finds it with
// each of the others.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <assent/slot.h>
#include <assent/thread_safety.h>

#include "coordinator/cluster/view.h"
#include "coordinator/engine/engine.h"

namespace assent::daemon {

// Thread-safety: all of it, from any thread.
class ClusterLog {
 public:
  using Say = std::function<void(const std::string& line)>;

  // Empty: the daemon's log.
  explicit ClusterLog(Say say = {});

  // With each look, before anybody else hears of it. `self`: this coordinator's epoch.
  void SetView(cluster::ViewPtr view, std::uint64_t self) ASSENT_EXCLUDES(mutex_);
  // Slots that are served here from now on; loading them took so long.
  void TakenUp(const std::vector<engine::TakenUp>& slots, std::chrono::microseconds took)
      ASSENT_EXCLUDES(mutex_);
  void Asked(const std::string& what, const std::string& who, const std::string& reason);

 private:
  // From whom a slot came: a node, and the end of a sentence.
  struct Source {
    std::string node{};
    std::string why{};
    friend auto operator<=>(const Source&, const Source&) = default;
  };

  static Source SourceOf(const cluster::View& before, const cluster::View& now, std::int64_t now_ms,
                         std::uint64_t from);
  void NoteMembers(const cluster::View& before, const cluster::View& now, std::int64_t now_ms);
  void NoteSlots(const cluster::View& before, const cluster::View& now, std::int64_t now_ms,
                 std::uint64_t self) ASSENT_REQUIRES(mutex_);

  const Say say_;
  Mutex mutex_;
  cluster::ViewPtr latest_ ASSENT_GUARDED_BY(mutex_);
  std::map<Slot, Source> sources_ ASSENT_GUARDED_BY(mutex_);  // of this coordinator's slots
};

}  // namespace assent::daemon
