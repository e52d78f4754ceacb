#pragma once

// Which connections have had a call admitted: the others are strangers'. Known by the name that
// gRPC has for a peer, "ipv4:10.0.0.7:40112".
//
// Thread-safety: from any thread.

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <unordered_set>

#include <assent/thread_safety.h>

namespace assent::security {

class Admitted {
 public:
  // At each call that is admitted. One that is noted twice is there once.
  void Note(const std::string& peer) {
    Part& part = PartOf(peer);
    const MutexLock lock(part.mutex);
    part.peers.insert(peer);
  }
  bool Has(const std::string& peer) {
    Part& part = PartOf(peer);
    const MutexLock lock(part.mutex);
    return part.peers.contains(peer);
  }
  // Its connection has ended: the name may be somebody else's next.
  void Forget(const std::string& peer) {
    Part& part = PartOf(peer);
    const MutexLock lock(part.mutex);
    part.peers.erase(peer);
  }

 private:
  // So that callers on many threads seldom meet.
  static constexpr std::size_t kPartsCount = 16;
  struct Part {
    Mutex mutex;
    std::unordered_set<std::string> peers ASSENT_GUARDED_BY(mutex);
  };
  Part& PartOf(const std::string& peer) {
    return parts_.at(std::hash<std::string>{}(peer) % kPartsCount);
  }

  std::array<Part, kPartsCount> parts_{};
};

}  // namespace assent::security
