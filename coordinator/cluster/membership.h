#pragma once

// The rules of a cluster, as one member follows them: from what it sees of the others it decides
// whom to fence, what to ask for, and what it has gained. Values in, values out: who looks, and
// when, and who does what is decided, is observer.h.
//
// Wrong suspicion costs a member its epoch, and never more: what keeps two from owning a slot is
// the fence in the store.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <assent/slot.h>

#include "coordinator/cluster/member_store.h"
#include "coordinator/cluster/view.h"

namespace assent::cluster {

// Of a clock that only runs forward; never another member's.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds>;
// Long past, and not so far that a finer unit cannot say it.
inline constexpr MonoTime kAtOnce{};

struct Fencing {
  std::uint64_t victim = 0;
  std::uint64_t seen_beat = 0;
  std::vector<Heir> heirs;
};

struct Wanting {
  std::uint64_t owner = 0;
  std::vector<Slot> slots;
};

struct Decision {
  bool over = false;  // this member has been fenced; nothing else counts
  // For the engine.
  std::vector<Grant> assigned;  // new to this member; or had already, and their epochs have risen
  std::vector<Slot> wanted;     // another asks for them, since the last look
  // For the store, in this order.
  std::vector<Fencing> fencings;
  std::vector<Heir> claim;
  std::vector<Wanting> wantings;  // for this member
  bool leave = false;             // it is draining, and has no slots any more
};

class Membership {
 public:
  // A member is silent when its beat has not moved over so many successful looks that span its
  // lease; with a broken line to it, this shorter one.
  static constexpr int kSilentLooks = 4;
  static constexpr std::chrono::microseconds kBrokenLease = std::chrono::seconds(1);
  static constexpr int kLooksPerLease = 6;

  // `held`: this member's slots from the start.
  Membership(std::uint64_t self, std::chrono::microseconds lease, const std::vector<Grant>& held);

  // What was read, by a look that was sent at `asked` and answered at `answered`.
  Decision OnView(const View& view, MonoTime asked, MonoTime answered);

  // The line to a member broke and cannot be made again; or stands.
  void OnLineBroken(std::uint64_t epoch) { broken_.insert(epoch); }
  void OnLineMended(std::uint64_t epoch) { broken_.erase(epoch); }
  // A slot that was wanted could not be given up: nobody wants it any more. If it is still this
  // member's, it is assigned again.
  void OnKept(Slot slot);

  std::uint64_t self() const { return self_; }
  // When to look again after a look that was sent at `asked`: not later than when a lease ends.
  MonoTime NextLook(MonoTime asked) const;
  std::chrono::microseconds BeatEvery() const { return lease_ / kLooksPerLease; }

 private:
  std::chrono::microseconds LookEvery() const;
  struct Seen {
    std::uint64_t beat = 0;
    MonoTime since;  // its beat is this one at least so long; or when its lease begins
    int looks = 0;   // that saw it unchanged since
  };

  std::chrono::microseconds LeaseOf(std::uint64_t epoch) const;
  void Observe(const View& view, MonoTime answered);
  bool IsSilent(std::uint64_t epoch, MonoTime asked) const;
  void DecideOnOwn(const View& view, Decision& decision);

  const std::uint64_t self_;
  const std::chrono::microseconds lease_;
  std::optional<MonoTime> last_answered_;
  std::map<std::uint64_t, Seen> seen_;
  std::set<std::uint64_t> broken_;
  std::map<Slot, std::uint64_t> told_assigned_;  // the slot epochs
  std::map<Slot, std::uint64_t> told_wanted_;    // likewise
};

}  // namespace assent::cluster
