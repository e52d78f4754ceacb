#pragma once

// Which connections have had no call admitted yet. Known by the name that gRPC has for a peer,
// "ipv4:10.0.0.7:40112"; those of one user of a Unix socket have one name, "unix:1000", and each
// call that is admitted is one of all of them. So many as are added and neither admitted nor
// ended.
//
// Thread-safety: from any thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include <assent/thread_safety.h>

namespace assent::security {

class Strangers {
 public:
  // Before its first call. What is to be said of it later: of one name there may be some that are
  // known, and one that has come since.
  std::uint64_t Add(const std::string& peer) {
    const MutexLock lock(mutex_);
    const auto [at, is_new] = peers_.try_emplace(peer);
    if (is_new) at->second.since = ++last_;
    ++at->second.count;
    return at->second.since;
  }
  // A call of such a name. One that is not there stays away: a call may outlive its connection.
  void Admitted(const std::string& peer) {
    const MutexLock lock(mutex_);
    peers_.erase(peer);
  }
  // One that was added.
  void Ended(const std::string& peer, std::uint64_t since) {
    const MutexLock lock(mutex_);
    const auto found = peers_.find(peer);
    if (found == peers_.end() || found->second.since != since) return;
    if (--found->second.count == 0) peers_.erase(found);
  }
  bool Has(const std::string& peer, std::uint64_t since) const {
    const MutexLock lock(mutex_);
    const auto found = peers_.find(peer);
    return found != peers_.end() && found->second.since == since;
  }

 private:
  struct Peer {
    std::uint64_t since = 0;
    std::size_t count = 0;
  };
  mutable Mutex mutex_;
  std::unordered_map<std::string, Peer> peers_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t last_ ASSENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace assent::security
