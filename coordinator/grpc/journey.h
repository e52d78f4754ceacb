#pragma once

// The way of one call to whoever has its transaction: here, or one hop away. A call that finds the
// transaction gone from where it was looked for is asked again where a newer view says it is, until
// its caller's deadline.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/grpc/peers.h"
#include "coordinator/service/service.h"

namespace assent::door {

// What a call keeps of its request, to be able to ask again; beyond it, one that was taken up here
// and lost with its slot is answered UNAVAILABLE with the owner's address.
inline constexpr std::size_t kMaxKeptRequestBytes = 16 * 1024;
// How long a call waits for a slot that nobody has, or a member that does not answer, if its caller
// says nothing else.
inline constexpr std::chrono::seconds kTravelPatience{10};

// For how long a call has found nobody who takes it up. Who has kept it for half of kTravelPatience
// had taken it up: what comes after that is another search.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  // Somebody is asked.
  void Asked(Clock::time_point now) { asked_ = now; }
  // And has not got it; or there was nobody to be asked. True: that has gone on for `limit`.
  bool IsOver(Clock::time_point now, Clock::duration limit);
  // What to wait before the next look: longer and longer.
  std::chrono::milliseconds NextPause();

 private:
  std::optional<Clock::time_point> asked_;  // since the last look
  std::optional<Clock::time_point> since_;
  std::chrono::milliseconds pause_{};
};

// Who has what, and how to get there.
struct Ways {
  service::Service& service;
  GrpcPeers* peers;
};

struct Trip {
  std::string gid;
  std::string method;  // as it is on the wire
  // Who asks, if that is proven.
  std::string on_behalf_of{};
  grpc::ByteBuffer request{};
  GrpcPeers::Deadline deadline = GrpcPeers::Deadline::max();
  // It may be said again without doing anything twice.
  bool repeatable = true;
  // Begins something: refused while the database is away.
  bool new_work = false;
  // It is asked of this coordinator (again).
  std::function<void()> here{};
  std::function<void(Handed&&)> arrived{};
  // Nobody could be asked, or nobody answered. `maybe_done`: somebody may have done it.
  std::function<void(const Status& why, bool maybe_done)> lost{};
};

class Journey final : public std::enable_shared_from_this<Journey> {
 public:
  Journey(const Ways& ways, Trip trip) : ways_(ways), trip_(std::move(trip)) {}

  void Go() ASSENT_EXCLUDES(mutex_);
  // What this coordinator said of it: kElsewhere, or of a call that may be repeated
  // kUnknownOutcome. False: it is an answer.
  bool Again(const Status& said) ASSENT_EXCLUDES(mutex_);
  // Its caller has the answer, or has left.
  void End() ASSENT_EXCLUDES(mutex_);

 private:
  void Pause(const Status& why, Patience::Clock::duration patience) ASSENT_EXCLUDES(mutex_);
  // `member`: for people, whose answer it is, or would be.
  void Arrive(const std::string& member, Handed&& handed) ASSENT_EXCLUDES(mutex_);
  void Lose(const Status& why) ASSENT_EXCLUDES(mutex_);

  const Ways ways_;
  Trip trip_;
  Mutex mutex_;
  bool over_ ASSENT_GUARDED_BY(mutex_) = false;
  bool maybe_done_ ASSENT_GUARDED_BY(mutex_) = false;
  std::shared_ptr<GrpcPeers::Errand> errand_ ASSENT_GUARDED_BY(mutex_);
  Patience patience_ ASSENT_GUARDED_BY(mutex_);
};

// A copy of the bytes of a request, without what gRPC keeps around them; nothing, if they are too
// many to be kept.
grpc::ByteBuffer KeptOf(const grpc::ByteBuffer& request);

// For the door: the trailers of an answer that says "not here".
void AddTrailers(const service::Route& route, grpc::CallbackServerContext& context);

}  // namespace assent::door
