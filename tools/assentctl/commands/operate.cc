#include "tools/assentctl/commands.h"
#include "tools/assentctl/perform.h"

namespace assent::ctl {

const char* Name(Verb verb) {
  switch (verb) {
    case Verb::kRetry: return "retry";
    case Verb::kAbort: return "abort";
    case Verb::kSuspend: return "suspend";
    case Verb::kResume: return "resume";
    case Verb::kForget: return "forget";
  }
  return "";
}

namespace {

// Trying again, and holding and letting go, can be taken back.
bool NeedsConsent(Verb verb) { return verb == Verb::kAbort || verb == Verb::kForget; }

template <typename Request>
OperatorRequest With(const v1::OperatorAction& action) {
  Request request;
  *request.mutable_action() = action;
  return request;
}

}  // namespace

OperatorRequest MakeRequest(Verb verb, const v1::OperatorAction& action) {
  switch (verb) {
    case Verb::kRetry: return With<v1::RetryNowRequest>(action);
    case Verb::kAbort: return With<v1::AbortRequest>(action);
    case Verb::kSuspend: return With<v1::SuspendRequest>(action);
    case Verb::kResume: return With<v1::ResumeRequest>(action);
    case Verb::kForget: return With<v1::ForgetRequest>(action);
  }
  return With<v1::RetryNowRequest>(action);
}

namespace {

// "-" stands for the lines of stdin: `assentctl list --needs-operator -o id | assentctl retry -`.
std::vector<std::string> Expand(const std::vector<std::string>& gids, Session& session,
                                bool& stdin_taken) {
  std::vector<std::string> expanded;
  for (const std::string& gid : gids) {
    if (gid != "-") {
      expanded.push_back(gid);
      continue;
    }
    stdin_taken = true;
    while (const std::optional<std::string> line = session.console.ReadLine()) {
      if (!line->empty()) expanded.push_back(*line);
    }
  }
  return expanded;
}

}  // namespace

Exit RunOperate(const OperateCommand& command, Session& session) {
  if (command.all) return RunBatch(command, session);
  Deeds deeds;
  deeds.verb = Name(command.verb);
  deeds.needs_consent = NeedsConsent(command.verb);
  for (const std::string& gid : Expand(command.gids, session, deeds.stdin_taken)) {
    deeds.deeds.push_back({gid, [&command, &session, gid](bool dry_run) {
                             return MakeRequest(command.verb,
                                                MakeAction(gid, command.intent, dry_run, session));
                           }});
  }
  if (deeds.deeds.empty()) {
    session.console.Err("nothing to " + deeds.verb + "\n");
    return Exit::kDone;
  }
  return Perform(deeds, command.intent, session);
}

}  // namespace assent::ctl
