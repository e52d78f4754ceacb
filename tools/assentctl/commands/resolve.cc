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

}  // namespace

Exit RunResolve(const ResolveCommand& command, Session& session) {
  v1::GetRequest get;
  get.set_gid(command.gid);
  const Result<v1::Transaction> found = session.service.Get(get, session.options.call_timeout);
  if (!found.ok()) return session.Fail(found.status());
  const Result<v1::Branch> branch = FindBranch(found.value(), command.branch_id);
  if (!branch.ok()) {
    session.console.Err(ErrorText(branch.status()));
    return Exit::kNotFound;
  }
  Intent intent = command.intent;
  const bool can_ask = session.surroundings.in_is_terminal;
  Deeds deeds;
  deeds.verb = "resolve";
  deeds.needs_consent = true;
  deeds.warning = ResolveMeaning(found.value(), branch.value(), command.resolution);
  if (intent.dry_run || intent.yes) session.console.Err(deeds.warning);
  if (can_ask || intent.yes) {
    const Status asked = AskReason("resolve", "what was seen at the participant", intent, session);
    if (!asked.ok()) return session.Fail(asked);
  }
  deeds.deeds.push_back({command.gid, [&](bool dry_run) -> OperatorRequest {
                           v1::ResolveBranchRequest request;
                           *request.mutable_action() =
                               MakeAction(command.gid, intent, dry_run, session);
                           request.set_branch_id(command.branch_id);
                           request.set_resolution(command.resolution);
                           return request;
                         }});
  return Perform(deeds, intent, session);
}

}  // namespace assent::ctl
