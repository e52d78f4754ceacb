#pragma once

// What the store that they share does for the members of a cluster: who is in it, who has which
// slot, and the one way to take slots from somebody who does not answer. Each call is one local
// transaction, and what it returned OK for is durable.
//
// Single-threaded, one for each member. kUnavailable: the store does not answer; the call may have
// happened.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/cluster/view.h"

namespace assent::cluster {

// What a coordinator says of itself when it joins.
struct MemberCard {
  std::string node{};
  std::string address{};
  std::string version{};
  std::uint32_t lanes_count = 1;
};

struct Joined {
  std::uint64_t epoch = 0;
  std::uint32_t log_id = 0;
  std::uint64_t generation = 0;
  // Of this generation, rising, the newest log::kMaxEpochsCount; this one the last.
  std::vector<std::uint64_t> epochs;
  Slot slots_count = 0;      // of the log, for ever
  std::vector<Grant> slots;  // this member's from the start
};

// Who shall have a slot of a member that is fenced.
struct Heir {
  Slot slot = 0;
  std::uint64_t epoch = 0;
};

class MemberStore {
 public:
  virtual ~MemberStore() = default;

  // A new epoch. A member of the same node, which must have died, is fenced with it: its slots
  // become the newcomer's. So do those that no member has.
  virtual Result<Joined> Join(const MemberCard& card) = 0;
  // Shows that this member is there, and makes durable how far its serials may go.
  // kFailedPrecondition: its epoch is over. kDataLoss: the store has lost what it had acknowledged
  // to this member.
  virtual Status Beat() = 0;
  virtual Result<View> Look() = 0;

  enum class Fenced : std::uint8_t {
    kDone,
    kMoved,  // its beat went on, or somebody else was faster: look again
    kHeld,   // a group of it is in flight and does not end; its connections have been ended, if the
             // store can: try again
  };
  // Ends the epoch of `victim`, if its beat still is `seen_beat`, waits for its group in flight,
  // and gives those of its slots that are named to their heirs; all of it or nothing. A member that
  // goes and has slots does it to itself, when it writes no more. `asked`: if a person wants it.
  virtual Result<Fenced> Fence(std::uint64_t victim, std::uint64_t seen_beat,
                               const std::vector<Heir>& heirs, const Asked& asked) = 0;
  // Gives those slots to their heirs that no member has. Others stay.
  virtual Status Claim(const std::vector<Heir>& heirs) = 0;
  // Asks the owner to give these slots to `to`. Those for which a member asked already stay so.
  virtual Status Want(std::uint64_t owner, const std::vector<Slot>& slots, std::uint64_t to) = 0;
  // `asked`: without a name what was said before stands, as long as it is draining.
  virtual Status SetDraining(std::uint64_t epoch, bool draining, const Asked& asked) = 0;
  // Writes down that the slots are to be this node's (Pin), whatever was said of them before. An
  // empty name: nobody's.
  virtual Status SetPin(const std::vector<Slot>& slots, const std::string& node,
                        const Asked& asked) = 0;
  // The end of a member that has no slots any more.
  virtual Status Leave() = 0;
};

}  // namespace assent::cluster
