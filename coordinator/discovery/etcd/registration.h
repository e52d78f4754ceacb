#pragma once

// Says in etcd where somebody is, for as long as he is there: a key under a lease, which is renewed
// again and again. Who is killed is gone with the lease; what etcd has lost is said again.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/discovery/etcd/store.h"

namespace assent::discovery::etcd {

// What is not renewed for so long is gone.
inline constexpr std::int64_t kRegistrationSeconds = 15;
inline constexpr std::int64_t kRenewIntervalMs = 5'000;
// A stop waits so long for etcd, which forgets it anyway.
inline constexpr std::int64_t kLeavePatienceMs = 2'000;
// When all endpoints have failed.
inline constexpr std::int64_t kRegisterPauseMs = 1'000;

class Registration {
 public:
  // By a thread of its own, when it is registered, and when it cannot be: why; of the same reason
  // once.
  using Told = std::function<void(const Status& registered)>;

  // There is an endpoint.
  Registration(std::vector<std::string> endpoints, Dial dial, std::string key, std::string value,
               Told told);
  ~Registration();
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  // Once.
  void Start();
  // Takes it back, and does not wait for that.
  void Leave();
  // Once that is done, or etcd does not answer. Nothing is told any more when it returns.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::discovery::etcd
