#pragma once

// What scripted coordinators that share a log say of each other: one map for all of them, told to
// whoever watches, and again whenever it changes. With nobody in it each is alone with its log.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "assent/v1/cluster.pb.h"

namespace assent::contract {

// Thread-safe.
class ClusterMap {
 public:
  struct Member {
    std::string address;
    std::uint64_t epoch = 0;
  };
  // From now on these are the members; the first has all slots. None: each coordinator is alone.
  void Show(const std::vector<Member>& members);
  v1::ClusterView view() const;
  // Of one that starts: no two have the same.
  std::uint64_t NewEpoch();

 private:
  mutable Mutex mutex_;
  std::uint64_t version_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t epoch_ ASSENT_GUARDED_BY(mutex_) = 1000;
  v1::ClusterView view_ ASSENT_GUARDED_BY(mutex_);
};

// ClusterService over a map, which it borrows.
std::unique_ptr<grpc::Service> NewClusterService(const ClusterMap& map);

}  // namespace assent::contract
