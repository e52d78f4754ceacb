#pragma once

// etcd itself, by its API of version 3. The only place here that sees gRPC.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "coordinator/discovery/etcd/store.h"

namespace grpc {
class ChannelCredentials;
}

namespace assent::discovery::etcd {

// Keys that are read of one prefix.
inline constexpr std::int64_t kMaxKeysOfPrefixCount = 1024;
// Of one answer: more is a failure.
inline constexpr std::size_t kMaxAnswerBytes = std::size_t{8} << 20;
// For each call, but for a watch.
inline constexpr std::int64_t kCallTimeoutMs = 5'000;
// A connection on which nothing comes is probed so often, and given up without an answer.
// etcd refuses those who probe more than once in 5 s.
inline constexpr std::int64_t kProbeIntervalMs = 10'000;
inline constexpr std::int64_t kProbeTimeoutMs = 5'000;

struct Access {
  // nullptr: without TLS.
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};
  std::string user = {};  // empty: nobody in particular
  std::string password = {};
};

// `endpoint`: "HOST:PORT". It is dialled with the first call.
std::unique_ptr<Store> DialStore(const std::string& endpoint, Access access);

}  // namespace assent::discovery::etcd
