#include <algorithm>

#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/participants.h"
#include "tools/assentctl/server_view.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {

Result<v1::ListParticipantsReply> FetchParticipants(const v1::ListParticipantsRequest& first,
                                                    Timeout timeout, Session& session) {
  v1::ListParticipantsRequest request = first;
  v1::ListParticipantsReply all;
  do {
    const Result<v1::ListParticipantsReply> page =
        session.service.ListParticipants(request, timeout);
    if (!page.ok()) return page.status();
    if (!page->next_page_token().empty() && page->next_page_token() <= request.page_token())
      return Internal("the coordinator answered with the same page token twice");
    all.MergeFrom(*page);
    request.set_page_token(page->next_page_token());
    all.clear_next_page_token();
  } while (!request.page_token().empty());
  return all;
}

Alikes FetchAlikes(Session& session) {
  const Timeout patience = std::min(session.options.call_timeout, kHintPatience);
  const auto all = FetchParticipants({}, patience, session);
  return all.ok() ? AlikesOf(*all) : Alikes();
}

namespace {

bool HasAbsent(const v1::ListParticipantsReply& reply) {
  return std::any_of(reply.participants().begin(), reply.participants().end(),
                     [](const auto& one) { return one.instances().empty(); });
}

}  // namespace

Exit RunParticipants(const ParticipantsCommand& command, Session& session) {
  const auto all = FetchParticipants(command.request, session.options.call_timeout, session);
  if (!all.ok()) return session.Fail(all.status());
  const Style style = session.MakeStyle();
  // Whoever is meant may be none that was asked for.
  const bool in_part = !command.request.service_prefix().empty();
  const bool look = in_part && style.table() && HasAbsent(*all);
  session.console.Out(
      RenderParticipants(*all, style, look ? FetchAlikes(session) : AlikesOf(*all)));
  session.console.Err(SilentText(all->silent(), "who is connected to it alone is not on the list"));
  if (all->participants_size() == 0) session.console.Err("no participant is known\n");
  return Exit::kDone;
}

Exit RunStats(Session& session) {
  const Result<v1::ServerInfo> info = session.service.GetServerInfo(session.options.call_timeout);
  if (!info.ok()) return session.Fail(info.status());
  session.console.Out(RenderStats(info.value(), session.MakeStyle()));
  google::protobuf::RepeatedPtrField<v1::SilentMember> silent;
  for (const v1::MemberInfo& member : info->members()) {
    if (member.has_info()) continue;
    v1::SilentMember& one = *silent.Add();
    one.set_node(member.node());
    one.set_address(member.address());
    one.set_why(member.silent());
  }
  session.console.Err(SilentText(silent, "the figures are without its own"));
  return Exit::kDone;
}

namespace {

// Whoever looks at one of several wants to know of the others.
std::string ClusterLine(Session& session) {
  v1::GetClusterRequest request;
  request.set_load(true);
  const Result<v1::ClusterView> view =
      session.service.GetCluster(request, session.options.call_timeout);
  if (!view.ok() || IsAlone(*view)) return "";
  std::string node = "a member";
  for (const v1::ClusterMember& member : view->members()) {
    if (member.epoch() == view->answered_by()) node = "node " + Visible(member.node());
  }
  return "it is " + node + " of " + ClusterSummary(*view) + "\n";
}

}  // namespace

Exit RunHealth(Session& session) {
  const Result<v1::ServerInfo> info = session.service.GetServerInfo(session.options.call_timeout);
  if (!info.ok()) return session.Fail(info.status());
  const Style style = session.MakeStyle();
  session.console.Out(RenderHealth(info.value(), session.service.Endpoint(), style));
  if (style.table() && !info->members().empty()) session.console.Out(ClusterLine(session));
  return info.value().refusing().empty() ? Exit::kDone : Exit::kOther;
}

}  // namespace assent::ctl
