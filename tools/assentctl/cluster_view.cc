#include "tools/assentctl/cluster_view.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <assent/slot_ranges.h>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/table.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Where the coordinator does not say how long its members may be silent.
constexpr std::int64_t kUsualLeaseMs = 3'000;

std::int64_t LeaseMs(const v1::ClusterView& view) {
  return view.lease_ms() > 0 ? view.lease_ms() : kUsualLeaseMs;
}

// It shows itself several times within each lease: after half of one something is wrong.
bool IsSilent(const v1::ClusterMember& member, const v1::ClusterView& view) {
  return member.silent_ms() * 2 > LeaseMs(view);
}

std::string Ago(std::int64_t ms) { return FormatLatency(ms * 1'000); }

std::size_t OwnerlessCount(const v1::ClusterView& view) {
  std::size_t count = 0;
  for (std::size_t slot = 0; slot < SlotsCount(view); ++slot) {
    count += OwnerOf(view, slot) == nullptr ? 1 : 0;
  }
  return count;
}

// The one that answers has not seen itself move on: it does not see the store, and what it says of
// others is old.
bool IsBlind(const v1::ClusterView& view) {
  return std::any_of(view.members().begin(), view.members().end(), [&view](const auto& member) {
    return member.epoch() == view.answered_by() && IsSilent(member, view);
  });
}

// It has given its slots away and lets nobody in any more: from a stop in order until the store,
// and whoever answers, know of its end.
bool IsEnding(const v1::ClusterMember& member, const v1::ClusterView& view) {
  return member.draining() && member.slots() == 0 && !member.unreachable().empty() &&
         !IsSilent(member, view);
}

// It shows itself in the store, and whoever answers does not get through to it.
bool IsCutOff(const v1::ClusterMember& member, const v1::ClusterView& view) {
  return !member.unreachable().empty() && !IsSilent(member, view) && !IsEnding(member, view);
}

// Of one that has just died nobody can tell, for less than a beat.
bool ShowsItself(const v1::ClusterMember& member, const v1::ClusterView& view) {
  return member.silent_ms() * 4 <= LeaseMs(view);
}

std::string CutOff(const v1::ClusterMember& member, const v1::ClusterView& view) {
  std::string text = "; node " + Visible(member.node()) + " does not answer at " +
                     Visible(member.address()) + " (" + Visible(member.unreachable()) + ")";
  if (member.slots() == 0) return text;
  text += ": its " + Count(member.slots(), "slot") + (member.slots() == 1 ? " is" : " are") +
          " out of reach";
  if (!ShowsItself(member, view)) return text;
  return text + "; if it lives, correct its --advertise, or assentctl cluster drain " +
         Visible(member.node());
}

// "by ann@desk (new version)"
std::string AskedBy(const v1::ClusterMember& member) {
  if (member.drained_by().empty()) return "";
  return ", asked for by " + Visible(member.drained_by()) +
         (member.drain_reason().empty() ? "" : " (" + Visible(member.drain_reason()) + ")");
}

std::string Trouble(const v1::ClusterMember& member, const v1::ClusterView& view) {
  const std::string node = "; node " + Visible(member.node());
  if (IsSilent(member, view)) {
    std::string text = node + " is silent for " + Ago(member.silent_ms());
    if (view.lease_ms() > 0) text += ": taken over at " + Ago(view.lease_ms());
    return text;
  }
  if (IsCutOff(member, view)) return CutOff(member, view);
  if (!member.draining()) return "";
  if (IsEnding(member, view)) return node + " has given its slots away and is ending";
  if (member.slots() == 0) return node + " is drained" + AskedBy(member) + ": it can be stopped";
  const std::string to_go =
      node + " is draining" + AskedBy(member) + ": " + Count(member.slots(), "slot") + " to go";
  if (!OtherTakers(view, member.node()).empty()) return to_go;
  return to_go +
         ", and nobody is there to take them: start another coordinator, or assentctl cluster "
         "drain " +
         Visible(member.node()) + " --undo";
}

Cell State(const v1::ClusterMember& member, const v1::ClusterView& view) {
  if (IsSilent(member, view)) return Cell("silent", Tone::kBad);
  if (!member.draining()) return Cell("serving", Tone::kGood);
  if (IsEnding(member, view)) return Cell("ending", Tone::kWarn);
  return Cell(member.slots() > 0 ? "draining" : "drained", Tone::kWarn);
}

Cell Unfinished(const v1::ClusterMember& member, const v1::ClusterView& view) {
  if (IsEnding(member, view)) return Cell("");
  if (member.unfinished() < 0) return Cell("no answer", Tone::kBad);
  return Cell(std::to_string(member.unfinished()));
}

// "by ann@desk (it is on fire)", else by which member.
std::string FencedBy(const v1::DepartedMember& departed) {
  if (!departed.fenced_by().empty())
    return " by " + Visible(departed.fenced_by()) + " (" + Visible(departed.fence_reason()) + ")";
  return departed.ended_by().empty() ? "" : " by " + Visible(departed.ended_by());
}

std::string Missed(const v1::DepartedMember& departed) {
  if (departed.in_order()) return "";
  return "; node " + Visible(departed.node()) + ", last seen " + Ago(departed.silent_ms()) +
         " ago, was fenced" + FencedBy(departed) + " and is not back: " +
         (departed.slots() == 0 ? "its slots have other owners"
                                : Count(departed.slots(), "slot") + " of it to be taken over");
}

// Nobody works on them, whoever has them.
std::string SetAside(const v1::ClusterView& view) {
  std::string text;
  for (const v1::ClusterMember& member : view.members()) {
    if (member.slots_set_aside().empty()) continue;
    text += SlotsSetAside(member.slots_set_aside()) + " (node " + Visible(member.node()) + ")\n";
  }
  return text;
}

// Where a person wants them, and whose they are as long as that cannot be.
std::string Keeper(const v1::PinnedSlots& pinned, const v1::ClusterView& view) {
  const std::string node = "node " + Visible(pinned.node());
  const v1::ClusterMember* member = FindMember(view, pinned.node());
  if (member == nullptr)
    return node +
           ", which is no member: others have them until it comes back, or assentctl "
           "cluster unpin --node " +
           Visible(pinned.node());
  if (member->draining())
    return node + ", which is draining: others have them until it takes slots again";
  return node;
}

// What people have moved stays; a line for each time.
std::string Pinned(const v1::ClusterView& view, const Style& style) {
  constexpr int kShown = 10;
  constexpr std::size_t kMaxRangesCount = 8;
  std::string text;
  for (int at = 0; at < view.pinned_size() && at < kShown; ++at) {
    const v1::PinnedSlots& pinned = view.pinned(at);
    text += SlotRanges({pinned.slots().begin(), pinned.slots().end()}, kMaxRangesCount) +
            (pinned.slots_size() == 1 ? " stays with " : " stay with ") + Keeper(pinned, view) +
            " (moved by " + Visible(pinned.who()) + ", " + Moment(pinned.unix_ms(), style) +
            (pinned.reason().empty() ? "" : ": " + Visible(pinned.reason())) + ")\n";
  }
  if (view.pinned_size() <= kShown) return text;
  return text + "and " +
         Count(static_cast<std::uint64_t>(view.pinned_size() - kShown), "more time") +
         " that somebody has moved slots (-o json)\n";
}

// Those that are there, and those that are missed.
std::string MemberTable(const v1::ClusterView& view, const Style& style) {
  Table table({"NODE", "ADDRESS", "VERSION", "EPOCH", "LAST SEEN", "SLOTS", "UNFINISHED", "STATE"});
  std::multimap<std::string, std::vector<Cell>> rows;  // by node
  for (const v1::ClusterMember& member : view.members()) {
    rows.emplace(member.node(), std::vector<Cell>{{member.node(), Tone::kStrong},
                                                  member.address(),
                                                  member.version(),
                                                  std::to_string(member.epoch()),
                                                  Ago(member.silent_ms()) + " ago",
                                                  std::to_string(member.slots()),
                                                  Unfinished(member, view),
                                                  State(member, view)});
  }
  for (const v1::DepartedMember& gone : view.departed()) {
    rows.emplace(gone.node(), std::vector<Cell>{{gone.node(), Tone::kStrong},
                                                gone.address(),
                                                gone.version(),
                                                std::to_string(gone.epoch()),
                                                Ago(gone.silent_ms()) + " ago",
                                                std::to_string(gone.slots()),
                                                "",
                                                gone.in_order() ? Cell("stopped", Tone::kWarn)
                                                                : Cell("fenced", Tone::kBad)});
  }
  for (auto& [node, row] : rows) table.Add(std::move(row));
  return table.Render(style);
}

// What tells one look at the cluster, and one log, from another.
std::string Origin(const v1::ClusterView& view) {
  std::string answered = "a member that is not on the list";
  for (const v1::ClusterMember& member : view.members()) {
    if (member.epoch() == view.answered_by()) answered = Visible(member.node());
  }
  return "coordinator " + std::to_string(view.coordinator_id()) + ", store generation " +
         std::to_string(view.generation()) + ", view " + std::to_string(view.version()) +
         ", answered by " + answered + "\n";
}

std::string NoOwner(const v1::ClusterView& view) {
  const std::string within = view.lease_ms() > 0 ? " within about " + Ago(view.lease_ms()) : "";
  return "which nobody has at this moment: somebody takes it over" + within;
}

}  // namespace

std::size_t SlotsCount(const v1::ClusterView& view) { return view.slots().size() / 2; }

const v1::ClusterMember* OwnerOf(const v1::ClusterView& view, std::size_t slot) {
  if (slot >= SlotsCount(view)) return nullptr;
  const auto byte = [&view](std::size_t at) { return static_cast<std::uint8_t>(view.slots()[at]); };
  const int place = byte(2 * slot) | byte(2 * slot + 1) << 8;
  return place == 0 || place > view.members_size() ? nullptr : &view.members(place - 1);
}

const v1::PinnedSlots* PinOf(const v1::ClusterView& view, std::size_t slot) {
  for (const v1::PinnedSlots& pinned : view.pinned()) {
    if (std::binary_search(pinned.slots().begin(), pinned.slots().end(), slot)) return &pinned;
  }
  return nullptr;
}

const v1::ClusterMember* FindMember(const v1::ClusterView& view, std::string_view node) {
  const auto found = std::find_if(view.members().begin(), view.members().end(),
                                  [node](const auto& member) { return member.node() == node; });
  return found == view.members().end() ? nullptr : &*found;
}

std::string SlotsSetAside(const google::protobuf::RepeatedField<std::uint32_t>& slots) {
  constexpr int kNamed = 8;
  std::string names;
  for (int at = 0; at < slots.size() && at < kNamed; ++at)
    names += (at == 0 ? " " : ", ") + std::to_string(slots[at]);
  if (slots.size() > kNamed) names += ", …";
  const bool one = slots.size() == 1;
  return std::string(one ? "slot" : "slots") + names + (one ? " is" : " are") +
         " set aside: a row of " + (one ? "it" : "each") + " cannot be read, nobody works on " +
         (one ? "its" : "their") + " transactions; assentd's log says why";
}

std::string ClusterSummary(const v1::ClusterView& view) {
  if (IsAlone(view)) return kAlone;
  std::string text = Count(static_cast<std::uint64_t>(view.members_size()), "coordinator") + ", ";
  const std::size_t ownerless = OwnerlessCount(view);
  if (ownerless == 0) {
    text += "all slots have an owner";
  } else {
    text +=
        Count(ownerless, "slot") + (ownerless == 1 ? " has" : " have") + " no owner at this moment";
  }
  if (IsBlind(view)) {
    return text +
           " as of the last look: this one does not reach the log (assentctl health says why). "
           "While nobody does, nobody is taken over";
  }
  for (const v1::ClusterMember& member : view.members()) text += Trouble(member, view);
  for (const v1::DepartedMember& departed : view.departed()) text += Missed(departed);
  return text;
}

bool IsWell(const v1::ClusterView& view) {
  return OwnerlessCount(view) == 0 &&
         std::none_of(view.members().begin(), view.members().end(),
                      [&view](const auto& member) {
                        return IsSilent(member, view) || IsCutOff(member, view) ||
                               !member.slots_set_aside().empty();
                      }) &&
         std::all_of(view.departed().begin(), view.departed().end(),
                     [](const auto& departed) { return departed.in_order(); });
}

std::string RenderCluster(const v1::ClusterView& view, const Style& style) {
  if (style.output == Output::kJson) return PrettyJson(ToJson(view, {}));
  if (style.output == Output::kYaml) return Yaml(ToJson(view, {}));
  if (style.output == Output::kJsonl) return LineJson(ToJson(view, {}));
  std::string text;
  if (style.output == Output::kId) {
    for (const v1::ClusterMember& member : view.members()) text += Visible(member.node()) + "\n";
    return text;
  }
  text = ClusterSummary(view) + "\n";
  if (IsAlone(view)) return text;
  text += MemberTable(view, style) + SetAside(view) + Pinned(view, style);
  return style.wide() ? text + Origin(view) : text;
}

std::string RenderPlace(const std::string& gid, const v1::ClusterView& view, const Style& style) {
  const std::size_t slots = SlotsCount(view);
  const std::size_t slot = slots == 0 ? 0 : SlotOf(gid, static_cast<Slot>(slots));
  const v1::ClusterMember* owner = OwnerOf(view, slot);
  const v1::PinnedSlots* pinned = PinOf(view, slot);
  if (style.table()) {
    if (IsAlone(view)) return Visible(gid) + " is here: " + kAlone + "\n";
    const std::string place = Visible(gid) + " is in slot " + std::to_string(slot) + ", ";
    if (owner == nullptr) return place + NoOwner(view) + "\n";
    return place + "which node " + Visible(owner->node()) + " at " + Visible(owner->address()) +
           " has (epoch " + std::to_string(owner->epoch()) + ")" +
           (pinned == nullptr ? "" : "; it stays with " + Keeper(*pinned, view)) + "\n";
  }
  if (style.output == Output::kId) return owner == nullptr ? "" : Visible(owner->node()) + "\n";
  const v1::ClusterMember nobody;
  const v1::ClusterMember& at = owner == nullptr ? nobody : *owner;
  const Json json = {{"gid", gid},
                     {"slot", slot},
                     {"node", at.node()},
                     {"address", at.address()},
                     {"epoch", at.epoch()},
                     {"cluster_version", view.version()},
                     {"pinned_to", pinned == nullptr ? "" : pinned->node()}};
  if (style.output == Output::kYaml) return Yaml(json);
  return style.output == Output::kJsonl ? LineJson(json) : PrettyJson(json);
}

std::string SilentText(const google::protobuf::RepeatedPtrField<v1::SilentMember>& silent,
                       std::string_view missing) {
  std::string text;
  for (const v1::SilentMember& member : silent) {
    const std::string line = "node " + Visible(member.node()) + " at " + Visible(member.address()) +
                             " did not answer: " + std::string(missing) + " (" +
                             Visible(member.why()) + ")\n";
    // Of several pages each has named it.
    if (text.find(line) == std::string::npos) text += line;
  }
  return text;
}

std::string OtherTakers(const v1::ClusterView& view, std::string_view node) {
  std::string names;
  for (const v1::ClusterMember& member : view.members()) {
    if (member.node() == node || member.draining()) continue;
    names += (names.empty() ? "" : ", ") + Visible(member.node());
  }
  return names;
}

}  // namespace assent::ctl
