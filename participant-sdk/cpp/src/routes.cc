#include "participant-sdk/cpp/src/routes.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/status.h>

namespace assent::internal {
namespace {

bool Holds(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

Routes::Routes(std::vector<std::string> seeds) : endpoints_(std::move(seeds)) {
  ASSENT_CHECK(!endpoints_.empty());
}

Routes::Routes(const std::vector<std::string>& seeds, ClusterMapPtr map,
               const std::vector<std::string>& left)
    : map_(std::move(map)) {
  for (const ClusterMap::Member& member : map_->members()) endpoints_.push_back(member.address);
  for (const std::string& seed : seeds) {
    if (!Has(seed) && !Holds(left, seed)) endpoints_.push_back(seed);
  }
  // Nobody is left who could be asked: those who have left may be back.
  if (endpoints_.empty()) endpoints_ = seeds;
}

bool Routes::Has(std::string_view endpoint) const { return Holds(endpoints_, endpoint); }

std::size_t Routes::Choice(std::string_view gid, std::size_t rank) const {
  const std::size_t owner = map_ ? map_->OwnerOf(gid) : 0;
  const bool known = map_ && owner < map_->members().size();
  return ((known ? owner : 0) + rank) % endpoints_.size();
}

bool Tour::Tried(std::string_view endpoint) const { return Holds(tried_, endpoint); }

const std::string& Tour::Next(const Routes& routes) {
  std::string next = std::exchange(moved_, {});
  const bool moved = !next.empty() && !Tried(next);
  if (!moved && Bound(routes)) {
    next = last_;
  } else if (!moved) {
    if (!MoreNow(routes)) Rest();
    std::size_t rank = 0;
    while (Tried(routes.endpoint(routes.Choice(gid_, rank)))) ++rank;
    next = routes.endpoint(routes.Choice(gid_, rank));
  }
  tried_.push_back(next);
  last_ = std::move(next);
  return last_;
}

bool Tour::MoreNow(const Routes& routes) const {
  if (!moved_.empty() && !Tried(moved_)) return true;
  if (Bound(routes)) return false;
  for (std::size_t rank = 0; rank < routes.size(); ++rank) {
    if (!Tried(routes.endpoint(rank))) return true;
  }
  return false;
}

}  // namespace assent::internal
