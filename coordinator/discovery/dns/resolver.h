#pragma once

// Asks the DNS for names, again and again: when what was told is no longer good (its TTL), when a
// look has failed, and when somebody has noticed that it may be wrong. One thread, by c-ares: the
// system's servers, search list and hosts file. https://c-ares.org

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/discovery/name.h"

namespace assent::discovery::dns {

// A name is asked for no more often, and no less often, whatever its TTL.
inline constexpr std::int64_t kMinLookIntervalMs = 1'000;
inline constexpr std::int64_t kMaxLookIntervalMs = 300'000;
// Of a TTL of 0, which the hosts file has too.
inline constexpr std::int64_t kUncachedLookIntervalMs = 5'000;
// After a failure: doubled up to the second.
inline constexpr std::int64_t kFirstRetryPauseMs = 1'000;
inline constexpr std::int64_t kMaxRetryPauseMs = 10'000;
// For each server, twice.
inline constexpr std::int64_t kServerTimeoutMs = 2'000;
// Of one name's SRV records.
inline constexpr std::size_t kMaxServiceRecordsCount = 64;

// When what was found is looked for again.
std::chrono::milliseconds IntervalOf(std::uint32_t ttl_seconds);

struct ResolverOptions {
  std::string servers;  // "HOST:PORT,…", in digits; empty: those of the system
};

class Resolver {
 public:
  // Of names[number]; by its thread.
  using Told = std::function<void(std::size_t number, Result<std::vector<Place>> found)>;

  // kUnavailable: the settings of the system cannot be read; kInvalidArgument: the servers are
  // none.
  static Result<std::unique_ptr<Resolver>> Open(ResolverOptions options, std::vector<Name> names,
                                                Told told);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Once.
  void Start();
  // Nothing is told any more when it returns.
  void Stop();
  // What was told of it may be wrong: somebody is not where it says. Any thread.
  void LookAgain(std::size_t number);

 private:
  struct Impl;
  explicit Resolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::discovery::dns
