#pragma once

// Who asks, and what he may: what each door asks of each call. Holds the rules and tokens that are
// in force, which change while it is used.
//
// Thread-safety: all of it, from any thread; nothing waits.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/security/rules.h"
#include "coordinator/security/tokens.h"
#include "coordinator/security/witness.h"

namespace assent::security {

// Visitors whose grants are remembered; beyond it all are forgotten and looked up again.
inline constexpr std::size_t kMaxRememberedVisitorsCount = 4096;

struct Policy {
  Rules rules;
  Tokens tokens;
};

// What a connection and its call prove. Each kind is a field of its own and stands there as it
// came: which of it is a name, and which goes first, the guard alone says.
struct Proof {
  // Of its certificate, verified.
  std::vector<std::string> uris{};
  std::vector<std::string> dns_names{};
  std::string common_name{};
  // "Bearer …", or nothing.
  std::string_view authorization{};
  // It came by a Unix socket, whose mode says who gets that far.
  bool unix_socket = false;
  // The host that it comes from, as its door names it.
  std::string_view address{};
};

struct Visitor {
  // nullptr: nobody is known, or nobody is asked.
  std::shared_ptr<const std::string> name{};
  // nullptr: nobody is asked, and all may everything.
  GrantsPtr grants{};
};

class Guard {
 public:
  // Until then nobody is asked.
  void Enforce(Policy policy);
  bool enforces() const { return enforces_.load(std::memory_order_acquire); }

  // UNAUTHENTICATED: there is a token, and it is none. Of a certificate the first URI counts, if
  // there is none the first DNS name, then the common name; a token goes before all of them.
  Result<Visitor> Admit(const Proof& proof, std::int64_t now_unix_ms);

  // One whom another coordinator, which is allowed to, has admitted.
  Visitor Vouched(std::string name);

  struct Figures {
    std::uint64_t bad_tokens = 0;
    std::uint64_t expired_tokens = 0;
    std::uint64_t denied = 0;
  };
  Figures figures() const;
  std::size_t remembered_count() const {
    const MutexLock lock(mutex_);
    return remembered_.size();
  }
  // Who is told of what the doors see, from now on; nullptr: nobody. Outlives the doors.
  void SetWitness(Witness* witness) { witness_.store(witness, std::memory_order_release); }
  // For the record. Nobody waits for it.
  void Note(Sighting sighting) {
    Witness* const witness = witness_.load(std::memory_order_acquire);
    if (witness != nullptr) witness->Note(std::move(sighting));
  }
  void CountDenied() { denied_.fetch_add(1, std::memory_order_relaxed); }

 private:
  GrantsPtr GrantsFor(const std::shared_ptr<const Policy>& policy, const std::string& name);

  std::shared_ptr<const Policy> policy_;  // atomically
  std::atomic<bool> enforces_{false};     // what each call asks first; set behind the policy
  std::atomic<Witness*> witness_{nullptr};
  std::atomic<std::uint64_t> bad_tokens_{0};
  std::atomic<std::uint64_t> expired_tokens_{0};
  std::atomic<std::uint64_t> denied_{0};
  mutable Mutex mutex_;
  std::shared_ptr<const Policy> remembered_of_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, GrantsPtr, std::less<>> remembered_ ASSENT_GUARDED_BY(mutex_);
};

// Whether he may call this at all. UNAUTHENTICATED: nobody is known, and somebody would have to be.
Status CheckCall(const Visitor& visitor, Permission needs);

}  // namespace assent::security
