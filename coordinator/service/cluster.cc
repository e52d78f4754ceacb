#include "coordinator/service/cluster.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <assent/slot_ranges.h>

#include "coordinator/base/clock.h"
#include "coordinator/core/spec.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/members.h"
#include "coordinator/service/record.h"

namespace assent::service {
namespace {

std::int64_t UnfinishedOf(const v1::ServerInfo& info) {
  return static_cast<std::int64_t>(info.active() + info.committing() + info.aborting());
}

// So long whoever has ended and not come back is spoken of.
constexpr std::int64_t kMissedMs = 3'600'000;

void FillDeparted(const cluster::View& view, v1::ClusterView& out) {
  const std::int64_t now = base::UnixNowMs();
  for (const cluster::Departed& departed : view.departed) {
    const std::int64_t silent_ms = std::max<std::int64_t>(0, now - departed.last_beat_unix_ms);
    if (silent_ms > kMissedMs) continue;
    v1::DepartedMember& shown = *out.add_departed();
    shown.set_epoch(departed.epoch);
    shown.set_node(departed.node);
    shown.set_address(departed.address);
    shown.set_version(departed.version);
    shown.set_silent_ms(silent_ms);
    shown.set_in_order(departed.in_order);
    shown.set_ended_by(departed.ended_by);
    shown.set_fenced_by(departed.fence.who);
    shown.set_fence_reason(departed.fence.reason);
    shown.set_slots(static_cast<std::uint32_t>(view.SlotsOf(departed.epoch).size()));
  }
}

void FillPinned(const cluster::View& view, v1::ClusterView& out) {
  for (const cluster::Pin& pin : view.pins) {
    v1::PinnedSlots& shown = *out.add_pinned();
    shown.set_node(pin.node);
    shown.mutable_slots()->Add(pin.slots.begin(), pin.slots.end());
    shown.set_who(pin.by.who);
    shown.set_reason(pin.by.reason);
    shown.set_unix_ms(pin.by.unix_ms);
  }
}

// Of an operator's request, at another coordinator.
const char* MethodOf(const v1::DrainMemberRequest&) { return "ClusterService/Drain"; }
const char* MethodOf(const v1::MoveSlotsRequest&) { return "ClusterService/Move"; }
const char* MethodOf(const v1::FenceMemberRequest&) { return "ClusterService/Fence"; }

Result<std::vector<Slot>> SlotsOf(const v1::MoveSlotsRequest& request, std::size_t count) {
  if (request.unpin() && !request.node().empty())
    return InvalidArgument("node is set: what is unpinned goes to nobody");
  std::vector<Slot> slots;
  for (const std::uint32_t slot : request.slots()) {
    if (slot >= count) {
      return InvalidArgument("slots has " + std::to_string(slot) + ": the last one is " +
                             std::to_string(count - 1));
    }
    slots.push_back(static_cast<Slot>(slot));
  }
  if (!request.gid().empty()) {
    const Status status = core::CheckGid(request.gid());
    if (!status.ok()) return status;
    const Slot slot = SlotOf(request.gid(), static_cast<Slot>(count));
    if (std::find(slots.begin(), slots.end(), slot) == slots.end()) slots.push_back(slot);
  }
  if (slots.empty()) return InvalidArgument("slots is empty: name some, or a gid of one");
  return slots;
}

Status Alone() {
  return FailedPrecondition(
      "this coordinator is alone with its log: there is nobody to move anything to");
}

// As it goes on record, and into the log.
audit::Deed DeedOf(const v1::DrainMemberRequest& request) {
  return {.verb = request.undo() ? "undrain" : "drain", .detail = request.node()};
}
audit::Deed DeedOf(const v1::FenceMemberRequest& request) {
  return {.verb = "fence", .detail = request.node()};
}
// As many as there is room for; a person names ranges.
constexpr std::size_t kMaxRangesCount = 64;

audit::Deed DeedOf(const v1::MoveSlotsRequest& request) {
  std::string detail =
      SlotRanges({request.slots().begin(), request.slots().end()}, kMaxRangesCount);
  if (!request.unpin()) detail += " to " + request.node();
  return {.verb = request.unpin() ? "unpin" : "move", .gid = request.gid(), .detail = detail};
}

using Infos = std::map<std::uint64_t, v1::ServerInfo>;     // by epoch
using Unreachable = std::map<std::uint64_t, std::string>;  // by epoch; why

void FillLoad(const Infos& infos, const Unreachable& unreachable, v1::ClusterView& out) {
  for (v1::ClusterMember& member : *out.mutable_members()) {
    if (const auto why = unreachable.find(member.epoch()); why != unreachable.end())
      member.set_unreachable(why->second);
    const auto known = infos.find(member.epoch());
    if (known == infos.end()) continue;
    member.set_unfinished(UnfinishedOf(known->second));
    *member.mutable_slots_set_aside() = known->second.slots_set_aside();
  }
}

// Whoever drains and does not answer may have given its slots away and ended since the last look.
bool LeavesUnseen(const cluster::ViewPtr& view, const Unreachable& unreachable) {
  return view != nullptr &&
         std::any_of(view->members.begin(), view->members.end(), [&](const auto& member) {
           return member.draining && unreachable.count(member.epoch) > 0;
         });
}

void LeaveTheWay(v1::ClusterView& view) {
  view.clear_departed();
  view.clear_pinned();
  for (v1::ClusterMember& member : *view.mutable_members()) {
    member.clear_drained_by();
    member.clear_drain_reason();
    member.clear_drained_unix_ms();
  }
}

}  // namespace

void Service::FillView(v1::ClusterView& out) const {
  out.set_coordinator_id(engine_.recovered().log_id);
  const cluster::ViewPtr view = router_.view();
  if (view == nullptr) return;
  out.set_version(view->version);
  out.set_generation(view->generation);
  out.set_answered_by(router_.self());
  out.set_lease_ms(options_.lease.count());
  std::map<std::uint64_t, std::size_t> place;  // by epoch, from 1
  for (const cluster::Member& member : view->members) {
    v1::ClusterMember& shown = *out.add_members();
    shown.set_epoch(member.epoch);
    shown.set_node(member.node);
    shown.set_address(member.address);
    shown.set_version(member.version);
    shown.set_draining(member.draining);
    shown.set_silent_ms(router_.SilentFor(member.epoch).count());
    shown.set_unfinished(-1);
    place[member.epoch] = static_cast<std::size_t>(out.members_size());
    if (!member.draining || !member.drain) continue;
    shown.set_drained_by(member.drain.who);
    shown.set_drain_reason(member.drain.reason);
    shown.set_drained_unix_ms(member.drain.unix_ms);
  }
  FillDeparted(*view, out);
  FillPinned(*view, out);
  std::string& slots = *out.mutable_slots();
  slots.reserve(2 * view->slots.size());
  for (const cluster::SlotRow& slot : view->slots) {
    const auto owner = place.find(slot.owner);
    const std::size_t at = owner == place.end() ? 0 : owner->second;
    slots.push_back(static_cast<char>(at & 0xFF));
    slots.push_back(static_cast<char>(at >> 8));
    if (at == 0) continue;
    v1::ClusterMember& member = *out.mutable_members(static_cast<int>(at) - 1);
    member.set_slots(member.slots() + 1);
  }
}

// Whose log tells the rest of its story.
void Service::FillHolder(v1::Transaction& out) const {
  const cluster::ViewPtr view = router_.view();
  if (view == nullptr || out.state() == v1::FINISHED) return;
  const cluster::Member own = OwnMember();
  out.mutable_holder()->set_node(own.node);
  out.mutable_holder()->set_address(own.address);
  const Slot slot = SlotOf(out.gid(), static_cast<Slot>(view->slots.size()));
  out.mutable_holder()->set_since_unix_ms(router_.HeldSince(slot));
}

cluster::Member Service::OwnMember() const {
  if (const cluster::ViewPtr view = router_.view()) {
    if (const cluster::Member* member = view->Find(router_.self())) return *member;
  }
  return {.epoch = router_.self()};
}

void Service::Take(const Caller& caller, const v1::GetClusterRequest& request,
                   const AskerPtr<v1::ClusterView>& asker) {
  if (!request.load() || caller.forwarded) {
    return asker->Answer(OkStatus(), [&](v1::ClusterView& out) { FillView(out); });
  }
  AskOthers<v1::ServerInfo>(
      router_, options_.peers, "TransactionService/GetServerInfo",
      [](const cluster::Member&) { return v1::GetServerInfoRequest().SerializeAsString(); },
      [this, asker](const std::vector<MemberAnswer<v1::ServerInfo>>& answers) {
        Infos infos;
        Unreachable unreachable;
        for (const auto& answer : answers) {
          if (answer.status.ok()) {
            infos[answer.member.epoch] = answer.reply;
          } else {
            unreachable[answer.member.epoch] = answer.status.message();
          }
        }
        FillInfo(infos[router_.self()]);
        const auto answer_all = [this, asker, infos = std::move(infos),
                                 unreachable](const Status& /*looked*/) {
          asker->Answer(OkStatus(), [&](v1::ClusterView& out) {
            FillView(out);
            FillLoad(infos, unreachable, out);
          });
        };
        const bool looks = options_.control != nullptr && LeavesUnseen(router_.view(), unreachable);
        if (!looks) return answer_all(OkStatus());
        options_.control->Look(answer_all);
      });
}

cluster::ClusterControl::Done Service::AnswerWithView(const AskerPtr<v1::ClusterReply>& asker) {
  return [this, asker](const Status& status) {
    asker->Answer(status, [&](v1::ClusterReply& out) { FillView(*out.mutable_view()); });
  };
}

// Who it is must be said; what would happen is what is asked for.
bool Service::MayControl(const Caller& caller, const v1::OperatorAction& action,
                         const AskerPtr<v1::ClusterReply>& asker) {
  const Result<core::Actor> actor = ActorOf(caller, action);
  Status status = actor.status();
  if (status.ok() && (router_.alone() || options_.control == nullptr)) status = Alone();
  if (status.ok() && !action.dry_run()) return true;
  AnswerWithView(asker)(status);
  return false;
}

// ---- What operators ask for ---------------------------------------------------------------------

// The colleague who finds a node drained the next night looks into the log of that node, or of
// those that have its slots, or asks any of them. So all are told; who does not hear it lacks a
// line.
template <typename Request>
void Service::Control(const Caller& caller, Request request,
                      const AskerPtr<v1::ClusterReply>& asker,
                      const std::function<void(const Request&, const cluster::Asked&,
                                               cluster::ClusterControl::Done)>& act) {
  if (!MayControl(caller, request.action(), asker)) return;
  core::Actor by = *ActorOf(caller, request.action());
  if (caller.forwarded) {
    Note(request, by);
    return AnswerWithView(asker)(OkStatus());
  }
  audit::Deed deed = DeedBy(caller, request.action(), DeedOf(request));
  request.mutable_action()->set_who(by.who);
  OnRecord(options_.audit, std::move(deed), asker,
           [this, by, request, act](const AskerPtr<v1::ClusterReply>& answered, const auto&) {
             const cluster::Asked asked{
                 .who = by.who, .reason = by.reason, .unix_ms = base::UnixNowMs()};
             act(request, asked, [this, answered, by, request](const Status& status) {
               AnswerWithView(answered)(status);
               if (status.ok()) TellAll(request, by);
             });
           });
}

template <typename Request>
void Service::TellAll(const Request& request, const core::Actor& by) {
  Note(request, by);
  if (options_.peers == nullptr) return;
  for (const cluster::Member& member : router_.Others()) {
    options_.peers->Ask(member, MethodOf(request), request.SerializeAsString(), kMemberPatience,
                        [](const Status&, const std::string&) {});
  }
}

template <typename Request>
void Service::Note(const Request& request, const core::Actor& by) {
  if (!options_.on_control) return;
  const audit::Deed deed = DeedOf(request);
  std::string what = deed.verb + (deed.detail.empty() ? "" : " " + deed.detail);
  if (!deed.gid.empty()) what += " (of " + deed.gid + ")";
  options_.on_control(what, by);
}

void Service::Take(const Caller& caller, const v1::DrainMemberRequest& request,
                   const AskerPtr<v1::ClusterReply>& asker) {
  Control<v1::DrainMemberRequest>(
      caller, request, asker, [this](const auto& drain, const auto& asked, auto done) {
        options_.control->SetDraining(drain.node(), !drain.undo(), asked, std::move(done));
      });
}

void Service::Take(const Caller& caller, const v1::MoveSlotsRequest& asked_for,
                   const AskerPtr<v1::ClusterReply>& asker) {
  v1::MoveSlotsRequest request = asked_for;
  if (const cluster::ViewPtr view = router_.view()) {
    const auto slots = SlotsOf(asked_for, view->slots.size());
    if (!slots.ok()) return AnswerWithView(asker)(slots.status());
    request.mutable_slots()->Assign(slots->begin(), slots->end());
  }
  Control<v1::MoveSlotsRequest>(
      caller, request, asker, [this](const auto& move, const auto& asked, auto done) {
        const std::vector<Slot> slots(move.slots().begin(), move.slots().end());
        if (move.unpin()) return options_.control->Unpin(slots, std::move(done));
        options_.control->Move(slots, move.node(), asked, std::move(done));
      });
}

void Service::Take(const Caller& caller, const v1::FenceMemberRequest& request,
                   const AskerPtr<v1::ClusterReply>& asker) {
  Control<v1::FenceMemberRequest>(caller, request, asker,
                                  [this](const auto& fence, const auto& asked, auto done) {
                                    options_.control->Fence(fence.node(), asked, std::move(done));
                                  });
}

// ---- Who is in whose way ------------------------------------------------------------------------

// If it is lost, it is said again: the older one goes on asking its participant.
void Service::Tell(const engine::GiveWayRequest& request) const {
  const Route route = router_.Find(request.gid);
  const cluster::ViewPtr view = router_.view();
  if (route.where != Route::Where::kThere || options_.peers == nullptr) return;
  const cluster::Member* owner = view->Find(route.epoch);
  if (owner == nullptr) return;
  v1::GiveWayRequest wire;
  wire.set_gid(request.gid);
  wire.set_older_gid(request.event.older_gid);
  wire.set_older_began_unix_ms(request.event.older_began.time_since_epoch().count());
  wire.set_service(request.event.service);
  options_.peers->Ask(*owner, "ClusterService/GiveWay", wire.SerializeAsString(), kMemberPatience,
                      [](const Status&, const std::string&) {});
}

void Service::Take(const Caller&, const v1::GiveWayRequest& request,
                   const AskerPtr<v1::GiveWayReply>& asker) {
  Status status = core::CheckGid(request.gid());
  if (status.ok()) status = core::CheckGid(request.older_gid());
  if (status.ok()) {
    status = engine_.Post(
        request.gid(),
        engine::GiveWayRequest{
            request.gid(),
            {request.older_gid(), core::WallTime(core::Millis(request.older_began_unix_ms())),
             request.service()}});
  }
  asker->Answer(status, [](v1::GiveWayReply&) {});
}

// ---- Watching ----------------------------------------------------------------------------------

void ClusterWatch::Start(const Caller& caller, const v1::WatchClusterRequest&) {
  service_.router().Tell(weak_from_this());
  const MutexLock lock(mutex_);
  looks_ = caller.grants == nullptr || caller.grants->May(security::Permission::kLook);
  if (!showing_) Show();
}

void ClusterWatch::ViewChanged() {
  const MutexLock lock(mutex_);
  if (showing_) {
    stale_ = true;
  } else {
    Show();
  }
}

void ClusterWatch::Taken() {
  const MutexLock lock(mutex_);
  showing_ = false;
  if (std::exchange(stale_, false)) Show();
}

void ClusterWatch::Leave(const Status& why) {
  const MutexLock lock(mutex_);
  End(why);
}

void ClusterWatch::Show() {
  if (viewer_ == nullptr) return;
  v1::ClusterView shown;
  service_.FillView(shown);
  if (!looks_) LeaveTheWay(shown);
  showing_ = true;
  const Status room = viewer_->Show(shown);
  if (!room.ok()) End(room);
}

void ClusterWatch::End(const Status& status) {
  const std::shared_ptr<ClusterViewer> viewer = std::move(viewer_);
  if (viewer != nullptr) viewer->End(status);
}

}  // namespace assent::service
