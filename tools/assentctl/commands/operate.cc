#include "tools/assentctl/batch.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/text.h"

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

// ---- --all --------------------------------------------------------------------------------------

// Those of which it would only be said that they are in the wrong state are none of its.
v1::ListRequest Wanted(const OperateCommand& command) {
  v1::ListRequest request = command.which;
  if (request.states_size() == 0 && command.verb == Verb::kAbort) request.add_states(v1::ACTIVE);
  if (request.states_size() == 0 && command.verb == Verb::kForget) request.add_states(v1::FINISHED);
  return request;
}

// A list with an outcome has finished ones too.
bool IsPassedOver(const OperateCommand& command, const v1::Transaction& transaction) {
  const Verb verb = command.verb;
  const bool over = transaction.state() == v1::FINISHED && command.which.states_size() == 0;
  return (verb != Verb::kForget && over) || (verb == Verb::kRetry && transaction.suspended()) ||
         (verb == Verb::kResume && !transaction.suspended()) ||
         (verb == Verb::kSuspend && transaction.suspended());
}

// What is held is suspended as well, but not by a person: the verb means something else for it.
std::string HeldMeaning(Verb verb, std::uint64_t held) {
  if (held == 0) return "";
  const std::string text = Grouped(held) + " of them " + (held == 1 ? "is" : "are") +
                           " held: the log may lack what became of " + (held == 1 ? "it" : "them") +
                           "; ";
  switch (verb) {
    case Verb::kAbort:
      return text +
             "abort undoes every branch, also of one that had been committed: look at the "
             "participants first (assentctl show GID)\n";
    case Verb::kResume:
      return text +
             "resume goes on as if nothing had been decided, with a new deadline, and is refused "
             "where a branch is two-phase: look at the participants first (assentctl show GID)\n";
    case Verb::kRetry:
    case Verb::kSuspend:
    case Verb::kForget: break;
  }
  return text + "a person has to say how they go on (assentctl show GID)\n";
}

Exit RunAll(const OperateCommand& command, Session& session) {
  std::uint64_t suspended = 0;  // passed over
  std::uint64_t held = 0;
  Batch batch;
  batch.verb = Name(command.verb);
  batch.which = Wanted(command);
  batch.intent = command.intent;
  batch.choose = [&](const v1::Transaction& transaction) -> std::vector<Target> {
    if (IsPassedOver(command, transaction)) {
      if (command.verb == Verb::kRetry && transaction.suspended()) ++suspended;
      return {};
    }
    held += transaction.held() ? 1 : 0;
    return {{transaction.gid()}};
  };
  batch.request = [&](const Target&, const v1::OperatorAction& action) {
    return MakeRequest(command.verb, action);
  };
  batch.left_out = [&] {
    return suspended == 0
               ? std::string()
               : Grouped(suspended) + " more are suspended, and left out: resume has them go on\n";
  };
  batch.meaning = [&] { return HeldMeaning(command.verb, held); };
  return RunBatch(batch, session);
}

}  // namespace

Exit RunOperate(const OperateCommand& command, Session& session) {
  if (command.all) return RunAll(command, session);
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
