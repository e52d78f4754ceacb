// breaker open, close and auto.

#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

const char* Effect(v1::SetBreakerRequest::Mode mode) {
  switch (mode) {
    case v1::SetBreakerRequest::OPEN:
      return "gets nothing new until somebody says otherwise, or the coordinator starts again";
    case v1::SetBreakerRequest::CLOSED: return "gets what there is, whatever fails";
    default: return "is left alone and tried again by itself";
  }
}

}  // namespace

Exit RunBreaker(const BreakerCommand& command, Session& session) {
  v1::SetBreakerRequest request = command.request;
  *request.mutable_action() = MakeAction("", command.intent, command.intent.dry_run, session);
  const Result<v1::SetBreakerReply> reply =
      session.service.SetBreaker(request, session.options.call_timeout);
  if (!reply.ok()) {
    if (reply.status().code() != Code::kNotFound) return session.Fail(reply.status());
    session.console.Err("assentctl: " + Visible(reply.status().message()) + "\n");
    return ExitFor(reply.status().code());
  }
  const std::string name =
      request.service() + (request.instance().empty() ? "" : " at " + request.instance());
  session.console.Out(Visible(name) + ": " + (command.intent.dry_run ? "(dry run) " : "") +
                      Effect(request.mode()) + "\n");
  session.console.Err(SilentText(reply->silent(), "it may not be so there"));
  return reply->silent().empty() ? Exit::kDone : Exit::kSomeFailed;
}

}  // namespace assent::ctl
