#include <algorithm>

#include <assent/trace.h>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/show_view.h"
#include "tools/assentctl/submit_file.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

Result<v1::TransactionSpec> ReadSpec(const SubmitCommand& command, Session& session) {
  Result<std::string> content = session.console.ReadFile(command.path);
  if (!content.ok()) return content.status();
  const std::string name = command.path == "-" ? "standard input" : command.path;
  return ReadTransactionSpec(content.value(), name, command.gid);
}

// Accepts it once. A lost answer is asked for again when the gid makes that safe: the same gid with
// the same content is the same transaction.
Result<v1::SubmitReply> Accept(const v1::SubmitRequest& request, Session& session) {
  const std::chrono::milliseconds start = session.console.Uptime();
  const std::string& gid = request.transaction().gid();
  bool lost = false;
  while (true) {
    Result<v1::SubmitReply> reply = session.service.Submit(request, session.options.call_timeout);
    if (reply.ok()) return reply;
    const Code code = reply.status().code();
    if (code == Code::kUnknownOutcome) {
      lost = true;
      if (gid.empty()) {
        return UnknownOutcome(reply.status().message() +
                              "; whether the transaction was begun is not known. A \"gid\" of your "
                              "own makes it safe to submit again");
      }
    } else if (!lost || code != Code::kUnavailable) {
      return reply;
    }
    const std::chrono::milliseconds past = session.console.Uptime() - start;
    if (past < std::min(kLongestOutage, session.options.wait_timeout.value_or(kLongestOutage)) &&
        session.console.Sleep(kReconnectPause))
      continue;
    // An earlier attempt may have begun it, also if the last one could not be sent.
    return UnknownOutcome("whether " + gid + " was begun is not known: " +
                          reply.status().message() + "; submitting it again is safe");
  }
}

}  // namespace

Exit RunSubmit(const SubmitCommand& command, Session& session) {
  Result<v1::TransactionSpec> spec = ReadSpec(command, session);
  if (!spec.ok()) return session.Fail(spec.status());
  if (command.dry_run) {
    session.console.Err("assentctl: the file is well-formed; nothing was submitted\n");
    const Json json = ToJson(spec.value(), {.payloads = true, .summary = false});
    session.console.Out(session.options.output == Output::kYaml ? Yaml(json) : PrettyJson(json));
    return Exit::kDone;
  }
  v1::SubmitRequest request;
  *request.mutable_transaction() = std::move(spec.value());
  // What is ill-formed there is none, as everywhere but in a request itself.
  if (ParseTraceparent(command.traceparent))
    request.mutable_transaction()->set_traceparent(command.traceparent);
  request.set_wait_for(v1::WAIT_ACCEPTED);
  const Result<v1::SubmitReply> reply = Accept(request, session);
  if (!reply.ok()) return session.Fail(reply.status());
  const std::string& gid = reply.value().gid();
  if (command.wait.wait_for == v1::WAIT_ACCEPTED && session.options.output == Output::kId) {
    session.console.Out(Visible(gid) + "\n");
    return Exit::kDone;
  }
  session.console.Err("submitted " + Visible(gid) + "\n");
  WaitCommand wait = command.wait;
  wait.gid = gid;
  return RunWait(wait, session);
}

}  // namespace assent::ctl
