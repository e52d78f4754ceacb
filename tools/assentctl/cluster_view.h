#pragma once

// A cluster: its members, and who has which slot. Pure: messages in, text out.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <assent/slot.h>

#include "assent/v1/cluster.pb.h"
#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

// The coordinator shares its log with nobody.
inline bool IsAlone(const v1::ClusterView& view) { return view.version() == 0; }
// No member, but the whole cluster there is.
inline constexpr const char* kAlone = "this coordinator is alone with its log: it is in no cluster";

std::size_t SlotsCount(const v1::ClusterView& view);
// nullptr: nobody has it at this moment, or there is no such slot.
const v1::ClusterMember* OwnerOf(const v1::ClusterView& view, std::size_t slot);
// nullptr: none is called so.
const v1::ClusterMember* FindMember(const v1::ClusterView& view, std::string_view node);

// To where a person has moved the slot, for good. nullptr: nobody has.
const v1::PinnedSlots* PinOf(const v1::ClusterView& view, std::size_t slot);

// A clause: which slots nobody works on, and why.
std::string SlotsSetAside(const google::protobuf::RepeatedField<std::uint32_t>& slots);

// The cluster in one sentence: "3 coordinators, all slots have an owner", and who is silent or
// gives its slots away.
std::string ClusterSummary(const v1::ClusterView& view);
// Every slot is served by a member that shows itself and answers, and nobody is missed whom others
// had to end.
bool IsWell(const v1::ClusterView& view);
// The summary and a line per member. `id`: their nodes.
std::string RenderCluster(const v1::ClusterView& view, const Style& style);

// Who has a gid. `id`: its node.
std::string RenderPlace(const std::string& gid, const v1::ClusterView& view, const Style& style);

// "a, b": who takes slots besides `node`; empty: nobody.
std::string OtherTakers(const v1::ClusterView& view, std::string_view node);

// Who did not answer another coordinator, and what is missing for it; a line each.
std::string SilentText(const google::protobuf::RepeatedPtrField<v1::SilentMember>& silent,
                       std::string_view missing);

}  // namespace assent::ctl
