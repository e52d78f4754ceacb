#pragma once

// Watches prefixes of etcd: each is listed, and listed again when something under it changes. The
// watch is a bell alone, so that nothing is lost with it: not by a revision that was compacted
// away, and not by a member that was cut off from the others.
//
// One endpoint is asked at a time. Who fails is followed by the next; that nobody answers is told
// when all have been asked, and they are asked again after a pause.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/discovery/etcd/store.h"
#include "coordinator/discovery/name.h"

namespace assent::discovery::etcd {

// A prefix is listed no more often, whatever changes under it, and no less often: a bell may be
// broken.
inline constexpr std::int64_t kMinListIntervalMs = 1'000;
inline constexpr std::int64_t kMaxListIntervalMs = 60'000;
// When all endpoints have failed: doubled up to the second. Who served for as long is no failure.
inline constexpr std::int64_t kFirstPauseMs = 1'000;
inline constexpr std::int64_t kMaxPauseMs = 10'000;

class Resolver {
 public:
  // Of names[number], by a thread of its own; `left_out`: what was of no use, in words.
  using Told = std::function<void(std::size_t number, Result<std::vector<Place>> found,
                                  const std::string& left_out)>;

  // There is an endpoint.
  Resolver(std::vector<std::string> endpoints, Dial dial, std::vector<Name> names, Told told);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Once.
  void Start();
  // Nothing is told any more when it returns.
  void Stop();
  // What was told of it may be wrong. Any thread.
  void LookAgain(std::size_t number);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::discovery::etcd
