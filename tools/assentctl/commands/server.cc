#include "tools/assentctl/commands.h"
#include "tools/assentctl/server_view.h"

namespace assent::ctl {

Exit RunParticipants(const ParticipantsCommand& command, Session& session) {
  const Result<v1::ListParticipantsReply> reply =
      session.service.ListParticipants(command.request, session.options.call_timeout);
  if (!reply.ok()) return session.Fail(reply.status());
  session.console.Out(RenderParticipants(reply.value(), session.MakeStyle()));
  if (reply.value().participants_size() == 0) session.console.Err("no participant is known\n");
  return Exit::kDone;
}

Exit RunStats(Session& session) {
  const Result<v1::ServerInfo> info = session.service.GetServerInfo(session.options.call_timeout);
  if (!info.ok()) return session.Fail(info.status());
  session.console.Out(RenderStats(info.value(), session.MakeStyle()));
  return Exit::kDone;
}

Exit RunHealth(Session& session) {
  const Result<v1::ServerInfo> info = session.service.GetServerInfo(session.options.call_timeout);
  if (!info.ok()) return session.Fail(info.status());
  session.console.Out(RenderHealth(info.value(), session.options.endpoint, session.MakeStyle()));
  return info.value().refusing().empty() ? Exit::kDone : Exit::kOther;
}

}  // namespace assent::ctl
