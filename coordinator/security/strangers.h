#pragma once

// Which connections have had no call admitted yet. Known by the name that gRPC has for a peer,
// "ipv4:10.0.0.7:40112". So many as are added and neither admitted nor removed: whoever adds one
// removes it when it has ended.
//
// Thread-safety: from any thread.

#include <string>
#include <unordered_set>

#include <assent/thread_safety.h>

namespace assent::security {

class Strangers {
 public:
  // Before its first call.
  void Add(const std::string& peer) {
    const MutexLock lock(mutex_);
    peers_.insert(peer);
  }
  // One of its calls was admitted, or it has ended. One that is not there stays away: a call may
  // outlive its connection.
  void Remove(const std::string& peer) {
    const MutexLock lock(mutex_);
    peers_.erase(peer);
  }
  bool Has(const std::string& peer) const {
    const MutexLock lock(mutex_);
    return peers_.contains(peer);
  }

 private:
  mutable Mutex mutex_;
  std::unordered_set<std::string> peers_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::security
