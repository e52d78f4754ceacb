#include "tools/assentctl/commands.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/resolve_text.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

Result<v1::Branch> FindBranch(const v1::Transaction& transaction, const std::string& id) {
  std::string known;
  for (const v1::Branch& branch : transaction.branches()) {
    if (branch.spec().branch_id() == id) return branch;
    known += (known.empty() ? "" : ", ") + branch.spec().branch_id();
  }
  return InvalidArgument("transaction " + transaction.gid() + " has no branch " + id + "; it has " +
                         (known.empty() ? "none" : known));
}

// Who has agreed already has asked for it: it is refused where it goes on record. The words are
// ours, which know the branches.
Exit AskAllTheSame(const OperatorRequest& request, const Status& why, Session& session) {
  const auto reply = session.service.Operate(request, session.options.call_timeout);
  if (reply.ok()) {  // it has come meanwhile
    session.console.Out(Visible(reply->effect()) + "\n");
    return Exit::kDone;
  }
  if (reply.status().code() != Code::kNotFound) return session.Fail(reply.status());
  session.console.Err(ErrorText(why));
  return Exit::kNotFound;
}

}  // namespace

Exit RunResolve(const ResolveCommand& command, Session& session) {
  if (command.all) return RunResolveAll(command, session);
  v1::GetRequest get;
  get.set_gid(command.gid);
  const Result<v1::Transaction> found = session.service.Get(get, session.options.call_timeout);
  const Result<v1::Branch> branch =
      found.ok() ? FindBranch(found.value(), command.branch_id) : found.status();
  Intent intent = command.intent;
  const auto ask = [&](bool dry_run) -> OperatorRequest {
    v1::ResolveBranchRequest request;
    *request.mutable_action() = MakeAction(command.gid, intent, dry_run, session);
    request.set_branch_id(command.branch_id);
    request.set_resolution(command.resolution);
    return request;
  };
  if (!branch.ok()) {
    const bool known = found.ok() || found.status().code() == Code::kNotFound;
    if (!known || !intent.yes || intent.dry_run || intent.reason.empty()) {
      session.console.Err(ErrorText(branch.status()));
      return found.ok() ? Exit::kNotFound : ExitFor(found.status().code());
    }
    return AskAllTheSame(ask(false), branch.status(), session);
  }
  const bool can_ask = session.surroundings.in_is_terminal;
  Deeds deeds;
  deeds.verb = "resolve";
  deeds.needs_consent = true;
  deeds.warning = ResolveMeaning(found.value(), branch.value(), command.resolution);
  if (intent.dry_run || intent.yes) session.console.Err(deeds.warning);
  if (can_ask || intent.yes) {
    const Status asked = AskReason("resolve", kSeenThere, intent, session);
    if (!asked.ok()) return session.Fail(asked);
  }
  deeds.deeds.push_back({command.gid, ask});
  return Perform(deeds, intent, session);
}

}  // namespace assent::ctl
