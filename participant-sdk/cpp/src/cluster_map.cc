#include "participant-sdk/cpp/src/cluster_map.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>

#include <assent/slot.h>

#include "participant-sdk/cpp/src/endpoint.h"

namespace assent::internal {
namespace {

constexpr std::size_t kMaxMembersCount = 1024;
constexpr std::size_t kMaxSlotsCount = 32'768;

}  // namespace

Result<ClusterMap> ClusterMap::Read(const v1::ClusterView& view) {
  const auto members_count = static_cast<std::size_t>(view.members_size());
  if (members_count > kMaxMembersCount)
    return InvalidArgument(std::to_string(members_count) + " members");
  const std::string& slots = view.slots();
  if (slots.empty() || slots.size() % 2 != 0 || slots.size() / 2 > kMaxSlotsCount)
    return InvalidArgument("its slots have " + std::to_string(slots.size()) + " bytes");
  ClusterMap map;
  map.coordinator_id_ = view.coordinator_id();
  map.generation_ = view.generation();
  map.version_ = view.version();
  for (const v1::ClusterMember& member : view.members()) {
    if (Status s = CheckEndpoint("a member's address", member.address()); !s.ok()) return s;
    map.members_.push_back({member.epoch(), member.address()});
  }
  for (std::size_t at = 0; at < slots.size(); at += 2) {
    const auto place = static_cast<std::size_t>(static_cast<std::uint8_t>(slots[at])) |
                       static_cast<std::size_t>(static_cast<std::uint8_t>(slots[at + 1])) << 8;
    if (place > members_count) return InvalidArgument("a slot's owner is no member");
    map.owners_.push_back(static_cast<std::uint16_t>(place == 0 ? members_count : place - 1));
  }
  return map;
}

bool ClusterMap::Has(std::string_view address) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const Member& member) { return member.address == address; });
}

std::size_t ClusterMap::OwnerOf(std::string_view gid) const {
  return owners_[SlotOf(gid, static_cast<Slot>(owners_.size()))];
}

bool ClusterMap::NewerThan(const ClusterMap& other) const {
  return std::tie(generation_, version_) > std::tie(other.generation_, other.version_);
}

std::string ClusterMap::AddressList() const {
  std::string list;
  for (const Member& member : members_) list += (list.empty() ? "" : ",") + member.address;
  return list;
}

}  // namespace assent::internal
