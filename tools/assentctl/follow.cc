#include "tools/assentctl/follow.h"

#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// The stream broke, rather than was refused.
bool IsOutage(const Status& status) {
  return status.code() == Code::kUnavailable || status.code() == Code::kCancelled ||
         status.code() == Code::kUnknownOutcome;
}

}  // namespace

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
      if (*remaining <= milliseconds(0)) {
        followed.end = Followed::End::kTimedOut;
        return followed;
      }
    }
    bool stopped = false;
    Status status = session.service.Watch(request, remaining, [&](const v1::Transaction& seen) {
      if (outage_since.has_value()) console.Err("assentctl: connected again\n");
      outage_since.reset();
      followed.last = seen;
      stopped = !each(seen);
      return !stopped;
    });
    if (stopped || (followed.last.has_value() && followed.last->state() == v1::FINISHED)) {
      followed.end = stopped ? Followed::End::kStopped : Followed::End::kFinished;
      return followed;
    }
    if (status.code() == Code::kDeadlineExceeded && timeout.has_value()) {
      followed.end = Followed::End::kTimedOut;
      return followed;
    }
    // A stream that ends well before the transaction does has lost its coordinator too.
    if (status.ok()) status = Unavailable("the coordinator ended the watch");
    followed.failure = status;
    if (!followed.last.has_value() || !IsOutage(status)) return followed;
    if (!outage_since.has_value()) {
      outage_since = console.Uptime();
      console.Err("assentctl: " + Visible(status.message()) + "; trying again\n");
    }
    if (console.Uptime() - *outage_since >= kLongestOutage) return followed;
    if (!console.Sleep(kReconnectPause)) return followed;
  }
}

}  // namespace assent::ctl
