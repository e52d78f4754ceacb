#pragma once

// Server-sent events: how they are written, and the call that streams them.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/http/calls.h"
#include "coordinator/http/exchange.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/room.h"

namespace assent::http {

// The last events of a stream: `end` (there is nothing more to come) or `error` (google.rpc.Status;
// who wants to see more asks again).
inline constexpr char kEndEvent[] = "end";
std::string EventText(std::string_view name, std::string_view data, std::string_view id = {});

// An EventSource that has had the end dials again all the same; it is answered, and told not to.
bool HasHadTheEnd(const Order& order);

// Whoever only looks has lost nothing. `asked`: it was he who said how long.
Status TooLateToLook(std::chrono::milliseconds after, bool asked);

// A caller who is shown one thing after the other, each when he has taken the one before. What is
// shown is the derived call's; where it comes from is known to those who Keep it.
class StreamCall : public Pending {
 public:
  std::chrono::milliseconds patience() const override { return kPatience; }
  void TimedOut() override { EndStream(TooLateToLook(kPatience, /*asked=*/false)); }
  void Taken() override;
  void Close() override;
  // The last event, if it has not been. From any thread.
  void EndStream(const Status& status);

 protected:
  explicit StreamCall(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  // The room that it takes, until it is over.
  Status Enter(const Rooms& rooms, const service::Caller& caller) {
    return room_.Enter(rooms.service.holdings(), service::Held::kStream, caller);
  }
  // Told that what was shown has been taken; and, once, that the caller has left.
  void Keep(std::function<void()> taken, std::function<void()> leave);
  // Of so many bytes on the wire; not OK: the caller has left, or there is no room.
  Status ShowText(std::size_t bytes, std::function<std::string()> text);

 private:
  std::shared_ptr<Exchange> Finish(bool* begun);

  // For what is shown first.
  static constexpr std::chrono::milliseconds kPatience{kMaxLookMs};

  Mutex mutex_;
  std::shared_ptr<Exchange> exchange_ ASSENT_GUARDED_BY(mutex_);  // nullptr: it has ended
  bool begun_ ASSENT_GUARDED_BY(mutex_) = false;
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
  std::function<void()> taken_ ASSENT_GUARDED_BY(mutex_);
  std::function<void()> leave_ ASSENT_GUARDED_BY(mutex_);
  Room room_;
};

}  // namespace assent::http
