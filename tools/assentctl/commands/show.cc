#include <algorithm>
#include <utility>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/participants.h"
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

// Best effort: without an answer the page is as it is. Asked once, for what the page can use.
class Hints {
 public:
  explicit Hints(Session& session) : session_(session) {}

  const PageHints& For(const v1::Transaction& seen) {
    if (!session_.MakeStyle().table()) return hints_;
    if (!seen.traceparent().empty() && !std::exchange(asked_trace_, true)) {
      const auto info =
          session_.service.GetServerInfo(std::min(session_.options.call_timeout, kHintPatience));
      if (info.ok()) hints_.trace_url = info->trace_url();
    }
    if (WaitsForAbsent(seen) && !std::exchange(asked_alikes_, true))
      hints_.alikes = FetchAlikes(session_);
    return hints_;
  }

 private:
  Session& session_;
  PageHints hints_;
  bool asked_trace_ = false;
  bool asked_alikes_ = false;
};

Exit ShowFollowing(const ShowCommand& command, Session& session) {
  const bool redraw = session.surroundings.out_is_terminal && session.MakeStyle().table();
  bool first = true;
  Hints hints(session);
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
        session.console.Out(text + RenderTransaction(seen, style, hints.For(seen)));
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
  if (found.status().code() == Code::kPermissionDenied && !command.payloads) {
    // Whose rule is without payloads has no results either, and sees all the rest.
    request.set_results(false);
    return session.service.Get(request, session.options.call_timeout);
  }
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
  session.console.Out(RenderTransaction(found.value(), style, Hints(session).For(found.value())));
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
