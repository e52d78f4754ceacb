#pragma once

// Who is next, of the instances of one kind. Values in, values out: a chooser knows those that have
// joined, and which of them have room.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string_view>

#include "coordinator/traffic/policy.h"

namespace assent::traffic {

// What a chooser knows of an instance, which is the caller's.
struct Candidate {
  std::uint64_t id = 0;    // no other's
  std::uint64_t name = 0;  // HashOf what it is called: the same when it comes back
  unsigned weight = 1;
  std::size_t in_flight = 0;
  std::uint64_t last_used = 0;  // counts commands

  // The chooser's own.
  bool free = false;
  double pass = 0;
  std::size_t index = 0;
  std::list<Candidate*>::iterator spot;
};

class Chooser {
 public:
  // The lower the rank, the better: choices of several choosers of one kind can be compared.
  struct Choice {
    Candidate* who = nullptr;
    double rank = 0;
  };
  // `random`: the next of its numbers, which the choosers of one dispatcher share.
  static std::unique_ptr<Chooser> Make(Select select, std::uint64_t& random);
  virtual ~Chooser() = default;

  // It is there; it has no room yet.
  virtual void Join(Candidate& candidate) { (void)candidate; }
  virtual void Leave(Candidate& candidate) { (void)candidate; }
  // It has room, or has none any more.
  virtual void SetFree(Candidate& candidate, bool free) = 0;
  // It gets a command; `last_used` is new.
  virtual void Used(Candidate& candidate) { (void)candidate; }
  // For `key`, which only a hash looks at. Nobody: none has room.
  virtual Choice Choose(std::uint64_t key) = 0;
};

// The same in each process, and for ever: FNV-1a, 64 bits, whose bits are then mixed.
std::uint64_t HashOf(std::string_view text);

}  // namespace assent::traffic
