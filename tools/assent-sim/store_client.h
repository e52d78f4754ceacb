#pragma once

// How code that waits for the store waits for it: on a fiber that belongs to one life of one
// coordinator, over one connection at a time.

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "tools/assent-sim/fiber.h"
#include "tools/assent-sim/shared_store.h"

namespace assent::sim {

class StoreClient {
 public:
  // `number`: of the fiber, among those of its life.
  StoreClient(Sim& sim, SharedStore& store, std::uint64_t life, std::uint64_t number)
      : sim_(sim), store_(store), life_(life), number_(number) {}

  // What runs on the fiber of this client; it is resumed with Wake, at any time: whatever waits in
  // it looks whether it is its turn.
  void Start(std::function<void()> body) {
    fiber_ = std::make_unique<Fiber>(std::move(body));
    sim_.After(1, EventKind::kFiber, life_, number_);
  }
  void Wake() {
    if (fiber_ && !fiber_->running()) fiber_->Resume();
  }
  void WakeAfter(Time time) { sim_.After(time, EventKind::kFiber, life_, number_); }
  // Its process has died.
  void Stop() { fiber_.reset(); }
  bool done() const { return fiber_ && fiber_->done(); }

  // ---- On the fiber.
  void Pause() { fiber_->Wait(); }
  void Sleep(Time time) {
    const Time until = sim_.now + time;
    sim_.At(until, EventKind::kFiber, life_, number_);
    while (sim_.now < until) fiber_->Wait();
  }
  // A new connection, for which nobody waits: what is sent on it finds out whether it stands.
  void Connect() {
    if (link_ != kNone) store_.Close(link_);
    link_ = store_.Open(life_, [this] { Wake(); });
  }
  bool connected() const { return link_ != kNone && !store_.broken(link_); }
  std::uint64_t link() const { return link_; }
  std::uint64_t Send(StoreRequest request) {
    if (link_ == kNone) Connect();
    return store_.Send(link_, std::move(request));
  }
  // Until it is executed, or committed and so acknowledged. False: the connection broke first.
  bool Await(std::uint64_t request, bool committed) {
    const StoreAnswer& answer = store_.Answer(request);
    while (!(committed ? answer.done : answer.executed)) {
      if (store_.broken(link_)) return false;
      fiber_->Wait();
    }
    return true;
  }
  // Both, and the status; kUnavailable: perhaps it was done. `request.simple` alone.
  Status Ask(StoreRequest request) {
    if (!connected()) Connect();
    const std::uint64_t n = Send(std::move(request));
    if (!Await(n, true)) return Unavailable("the store does not answer");
    const StoreAnswer& answer = store_.Answer(n);
    if (answer.warned) return Unavailable("committed, perhaps not everywhere");
    return answer.status;
  }

 private:
  static constexpr std::uint64_t kNone = UINT64_MAX;

  Sim& sim_;
  SharedStore& store_;
  const std::uint64_t life_;
  const std::uint64_t number_;
  std::uint64_t link_ = kNone;
  std::unique_ptr<Fiber> fiber_;
};

}  // namespace assent::sim
