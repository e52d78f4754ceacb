#pragma once

// How one service is treated: who of its instances is next, what a failure means, and how much it
// gets. Plain values. Whatever is said here only paces: nothing of it turns an unknown into a no.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core/types.h"

namespace assent::traffic {

enum class Select : std::uint8_t {
  kRoundRobin,     // who was used longest ago
  kRandom,         // any
  kWeighted,       // in proportion to their weights, evenly mixed
  kLeastInFlight,  // of two at random, the one with less under way
  kHash,           // the same for the same gid or header, as long as it is there
};

// What "not now" (RETRY_LATER) of one instance means.
enum class NotNow : std::uint8_t {
  kWait,  // the transaction asks again, later
  kNext,  // another instance is asked at once, if there is one with room
};

// What nobody being there means for a branch of which nothing was sent yet.
enum class Absence : std::uint8_t {
  kWait,    // it waits until somebody is, or its deadline
  kRefuse,  // the branch is refused at once, and its transaction aborts
};

struct BreakerSettings {
  bool on = false;
  // Over all instances of the service together too: where a half of them is sick, the sound ones
  // are left alone with them.
  bool of_service = false;
  // Opens when so many of a hundred calls of the window have failed: they got no reply.
  unsigned failure_percent = 50;
  // Or were slower than `slow`; 0: slowness does not matter.
  unsigned slow_percent = 0;
  core::Millis slow{1'000};
  core::Millis window{10'000};
  // Fewer calls in the window prove nothing.
  unsigned min_calls_count = 20;
  // How long it stays open before it is tried.
  core::Millis open{2'000};
  // Calls that try it, all of which have to succeed.
  unsigned probes_count = 3;

  bool operator==(const BreakerSettings&) const = default;
};

struct LimitSettings {
  // Commands under way at one instance; 0: what the instance, or --unary-max-in-flight, says.
  std::size_t concurrency = 0;
  // Less than that where more only makes each take longer.
  bool adaptive = false;
  // Who comes, or comes back, begins with so many, which doubles with each round of answers; 0: all
  // at once.
  std::size_t slow_start = 0;

  bool operator==(const LimitSettings&) const = default;
};

struct Policy {
  Select select = Select::kRoundRobin;
  std::string hash_header;  // empty: the gid
  // Addresses, or names of instances, that begin so are near: they get everything as long as one of
  // them has room. Empty: all are alike.
  std::vector<std::string> near;
  // Of instances, by name or address; without: 1. 0: only when nobody else has room.
  std::map<std::string, unsigned> weights;
  NotNow not_now = NotNow::kWait;
  Absence absence = Absence::kWait;
  // A command that has had no answer for so long is sent to a second instance too; 0: never.
  core::Millis hedge_after{0};
  BreakerSettings breaker;
  LimitSettings limit;
  // Commands a second, of the service; 0: as many as there are.
  unsigned rate_per_second = 0;
  // Of a hundred answered commands so many may be asked again after an unknown end, and ten a
  // second besides; 0: there is no budget.
  unsigned retry_percent = 0;

  bool operator==(const Policy&) const = default;
  unsigned WeightOf(const std::string& instance, const std::string& address) const;
  bool IsNear(const std::string& instance, const std::string& address) const;
};

// By service; who is not named has the one for all.
struct Policies {
  Policy all;
  std::map<std::string, Policy> by_service;

  bool operator==(const Policies&) const = default;
  const Policy& Of(const std::string& service) const;
};

}  // namespace assent::traffic
