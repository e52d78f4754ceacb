#pragma once

// Who waits for a participant that is away, and how they go on when it is back.
//
// Invariant: whoever could not send to a service stands in its room, once, until the service
// appears or something else happens to it; those who heard that nobody is there are counted, unless
// they are suspended.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "coordinator/core/types.h"
#include "coordinator/engine/live.h"
#include "coordinator/engine/ports.h"

namespace assent::engine {

class Waiting {
 public:
  explicit Waiting(const ShardOptions& options) : options_(options) {}

  // Lets it into the room of a service, or out of it, as its branches stand; or of every room that
  // it is in; or out of all.
  void Settle(Live& live, const std::string& service);
  void SettleAll(Live& live);
  void LeaveAll(Live& live);

  // The service is back: all in its room are to be told, wave by wave.
  void Appeared(const std::string& service, core::MonoTime now);
  // One who was told has an answer.
  void Answered(const std::string& service);
  // The next one that is to be told now, and of which service; nullptr: nobody.
  Live* Next(core::MonoTime now, std::string& service);
  core::MonoTime Wakeup(core::MonoTime now) const;
  // What was sent before may have found nobody just before somebody came.
  core::MonoTime appeared_at() const { return appeared_at_; }
  // Of each service, how many more (or fewer) wait since the last call.
  std::map<std::string, std::int64_t> TakeChanges() { return std::exchange(changes_, {}); }

 private:
  // A service has appeared, and these are still to be told of it: serials from, up to.
  struct Wave {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::size_t unanswered = 0;  // of those who were told, since the moment below
    core::MonoTime since{};
  };
  void Leave(Live& live, std::size_t parking);
  const ShardOptions& options_;
  Rooms rooms_;
  std::map<std::string, Wave> waves_;  // by service
  std::map<std::string, std::int64_t> changes_;
  core::MonoTime appeared_at_{};  // when any service last did
};

}  // namespace assent::engine
