#include "coordinator/service/cluster.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/base/clock.h"
#include "coordinator/core/spec.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/members.h"

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
    shown.set_slots(static_cast<std::uint32_t>(view.SlotsOf(departed.epoch).size()));
  }
}

Status Alone() {
  return FailedPrecondition(
      "this coordinator is alone with its log: there is nobody to move anything to");
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
  }
  FillDeparted(*view, out);
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

void Service::Take(const Caller& caller, const v1::GetClusterRequest& request,
                   const AskerPtr<v1::ClusterView>& asker) {
  if (!request.load() || caller.forwarded) {
    return asker->Answer(OkStatus(), [&](v1::ClusterView& out) { FillView(out); });
  }
  AskOthers<v1::ServerInfo>(
      router_, options_.peers, "TransactionService/GetServerInfo",
      [](const cluster::Member&) { return v1::GetServerInfoRequest().SerializeAsString(); },
      [this, asker](const std::vector<MemberAnswer<v1::ServerInfo>>& answers) {
        std::map<std::uint64_t, v1::ServerInfo> infos;
        std::map<std::uint64_t, std::string> unreachable;
        for (const auto& answer : answers) {
          if (answer.status.ok()) {
            infos[answer.member.epoch] = answer.reply;
          } else {
            unreachable[answer.member.epoch] = answer.status.message();
          }
        }
        FillInfo(infos[router_.self()]);
        asker->Answer(OkStatus(), [&](v1::ClusterView& out) {
          FillView(out);
          for (v1::ClusterMember& member : *out.mutable_members()) {
            member.set_unreachable(unreachable[member.epoch()]);
            const auto known = infos.find(member.epoch());
            if (known == infos.end()) continue;
            member.set_unfinished(UnfinishedOf(known->second));
            *member.mutable_slots_set_aside() = known->second.slots_set_aside();
          }
        });
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

void Service::Take(const Caller& caller, const v1::DrainMemberRequest& request,
                   const AskerPtr<v1::ClusterReply>& asker) {
  if (!MayControl(caller, request.action(), asker)) return;
  options_.control->SetDraining(request.node(), !request.undo(), AnswerWithView(asker));
}

void Service::Take(const Caller& caller, const v1::MoveSlotsRequest& request,
                   const AskerPtr<v1::ClusterReply>& asker) {
  if (!MayControl(caller, request.action(), asker)) return;
  const std::size_t count = router_.view()->slots.size();
  std::vector<Slot> slots;
  for (const std::uint32_t slot : request.slots()) {
    if (slot >= count) {
      return asker->Fail(InvalidArgument("slots has " + std::to_string(slot) +
                                         ": the last one is " + std::to_string(count - 1)));
    }
    slots.push_back(static_cast<Slot>(slot));
  }
  if (!request.gid().empty()) {
    const Status status = core::CheckGid(request.gid());
    if (!status.ok()) return asker->Fail(status);
    slots.push_back(SlotOf(request.gid(), static_cast<Slot>(count)));
  }
  if (slots.empty())
    return asker->Fail(InvalidArgument("slots is empty: name some, or a gid of one"));
  options_.control->Move(slots, request.node(), AnswerWithView(asker));
}

void Service::Take(const Caller& caller, const v1::FenceMemberRequest& request,
                   const AskerPtr<v1::ClusterReply>& asker) {
  if (!MayControl(caller, request.action(), asker)) return;
  const Result<core::Actor> actor = ActorOf(caller, request.action());
  options_.control->Fence(request.node(), actor->who, actor->reason, AnswerWithView(asker));
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

void ClusterWatch::Start(const Caller&, const v1::WatchClusterRequest&) {
  service_.router().Tell(weak_from_this());
  const MutexLock lock(mutex_);
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
  showing_ = true;
  const Status room = viewer_->Show(shown);
  if (!room.ok()) End(room);
}

void ClusterWatch::End(const Status& status) {
  const std::shared_ptr<ClusterViewer> viewer = std::move(viewer_);
  if (viewer != nullptr) viewer->End(status);
}

}  // namespace assent::service
