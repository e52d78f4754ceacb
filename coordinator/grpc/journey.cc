#include "coordinator/grpc/journey.h"

#include <algorithm>
#include <utility>

namespace assent::door {
namespace {

constexpr std::chrono::milliseconds kMinPause{10};
constexpr std::chrono::milliseconds kMaxPause{160};
// So long before its caller's deadline a call is given up.
constexpr std::chrono::milliseconds kLastWords{100};

// A server that is none of gRPC, or a proxy, answers with a page.
bool IsOfCoordinator(const grpc::Status& status) {
  return status.error_message().find("Received http2 header with status") == std::string::npos;
}

}  // namespace

bool Patience::IsOver(Clock::time_point now, Clock::duration limit) {
  const auto asked = std::exchange(asked_, std::nullopt);
  if (!since_ || (asked && now - *asked >= kTravelPatience / 2)) {
    since_ = now;
    pause_ = kMinPause;
  }
  return now - *since_ >= limit;
}

std::chrono::milliseconds Patience::NextPause() {
  return std::exchange(pause_, std::min(2 * pause_, kMaxPause));
}

void AddTrailers(const service::Route& route, grpc::CallbackServerContext& context) {
  if (!route.address.empty()) context.AddTrailingMetadata(kOwnerTrailer, route.address);
  context.AddTrailingMetadata(kVersionTrailer, std::to_string(route.version));
}

grpc::ByteBuffer KeptOf(const grpc::ByteBuffer& request) {
  if (request.Length() > kMaxKeptRequestBytes) return {};
  grpc::Slice whole;
  if (!request.DumpToSingleSlice(&whole).ok()) return {};
  const grpc::Slice copy(whole.begin(), whole.size());
  return {&copy, 1};
}

void Journey::Go() {
  {
    const MutexLock lock(mutex_);
    if (over_) return;
    patience_.Asked(Patience::Clock::now());
  }
  if (trip_.new_work && ways_.service.engine().away()) return Lose(engine::Engine::Away());
  const service::Route route = ways_.service.router().Find(trip_.gid);
  switch (route.where) {
    case service::Route::Where::kHere: return trip_.here();
    case service::Route::Where::kNobody:
      return Pause(Unavailable("transaction " + trip_.gid +
                               " is in a slot that no coordinator has at this moment: ask again"),
                   Patience::Clock::duration::max());
    case service::Route::Where::kThere: break;
  }
  if (ways_.peers == nullptr)
    return Lose(Unavailable("transaction " + trip_.gid + " is another coordinator's"));
  // Kept from its end: it may end before this returns.
  auto errand = ways_.peers->Call(
      route.epoch, {trip_.method, trip_.on_behalf_of}, trip_.request, trip_.deadline,
      [self = shared_from_this(), member = "the coordinator that has it, at " + route.address](
          Handed&& handed) { self->Arrive(member, std::move(handed)); });
  {
    const MutexLock lock(mutex_);
    if (!over_) {
      errand_ = std::move(errand);
      return;
    }
  }
  GrpcPeers::Cancel(*errand);
}

void Journey::Lose(const Status& why) {
  bool maybe_done = false;
  {
    const MutexLock lock(mutex_);
    maybe_done = maybe_done_;
  }
  trip_.lost(why, maybe_done);
}

void Journey::Arrive(const std::string& member, Handed&& handed) {
  {
    const MutexLock lock(mutex_);
    if (over_) return;
    maybe_done_ = true;
  }
  const Status why = Unavailable(member + ": " + handed.status.error_message());
  if (handed.moved) return Pause(why, Patience::Clock::duration::max());
  // Lost with its coordinator, perhaps: then somebody takes its slot over.
  const bool unreached =
      handed.status.error_code() == grpc::UNAVAILABLE || !IsOfCoordinator(handed.status);
  if (unreached && trip_.repeatable) {
    // Its caller shall hear why, rather than nothing.
    const bool last = std::chrono::system_clock::now() + kMaxPause + kLastWords > trip_.deadline;
    return last ? Lose(why) : Pause(why, kTravelPatience);
  }
  trip_.arrived(std::move(handed));
}

bool Journey::Again(const Status& said) {
  const bool unknown = said.code() == Code::kUnknownOutcome && trip_.repeatable;
  if ((said.code() != Code::kElsewhere && !unknown) || trip_.request.Length() == 0) return false;
  {
    const MutexLock lock(mutex_);
    maybe_done_ = maybe_done_ || unknown;
  }
  Pause(said, Patience::Clock::duration::max());
  return true;
}

void Journey::Pause(const Status& why, Patience::Clock::duration patience) {
  MutexLock lock(mutex_);
  if (over_) return;
  if (trip_.deadline == GrpcPeers::Deadline::max())
    patience = std::min<Patience::Clock::duration>(patience, kTravelPatience);
  if (patience_.IsOver(Patience::Clock::now(), patience)) {
    lock.Unlock();
    return Lose(why);
  }
  const std::chrono::milliseconds pause = patience_.NextPause();
  lock.Unlock();
  const bool waits = ways_.peers != nullptr &&
                     ways_.peers->Pause(pause, [self = shared_from_this()] { self->Go(); });
  if (!waits) Lose(why);
}

// gRPC may call back from within what cancels, so without the lock.
void Journey::End() {
  std::shared_ptr<GrpcPeers::Errand> errand;
  {
    const MutexLock lock(mutex_);
    over_ = true;
    errand = std::move(errand_);
  }
  if (errand) GrpcPeers::Cancel(*errand);
}

}  // namespace assent::door
