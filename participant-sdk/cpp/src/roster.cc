#include "participant-sdk/cpp/src/roster.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assent::internal {
namespace {

bool Holds(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

template <typename Visit>
void EachMember(const ClusterMap& map, const Visit& visit) {
  const std::size_t count = std::min(map.members().size(), Roster::kMaxMembersCount);
  for (std::size_t i = 0; i < count; ++i) visit(map.members()[i]);
}

}  // namespace

Roster::Roster(const std::vector<std::string>& seeds) {
  for (const std::string& seed : seeds) {
    if (!Holds(seeds_, seed)) seeds_.push_back(seed);
  }
}

std::size_t Roster::CountAt(const std::string& endpoint) const {
  const Identity expected = Expected(endpoint);
  const auto map = expected.epoch == 0 ? maps_.end() : maps_.find(expected.coordinator_id);
  if (map == maps_.end()) return 0;
  return std::min(map->second->members().size(), kMaxMembersCount);
}

std::vector<std::string> Roster::Wanted() const {
  std::vector<std::string> all = seeds_;
  for (const auto& [log, map] : maps_) {
    EachMember(*map, [&](const ClusterMap::Member& member) {
      if (!Holds(all, member.address)) all.push_back(member.address);
    });
  }
  return all;
}

Roster::Identity Roster::Expected(const std::string& endpoint) const {
  Identity expected;
  for (const auto& [log, map] : maps_) {
    EachMember(*map, [&, id = log](const ClusterMap::Member& member) {
      if (member.address == endpoint) expected = {id, member.epoch};
    });
  }
  if (expected.epoch != 0) return expected;
  const auto met = met_.find(endpoint);
  return met == met_.end() ? expected : met->second;
}

bool Roster::IsMember(const Identity& who) const {
  const auto map = maps_.find(who.coordinator_id);
  if (map == maps_.end()) return true;  // nobody has said otherwise
  const auto& members = map->second->members();
  return std::any_of(members.begin(), members.end(),
                     [&](const ClusterMap::Member& member) { return member.epoch == who.epoch; });
}

bool Roster::IsMemberAddress(std::string_view endpoint) const {
  return std::any_of(maps_.begin(), maps_.end(),
                     [&](const auto& map) { return map.second->Has(endpoint); });
}

bool Roster::Spare(const std::string& endpoint, const std::vector<Link>& links) const {
  const Identity expected = Expected(endpoint);
  if (expected.epoch == 0) return false;
  const bool left = !IsMember(expected) && !IsMemberAddress(endpoint);
  return std::any_of(links.begin(), links.end(), [&](const Link& link) {
    if (!link.open || link.endpoint == endpoint) return false;
    return link.who == expected || (left && link.who.coordinator_id == expected.coordinator_id);
  });
}

Roster::Plan Roster::Decide(const std::vector<Link>& links) {
  Plan plan;
  const std::vector<std::string> wanted = Wanted();
  std::erase_if(met_, [&](const auto& met) { return !Holds(wanted, met.first); });
  for (const Link& link : links) {
    const bool doubled = link.open && link.who.epoch != 0 &&
                         std::any_of(links.begin(), links.end(), [&](const Link& other) {
                           return other.open && other.who == link.who && other.id < link.id;
                         });
    const bool spare = !link.open && Spare(link.endpoint, links);
    if (doubled || spare) {
      plan.stop.push_back(link.id);
    } else if (!Holds(wanted, link.endpoint) || Spare(link.endpoint, links)) {
      plan.retire.push_back(link.id);
    } else {
      plan.keep.push_back(link.id);
    }
  }
  for (const std::string& endpoint : wanted) {
    const bool linked = std::any_of(links.begin(), links.end(),
                                    [&](const Link& link) { return link.endpoint == endpoint; });
    if (!linked && !Spare(endpoint, links)) plan.dial.push_back(endpoint);
  }
  return plan;
}

}  // namespace assent::internal
