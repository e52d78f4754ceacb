#include "tools/assentctl/follow.h"

#include <utility>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Of what was never seen nobody knows that it goes on.
Followed TimedOut(Followed followed, std::chrono::milliseconds timeout) {
  if (followed.last.has_value()) {
    followed.end = Followed::End::kTimedOut;
  } else {
    followed.failure =
        Status(Code::kDeadlineExceeded, "nothing was heard of it within --timeout (" +
                                            FormatDuration(timeout.count()) + ")");
  }
  return followed;
}

}  // namespace

bool IsOutage(const Status& status) {
  return status.code() == Code::kUnavailable || status.code() == Code::kCancelled ||
         status.code() == Code::kUnknownOutcome;
}

Followed Follow(const std::string& gid, Timeout timeout, Session& session,
                const OnTransaction& each, bool payloads) {
  using std::chrono::milliseconds;
  Console& console = session.console;
  const milliseconds start = console.Uptime();
  std::optional<milliseconds> outage_since;
  Followed followed;
  v1::WatchRequest request;
  request.set_gid(gid);
  request.set_results(true);
  request.set_payloads(payloads);
  while (true) {
    Timeout remaining = timeout;
    if (timeout.has_value()) {
      remaining = *timeout - (console.Uptime() - start);
      if (*remaining <= milliseconds(0)) return TimedOut(std::move(followed), *timeout);
    }
    bool stopped = false;
    Status status = session.service.Watch(request, remaining, [&](const v1::Transaction& seen) {
      if (outage_since.has_value()) console.Err("assentctl: it answers again\n");
      outage_since.reset();
      followed.last = seen;
      stopped = !each(seen);
      return !stopped;
    });
    if (status.code() == Code::kPermissionDenied && request.results() && !payloads) {
      request.set_results(false);  // whose rule is without payloads has no results either
      continue;
    }
    if (stopped || (followed.last.has_value() && followed.last->state() == v1::FINISHED)) {
      followed.end = stopped ? Followed::End::kStopped : Followed::End::kFinished;
      return followed;
    }
    if (status.code() == Code::kDeadlineExceeded && timeout.has_value())
      return TimedOut(std::move(followed), *timeout);
    // A stream that ends well before the transaction does has lost its coordinator too.
    if (status.ok()) status = Unavailable("the coordinator ended the watch");
    followed.failure = status;
    // Beyond a limit there is room again in a moment, and what was begun goes on.
    const bool full = status.code() == Code::kResourceExhausted;
    if (!full && (!followed.last.has_value() || !IsOutage(status))) return followed;
    if (!outage_since.has_value()) {
      outage_since = console.Uptime();
      console.Err("assentctl: " + Visible(status.message()) + "; trying again\n");
    }
    if (console.Uptime() - *outage_since >= kLongestOutage) return followed;
    if (!console.Sleep(kReconnectPause)) return followed;
  }
}

Exit Repeat(std::chrono::milliseconds interval, const std::function<Exit()>& once,
            Session& session) {
  const bool redraw = session.surroundings.out_is_terminal && session.MakeStyle().table();
  bool connected = false;
  while (true) {
    if (redraw) {
      session.console.Out("\x1b[H\x1b[2J");
      session.console.Err(FormatIso(session.console.NowUnixMs()) + ", every " +
                          FormatDuration(interval.count()) + " (Ctrl-C ends)\n");
    }
    const Exit exit = once();
    const bool outage = exit == Exit::kCannotConnect && connected;
    if (exit != Exit::kDone && !outage) return exit;
    connected = true;
    if (!session.console.Sleep(interval)) return exit;
    if (!redraw && session.MakeStyle().table()) session.console.Out("\n");
  }
}

}  // namespace assent::ctl
