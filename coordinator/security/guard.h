#pragma once

// Who asks, and what he may: what each door asks of each call. Holds the rules and tokens that are
// in force, which change while it is used.
//
// Thread-safety: all of it, from any thread; nothing waits.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/security/failures.h"
#include "coordinator/security/jwt.h"
#include "coordinator/security/rules.h"
#include "coordinator/security/standing.h"
#include "coordinator/security/strangers.h"
#include "coordinator/security/tokens.h"
#include "coordinator/security/verified.h"
#include "coordinator/security/witness.h"

namespace assent::security {

// Visitors whose grants are remembered; beyond it all are forgotten and looked up again.
inline constexpr std::size_t kMaxRememberedVisitorsCount = 4096;

struct Policy {
  Rules rules{};
  Tokens tokens{};
  JwtVerifier jwts{};
  // Wrong credentials of an address in a window of time, before it is barred; 0: it never is.
  std::size_t max_failures_count = kMaxFailuresPerWindowCount;
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
  // The uid, in decimal, of who came by a Unix socket, as the kernel tells it.
  std::string_view unix_uid{};
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
  // RESOURCE_EXHAUSTED: too many that were none came from this address, and this one was not looked
  // at; one that was found right before is let in nevertheless.
  Result<Visitor> Admit(const Proof& proof, std::int64_t now_unix_ms);
  // Of one who was let in with it, and stays: what is in force now counts, and the time. It is
  // looked at wherever it comes from, and is nobody's failure.
  Result<Visitor> AdmitAgain(const Proof& proof, std::int64_t now_unix_ms);
  // Those who stay.
  Standing& standing() { return standing_; }
  // How long yet; 0: it is not so.
  std::int64_t BarredForMs(std::string_view address, std::int64_t now_unix_ms) const;

  // One whom another coordinator, which is allowed to, has admitted; "anyone": without knowing him.
  Visitor Vouched(std::string name);

  struct Figures {
    std::uint64_t bad_tokens = 0;
    std::uint64_t bad_jwts = 0;
    std::uint64_t expired = 0;  // of both
    std::uint64_t denied = 0;
    std::uint64_t barred = 0;  // not looked at
    // Beyond an identity's limits: requests in a second, and by Seated.
    std::uint64_t refused_requests = 0;
    std::array<std::uint64_t, Refusals::kSeatedCount> refused_seats{};
  };
  Figures figures() const;
  std::size_t BarredCount(std::int64_t now_unix_ms) const;
  // Credentials that were none since this was asked last: how many, and of the last of them where
  // it came from and what was wrong, without a word of what was shown. Nothing: there were none.
  struct Failed {
    std::uint64_t count = 0;
    std::string address{};
    std::string why{};
  };
  std::optional<Failed> TakeFailed();
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
  // Of whoever accepts connections; the door of gRPC removes those that it admits.
  Strangers& strangers() { return strangers_; }
  void CountDenied() { denied_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Result<Visitor> Admit(const Proof& proof, std::int64_t now_unix_ms, bool again);
  // Whose the credential is.
  Result<std::string> NameOfShown(const std::shared_ptr<const Policy>& policy, const Proof& proof,
                                  std::int64_t now_unix_ms, bool again);
  // Counts it, and says what is wrong.
  Result<Verified::Credential> Check(const Policy& policy, std::string_view authorization,
                                     std::int64_t now_unix_ms);
  Result<Verified::Credential> CheckToken(const Policy& policy, std::string_view token,
                                          std::int64_t now_unix_ms);
  Visitor VisitorOf(const std::shared_ptr<const Policy>& policy, std::string name);
  GrantsPtr GrantsFor(const std::shared_ptr<const Policy>& policy, const std::string& name);

  std::shared_ptr<const Policy> policy_;  // atomically
  std::atomic<bool> enforces_{false};     // what each call asks first; set behind the policy
  std::atomic<Witness*> witness_{nullptr};
  Strangers strangers_;
  Verified verified_;
  Failures failures_;
  Accounts accounts_;  // outlive what is remembered, and a reload
  std::atomic<std::uint64_t> bad_tokens_{0};
  std::atomic<std::uint64_t> bad_jwts_{0};
  std::atomic<std::uint64_t> expired_{0};
  std::atomic<std::uint64_t> denied_{0};
  std::atomic<std::uint64_t> barred_{0};
  mutable Mutex mutex_;
  std::shared_ptr<const Policy> remembered_of_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, GrantsPtr, std::less<>> remembered_ ASSENT_GUARDED_BY(mutex_);
  Failed failed_ ASSENT_GUARDED_BY(mutex_);
  Standing standing_;  // last: what it asks, asks the rest
};

// One who stays, and began with `then`: OK as long as `now` gives all that `then` gave, but for the
// services and gids of an initiator and a participant, which are asked where they matter. What is
// less ends what stays: who comes again is looked at as he is now.
Status CheckStay(const std::string& name, const Grants& now, const Grants& then);

// Whether he may call this at all. UNAUTHENTICATED: nobody is known, and somebody would have to be.
Status CheckCall(const Visitor& visitor, Permission needs);

}  // namespace assent::security
