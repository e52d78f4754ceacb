#pragma once

// Where a call for a transaction goes first, and where next. Pure.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/src/cluster_map.h"

namespace assent::internal {

// Does not change; the next one replaces it.
class Routes {
 public:
  // Nothing is known yet: the endpoints as they were given.
  explicit Routes(std::vector<std::string> seeds);
  // The members, then those seeds that are not said to have left.
  Routes(const std::vector<std::string>& seeds, ClusterMapPtr map,
         const std::vector<std::string>& left);

  std::size_t size() const { return endpoints_.size(); }
  const std::string& endpoint(std::size_t index) const { return endpoints_[index]; }
  bool Has(std::string_view endpoint) const;
  // The endpoints are known to be coordinators of one log: what may have been done at one of them
  // can be asked of another.
  bool shared() const { return map_ != nullptr; }
  // The index of choice `rank` < size(). The first is the owner, if it is known.
  std::size_t Choice(std::string_view gid, std::size_t rank) const;

 private:
  std::vector<std::string> endpoints_;
  ClusterMapPtr map_;
};
using RoutesPtr = std::shared_ptr<const Routes>;

// The endpoints that one call tries. Each of them once, then it should wait, and so on.
//
// Invariant: what may have been done at an endpoint is repeated there alone, until it is known who
// shares its log; anywhere else it might be done a second time.
class Tour {
 public:
  explicit Tour(std::string_view gid) : gid_(gid) {}

  const std::string& Next(const Routes& routes);
  // What Next has named last may have seen the call.
  void Contacted() { contacted_ = true; }
  // It has said who has the transaction.
  void Moved(std::string endpoint) { moved_ = std::move(endpoint); }
  // There is another one to be tried before waiting.
  bool MoreNow(const Routes& routes) const;
  // A wait is over: all of them may be tried again.
  void Rest() { tried_.clear(); }

 private:
  bool Tried(std::string_view endpoint) const;
  bool Bound(const Routes& routes) const { return contacted_ && !routes.shared(); }

  const std::string_view gid_;
  std::vector<std::string> tried_;
  std::string last_;
  std::string moved_;
  bool contacted_ = false;
};

}  // namespace assent::internal
