#pragma once

// What the members of a cluster can see of it: who is in it, and who has which slot. A value, read
// in one snapshot from the store that they share.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/slot.h>

namespace assent::cluster {

// That a person has asked for something: who, why and when. Without a name: nobody has.
struct Asked {
  std::string who{};
  std::string reason{};
  std::int64_t unix_ms = 0;  // by the clock of the coordinator that was asked

  explicit operator bool() const { return !who.empty(); }
  friend bool operator==(const Asked&, const Asked&) = default;
};

// One start of one coordinator, from its joining until it has left or was fenced.
struct Member {
  std::uint64_t epoch = 0;
  std::string node{};      // its name, the same at each start; one member has it at a time
  std::string address{};   // where initiators, participants and the other members reach it
  std::string version{};   // of its program
  std::uint64_t beat = 0;  // one more whenever it shows that it is there
  bool draining = false;   // gives its slots away, and takes none
  Asked drain{};           // if it is, and a person has asked for it
};

// The last start of a coordinator that has ended, and has not come back under its name.
struct Departed {
  std::uint64_t epoch = 0;
  std::string node{};
  std::string address{};
  std::string version{};
  bool in_order = false;               // it ended itself, when it wrote no more
  std::string ended_by{};              // else whose name ended it; empty: it is not known any more
  Asked fence{};                       // if a person has asked for that
  std::int64_t last_beat_unix_ms = 0;  // by its own clock
};

struct SlotRow {
  std::uint64_t owner = 0;       // an epoch; 0: nobody had it yet
  std::uint64_t slot_epoch = 0;  // one more with each owner
  std::uint64_t wanted = 0;      // the epoch to which its owner shall give it; 0: it stays
  // Its owner's serials begin behind this moment (SlotTable in log/postgresql).
  std::int64_t serial_floor_ms = 0;
};

// A slot, how often it has changed hands, and where its owner's serials begin.
struct Grant {
  Slot slot = 0;
  std::uint64_t slot_epoch = 0;
  std::int64_t serial_floor_ms = 0;
  friend bool operator==(const Grant&, const Grant&) = default;
};

// Slots that a person has moved at one time. They are the node's whenever it is there and takes
// slots, whatever else would be even, until a person says otherwise.
struct Pin {
  std::string node{};
  Asked by{};
  std::vector<Slot> slots{};  // rising
};

struct View {
  // Rises with each change of members or owners; beats alone leave it as it is.
  std::uint64_t version = 0;
  std::uint64_t generation = 0;      // of the store
  std::vector<Member> members;       // rising by epoch, none that has ended
  std::vector<SlotRow> slots;        // by slot
  std::vector<Departed> departed{};  // rising by epoch; of the newest ones, for people
  std::vector<Pin> pins{};           // no slot is in two

  const Member* Find(std::uint64_t epoch) const {
    const auto at = std::lower_bound(
        members.begin(), members.end(), epoch,
        [](const Member& member, std::uint64_t wanted) { return member.epoch < wanted; });
    return at == members.end() || at->epoch != epoch ? nullptr : &*at;
  }
  std::vector<Slot> SlotsOf(std::uint64_t owner) const {
    std::vector<Slot> theirs;
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
      if (slots[slot].owner == owner) theirs.push_back(static_cast<Slot>(slot));
    }
    return theirs;
  }
  // nullptr: nobody, until somebody takes the slot over.
  const Member* OwnerOf(std::string_view gid) const {
    return Find(slots[SlotOf(gid, static_cast<Slot>(slots.size()))].owner);
  }
};
using ViewPtr = std::shared_ptr<const View>;

}  // namespace assent::cluster
