// cluster status and locate: who is in the cluster, and who has which slot.

#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"

namespace assent::ctl {
namespace {

// `looked`: how the cluster is, once it is known.
Exit StatusOnce(Session& session, Exit& looked) {
  v1::GetClusterRequest request;
  request.set_load(true);
  const Result<v1::ClusterView> view =
      session.service.GetCluster(request, session.options.call_timeout);
  if (!view.ok()) return session.Fail(view.status());
  session.console.Out(RenderCluster(view.value(), session.MakeStyle()));
  looked = IsAlone(view.value()) || IsWell(view.value()) ? Exit::kDone : Exit::kOther;
  return Exit::kDone;
}

}  // namespace

Exit RunClusterStatus(const ClusterStatusCommand& command, Session& session) {
  Exit looked = Exit::kDone;
  if (!command.watch) {
    const Exit asked = StatusOnce(session, looked);
    return asked == Exit::kDone ? looked : asked;
  }
  // A document per look needs something between them: one line each.
  if (session.options.output == Output::kJson) session.options.output = Output::kJsonl;
  return Repeat(
      command.interval, [&] { return StatusOnce(session, looked); }, session);
}

Exit RunLocate(const LocateCommand& command, Session& session) {
  const Result<v1::ClusterView> view = session.service.GetCluster({}, session.options.call_timeout);
  if (!view.ok()) return session.Fail(view.status());
  session.console.Out(RenderPlace(command.gid, view.value(), session.MakeStyle()));
  const std::size_t slots = SlotsCount(view.value());
  if (IsAlone(view.value())) return Exit::kDone;
  const bool owned =
      slots > 0 && OwnerOf(view.value(), SlotOf(command.gid, static_cast<Slot>(slots))) != nullptr;
  return owned ? Exit::kDone : Exit::kOther;
}

}  // namespace assent::ctl
