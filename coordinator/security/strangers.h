#pragma once

// Which connections have had no call admitted yet. Known by the name that gRPC has for a peer,
// "ipv4:10.0.0.7:40112"; those of one user of a Unix socket have one name, "unix:1000", and each
// call that is admitted is one of all of them. So many as are added and neither admitted nor
// ended.
//
// Thread-safety: from any thread.

#include <cstddef>
#include <string>
#include <unordered_map>

#include <assent/thread_safety.h>

namespace assent::security {

class Strangers {
 public:
  // Before its first call.
  void Add(const std::string& peer) {
    const MutexLock lock(mutex_);
    ++peers_[peer];
  }
  // A call of such a name. One that is not there stays away: a call may outlive its connection.
  void Admitted(const std::string& peer) {
    const MutexLock lock(mutex_);
    peers_.erase(peer);
  }
  // One that was added.
  void Ended(const std::string& peer) {
    const MutexLock lock(mutex_);
    const auto found = peers_.find(peer);
    if (found != peers_.end() && --found->second == 0) peers_.erase(found);
  }
  bool Has(const std::string& peer) const {
    const MutexLock lock(mutex_);
    return peers_.contains(peer);
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::string, std::size_t> peers_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::security
