#pragma once

// Watching through whatever happens to the connection.

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "tools/assentctl/session.h"

namespace assent::ctl {

// Once connected, how long the coordinator may be away (killed, restarted) before following gives
// up.
inline constexpr std::chrono::milliseconds kLongestOutage{30'000};
inline constexpr std::chrono::milliseconds kReconnectPause{200};

// The stream broke, rather than was refused.
bool IsOutage(const Status& status);

struct Followed {
  enum class End : std::uint8_t {
    kFinished,  // the transaction is finished: `last` says how
    kStopped,   // `each` said to stop
    kTimedOut,  // --timeout passed: `last` says how it was by then
    kFailed,    // `failure` says why; the transaction goes on
  };
  End end = End::kFailed;
  std::optional<v1::Transaction> last;
  Status failure;
};

// Tells each sighting to `each` until it returns false, the transaction is finished, or time is up.
// A coordinator that goes away after the first sighting is waited for; before it, the failure is
// final. One that turns the watch away, because of a limit, is asked again, before it as well.
Followed Follow(const std::string& gid, Timeout timeout, Session& session,
                const OnTransaction& each, bool payloads = false);

// Carries `once` out every `interval`, on a terminal each time on a clear page. An outage is waited
// out: whoever watches wants to see the coordinator come back. One that was never there is not.
Exit Repeat(std::chrono::milliseconds interval, const std::function<Exit()>& once,
            Session& session);

}  // namespace assent::ctl
