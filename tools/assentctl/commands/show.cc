#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/show_view.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/watch_view.h"

namespace assent::ctl {
namespace {

// A document per sighting needs something between them: one line each.
void OneLineDocuments(Style& style) {
  if (style.output == Output::kJson) style.output = Output::kJsonl;
}

// The exit code of following to the end, whatever the outcome; says so when the end was not
// reached.
Exit EndOfFollowing(const Followed& followed, const std::string& gid, Session& session) {
  switch (followed.end) {
    case Followed::End::kFinished:
    case Followed::End::kStopped: return Exit::kDone;
    case Followed::End::kTimedOut:
      session.console.Err("assentctl: --timeout passed; " + Visible(gid) + " goes on\n");
      return Exit::kStillRunning;
    case Followed::End::kFailed: return session.Fail(followed.failure);
  }
  return Exit::kOther;
}

Exit ShowFollowing(const ShowCommand& command, Session& session) {
  const bool redraw = session.surroundings.out_is_terminal && session.MakeStyle().table();
  bool first = true;
  const Followed followed = Follow(
      command.gid, session.options.wait_timeout, session,
      [&](const v1::Transaction& seen) {
        Style style = session.MakeStyle();
        style.payloads = command.payloads;
        style.bytes = command.bytes;
        OneLineDocuments(style);
        std::string text = redraw ? "\x1b[H\x1b[2J" : "";
        if (!first && !redraw) text = style.output == Output::kYaml ? "---\n" : "";
        if (!first && !redraw && style.table()) text = "\n";
        session.console.Out(text + RenderTransaction(seen, style));
        first = false;
        return true;
      },
      command.payloads);
  return EndOfFollowing(followed, command.gid, session);
}

bool IsWhole(const v1::Branch& branch, bool payloads) {
  return branch.attempts_left_out() == 0 && branch.result_bytes() <= branch.result().size() &&
         (!payloads || branch.spec().payload_bytes() <= branch.spec().payload().size());
}

// With all that is kept of it: what one message had no room for is asked for branch by branch.
Result<v1::Transaction> GetWhole(const ShowCommand& command, Session& session) {
  v1::GetRequest request;
  request.set_gid(command.gid);
  request.set_results(true);
  request.set_payloads(command.payloads);
  Result<v1::Transaction> found = session.service.Get(request, session.options.call_timeout);
  if (!found.ok()) return found;
  for (v1::Branch& branch : *found->mutable_branches()) {
    if (IsWhole(branch, command.payloads)) continue;
    request.set_branch_id(branch.spec().branch_id());
    Result<v1::Transaction> one = session.service.Get(request, session.options.call_timeout);
    if (!one.ok()) return one;
    if (one->branches_size() == 1) branch.Swap(one->mutable_branches(0));
  }
  return found;
}

}  // namespace

Exit RunShow(const ShowCommand& command, Session& session) {
  if (command.watch) return ShowFollowing(command, session);
  const Result<v1::Transaction> found = GetWhole(command, session);
  if (!found.ok()) return session.Fail(found.status());
  Style style = session.MakeStyle();
  style.payloads = command.payloads;
  style.bytes = command.bytes;
  session.console.Out(RenderTransaction(found.value(), style));
  return Exit::kDone;
}

Exit RunWatch(const WatchCommand& command, Session& session) {
  std::optional<v1::Transaction> before;
  const Followed followed =
      Follow(command.gid, session.options.wait_timeout, session, [&](const v1::Transaction& seen) {
        Style style = session.MakeStyle();
        OneLineDocuments(style);
        session.console.Out(style.table()
                                ? RenderChange(before.has_value() ? &*before : nullptr, seen, style)
                                : RenderTransaction(seen, style));
        before = seen;
        return true;
      });
  return EndOfFollowing(followed, command.gid, session);
}

}  // namespace assent::ctl
