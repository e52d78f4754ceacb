#include "coordinator/daemon/cluster_log.h"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/base/clock.h"

namespace assent::daemon {
namespace {

std::string Quoted(std::string text) {
  std::replace(text.begin(), text.end(), '"', '\'');
  return '"' + text + '"';
}

const cluster::Departed* DepartedOf(const cluster::View& view, std::uint64_t epoch) {
  const auto found =
      std::find_if(view.departed.begin(), view.departed.end(),
                   [epoch](const cluster::Departed& departed) { return departed.epoch == epoch; });
  return found == view.departed.end() ? nullptr : &*found;
}

bool HasNode(const cluster::View& view, const std::string& node) {
  return std::any_of(view.members.begin(), view.members.end(),
                     [&node](const cluster::Member& member) { return member.node == node; });
}

// Why a member that was there has its slots no more. At one moment, so that it is the same for all
// of its slots.
std::string WhyEnded(const cluster::View& now, std::int64_t now_ms, std::uint64_t epoch,
                     const std::string& node) {
  const cluster::Departed* departed = DepartedOf(now, epoch);
  if (departed == nullptr) return HasNode(now, node) ? "started again" : "ended";
  if (departed->in_order) return "stopped in order";
  std::string by = departed->ended_by.empty() ? "" : " by " + departed->ended_by;
  if (departed->fence) by += " for " + departed->fence.who + " (" + departed->fence.reason + ")";
  const std::int64_t ms = now_ms - departed->last_beat_unix_ms;
  return "fenced" + by + ", last seen " + std::to_string(std::max<std::int64_t>(ms, 0)) + " ms ago";
}

}  // namespace

ClusterLog::ClusterLog(Say say)
    : say_(say ? std::move(say) : [](const std::string& line) { spdlog::info("{}", line); }) {}

void ClusterLog::SetView(cluster::ViewPtr view, std::uint64_t self) {
  const MutexLock lock(mutex_);
  if (latest_ != nullptr && latest_->version != view->version) {
    const std::int64_t now_ms = base::UnixNowMs();
    NoteMembers(*latest_, *view, now_ms);
    NoteSlots(*latest_, *view, now_ms, self);
  }
  latest_ = std::move(view);
}

void ClusterLog::NoteMembers(const cluster::View& before, const cluster::View& now,
                             std::int64_t now_ms) {
  for (const cluster::Member& member : before.members) {
    if (now.Find(member.epoch) != nullptr) continue;
    say_("event=member_gone node=" + member.node + " epoch=" + std::to_string(member.epoch) +
         " slots=" + std::to_string(before.SlotsOf(member.epoch).size()) +
         " why=" + Quoted(WhyEnded(now, now_ms, member.epoch, member.node)));
  }
  for (const cluster::Member& member : now.members) {
    if (before.Find(member.epoch) != nullptr) continue;
    say_("event=member_came node=" + member.node + " address=" + member.address +
         " version=" + member.version + " epoch=" + std::to_string(member.epoch));
  }
}

ClusterLog::Source ClusterLog::SourceOf(const cluster::View& before, const cluster::View& now,
                                        std::int64_t now_ms, std::uint64_t from) {
  if (const cluster::Member* giver = now.Find(from)) {
    const cluster::Member* earlier = before.Find(from);
    const bool draining = giver->draining || (earlier != nullptr && earlier->draining);
    return {.node = giver->node, .why = draining ? "it is draining" : "moved"};
  }
  const cluster::Member* ended = before.Find(from);
  const cluster::Departed* departed = DepartedOf(now, from);
  if (ended == nullptr && departed == nullptr) return {.why = "it was nobody's"};
  const std::string& node = ended != nullptr ? ended->node : departed->node;
  return {.node = node, .why = WhyEnded(now, now_ms, from, node)};
}

void ClusterLog::NoteSlots(const cluster::View& before, const cluster::View& now,
                           std::int64_t now_ms, std::uint64_t self) {
  std::map<std::string, std::size_t> given;
  for (std::size_t i = 0; i < std::min(before.slots.size(), now.slots.size()); ++i) {
    const std::uint64_t from = before.slots[i].owner;
    const std::uint64_t to = now.slots[i].owner;
    if (from == to) continue;
    if (to == self) sources_[static_cast<Slot>(i)] = SourceOf(before, now, now_ms, from);
    if (from != self) continue;
    const cluster::Member* taker = now.Find(to);
    ++given[taker == nullptr ? std::to_string(to) : taker->node];
  }
  const std::string why = SourceOf(before, now, now_ms, self).why;
  for (const auto& [node, count] : given) {
    say_("event=slots_given to=" + node + " slots=" + std::to_string(count) +
         " why=" + Quoted(why));
  }
}

void ClusterLog::TakenUp(const std::vector<engine::TakenUp>& slots,
                         std::chrono::microseconds took) {
  struct Sum {
    std::size_t slots = 0;
    std::size_t unfinished = 0;
  };
  std::map<Source, Sum> sums;
  const MutexLock lock(mutex_);
  for (const engine::TakenUp& taken : slots) {
    const auto source = sources_.find(taken.slot);
    Sum& sum = sums[source == sources_.end() ? Source{.why = "at the start"} : source->second];
    ++sum.slots;
    sum.unfinished += taken.unfinished;
  }
  for (const auto& [source, sum] : sums) {
    say_("event=slots_taken" + (source.node.empty() ? "" : " from=" + source.node) +
         " why=" + Quoted(source.why) + " slots=" + std::to_string(sum.slots) + " unfinished=" +
         std::to_string(sum.unfinished) + " ms=" + std::to_string(took.count() / 1000));
  }
}

void ClusterLog::Asked(const std::string& what, const std::string& who, const std::string& reason) {
  say_("event=operator asked=" + Quoted(what) + " who=" + Quoted(who) +
       " reason=" + Quoted(reason));
}

}  // namespace assent::daemon
