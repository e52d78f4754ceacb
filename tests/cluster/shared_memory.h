#pragma once

// A MemberStore in memory: what the members of one cluster share, and one member's way to it.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordinator/cluster/member_store.h"

namespace assent::cluster {

// What they share. A test looks into it, and plays the engines, which give slots up.
struct SharedMemory {
  explicit SharedMemory(Slot slots_count) : slots(slots_count) {}

  std::map<std::uint64_t, Member> members;  // that have not ended
  std::map<std::uint64_t, Departed> ended;
  std::vector<SlotRow> slots;
  std::map<Slot, Pin> pins;  // of one slot each
  std::uint64_t starts = 0;
  std::uint64_t changes = 0;
  std::uint64_t fences = 0;
  std::set<std::uint64_t> held;  // members with a group in flight that does not end
  bool held_for_good = false;    // although its connections were ended
  bool down = false;
  bool full = false;

  bool Has(std::uint64_t epoch) const { return members.count(epoch) > 0; }
  std::vector<Slot> SlotsOf(std::uint64_t owner) const;
  void Give(Slot slot, std::uint64_t to);
  // The owner's engine has given the slot up. False: nobody wants it.
  bool Release(Slot slot);
};

class SharedMemoryStore : public MemberStore {
 public:
  explicit SharedMemoryStore(SharedMemory& shared) : shared_(shared) {}

  Result<Joined> Join(const MemberCard& card) override;
  Status Beat() override;
  Result<View> Look() override;
  Result<Fenced> Fence(std::uint64_t victim, std::uint64_t seen_beat,
                       const std::vector<Heir>& heirs, const Asked& asked) override;
  Status Claim(const std::vector<Heir>& heirs) override;
  Status Want(std::uint64_t owner, const std::vector<Slot>& slots, std::uint64_t to) override;
  Status SetDraining(std::uint64_t epoch, bool draining, const Asked& asked) override;
  Status SetPin(const std::vector<Slot>& slots, const std::string& node,
                const Asked& asked) override;
  Status Leave() override;

  bool cut = false;  // this member does not reach the store
  Status beat_says;  // if not OK: what the next beats hear
  std::uint64_t epoch() const { return epoch_; }

 private:
  Status Reach() const;
  void End(std::uint64_t epoch, std::uint64_t by, const Asked& asked = {});

  SharedMemory& shared_;
  std::uint64_t epoch_ = 0;
};

}  // namespace assent::cluster
