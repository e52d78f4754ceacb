#pragma once

// Which coordinators a participant keeps a connection to. Pure.
//
// Invariant: each coordinator that is known and can be reached has one session, whatever names lead
// to it. The endpoints that were given are kept as long as nothing better is known.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "participant-sdk/cpp/src/cluster_map.h"

namespace assent::internal {

class Roster {
 public:
  // More of one cluster are not dialled.
  static constexpr std::size_t kMaxMembersCount = 32;

  // One coordinator's start. Epoch 0: of a log that it has alone, where nothing is known of others.
  struct Identity {
    std::uint32_t coordinator_id = 0;
    std::uint64_t epoch = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  struct Link {
    std::size_t id = 0;  // rising by age
    std::string endpoint;
    bool open = false;
    Identity who;  // while open
  };
  struct Plan {
    std::vector<std::string> dial;
    std::vector<std::size_t> stop;    // leads to a coordinator that has a session
    std::vector<std::size_t> retire;  // not to be dialled again when its session has ended
    std::vector<std::size_t> keep;    // to be dialled again
  };

  explicit Roster(const std::vector<std::string>& seeds);

  void SetMap(ClusterMapPtr map) { maps_[map->coordinator_id()] = std::move(map); }
  // `who` answers at `endpoint`.
  void Met(const std::string& endpoint, const Identity& who) { met_[endpoint] = who; }
  // What is to be done, the links being as they are, by id.
  Plan Decide(const std::vector<Link>& links);
  // How many coordinators share the log of the one that is expected at `endpoint`, as far as they
  // are dialled; 0: not known.
  std::size_t CountAt(const std::string& endpoint) const;

 private:
  std::vector<std::string> Wanted() const;
  // Who is to be expected there. Epoch 0: nobody can say.
  Identity Expected(const std::string& endpoint) const;
  bool IsMember(const Identity& who) const;
  bool IsMemberAddress(std::string_view endpoint) const;
  // It needs no session of its own, beside those of the links.
  bool Spare(const std::string& endpoint, const std::vector<Link>& links) const;

  std::vector<std::string> seeds_;
  std::map<std::uint32_t, ClusterMapPtr> maps_;
  std::map<std::string, Identity> met_;
};

}  // namespace assent::internal
