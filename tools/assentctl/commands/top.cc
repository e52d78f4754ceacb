#include "tools/assentctl/commands.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/text.h"
#include "tools/assentctl/top_view.h"

namespace assent::ctl {
namespace {

using std::chrono::milliseconds;

constexpr char kCtrlC = '\x03';
constexpr char kEsc = '\x1b';
// Between the two looks of --once, which rates are of.
constexpr milliseconds kOnceApart{1'000};

Result<Sighting> Look(Session& session) {
  Sighting seen;
  const milliseconds patience = session.options.call_timeout;
  Result<v1::ServerInfo> info = session.service.GetServerInfo(patience);
  if (!info.ok()) return info.status();
  seen.info = *std::move(info);
  Result<v1::ListCausesReply> causes = session.service.ListCauses({}, patience);
  if (!causes.ok()) return causes.status();
  seen.causes = *std::move(causes);
  Result<v1::ListParticipantsReply> participants = session.service.ListParticipants({}, patience);
  if (!participants.ok()) return participants.status();
  seen.participants = *std::move(participants);
  seen.at_unix_ms = session.console.NowUnixMs();
  return seen;
}

Exit Once(Session& session) {
  const Result<Sighting> before = Look(session);
  if (!before.ok()) return session.Fail(before.status());
  (void)session.console.Sleep(kOnceApart);
  const Result<Sighting> now = Look(session);
  if (!now.ok()) return session.Fail(now.status());
  session.console.Out(RenderTop(*before, *now, session.service.Endpoint(), session.MakeStyle(), 0));
  return Exit::kDone;
}

bool Leaves(char key) { return key == 'q' || key == 'Q' || key == kCtrlC || key == kEsc; }

}  // namespace

Exit RunTop(const TopCommand& command, Session& session) {
  if (command.once) return Once(session);
  if (!session.surroundings.in_is_terminal || !session.surroundings.out_is_terminal) {
    session.console.Err(
        "assentctl: top draws on a terminal, and there is none; --once looks once\n");
    return Exit::kUsage;
  }
  Result<Sighting> before = Look(session);
  if (!before.ok()) return session.Fail(before.status());
  const auto page = session.console.TakePage();
  while (true) {
    const Result<Sighting> now = Look(session);
    std::string text = "\x1b[H\x1b[2J";
    if (now.ok()) {
      text +=
          RenderTop(*before, *now, session.service.Endpoint(), session.MakeStyle(), page->Rows());
      before = *now;
    } else {
      // It may come back, and then whoever looks wants to see it.
      text += "assentctl: " + Visible(now.status().message()) + "\n";
    }
    session.console.Out(text + "\n" + "every " + FormatDuration(command.interval.count()) +
                        "; q leaves\n");
    const std::optional<char> key = page->ReadKey(command.interval);
    if (key.has_value() && Leaves(*key)) return Exit::kDone;
  }
}

}  // namespace assent::ctl
