#pragma once

// What of a shard's work is told as events, and when.
//
// Invariant: nothing is told that is not durable. What is announced is; an end is told when it is
// in the log, which may be a moment after its initiator heard of it; and that a transaction needs a
// person, when nothing that has happened to it is still on its way to the log.

#include "coordinator/core/transaction.h"
#include "coordinator/engine/events.h"
#include "coordinator/engine/live.h"

namespace assent::engine {

class Teller {
 public:
  // nullptr: nobody is told.
  explicit Teller(Events* events) : events_(events) {}

  // Before the audience takes note of it.
  void Announced(const Live& live, const core::Announce& announce, core::WallTime now) const;
  // It may have begun to need a person, or ceased to. Whoever takes it up tells it anew.
  void Counted(Live& live, bool needs_person, const core::Now& now) const;
  // Its last write is durable.
  void Ended(const Live& live, core::WallTime now) const;

 private:
  Events* const events_;
};

}  // namespace assent::engine
