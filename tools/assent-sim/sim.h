#pragma once

// What every part of the simulated world shares: time, chance, the queue of what happens next, the
// trace, and the first violation. Single-threaded; one Sim is one schedule.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/types.h"
#include "tools/assent-sim/dice.h"
#include "tools/assent-sim/marks.h"
#include "tools/assent-sim/options.h"

namespace assent::sim {

// What can happen. The comment names the numbers that go with it.
enum class EventKind : std::uint8_t {
  kTurn,                    // life, shard: the coordinator's shard takes its mailbox
  kLogWrite,                // life
  kLogSync,                 // life
  kHubTick,                 // life
  kPace,                    // life: something is due at its board
  kUnaryDeadline,           // life, call
  kUnaryLink,               // service: the coordinator notices whether it can be connected to
  kCoordinatorStarts,       //
  kConnected,               // connection: the participant may write
  kFrameToCoordinator,      // connection
  kFrameToParticipant,      // connection
  kWriteDoneAtCoordinator,  // connection
  kWriteDoneAtParticipant,  // connection
  kClosedAtCoordinator,     // connection
  kClosedAtParticipant,     // connection
  kUnaryToParticipant,      // letter
  kUnaryToCoordinator,      // letter
  kParticipantStarts,       // service
  kParticipantTick,         // service, life
  kGroupBegins,             // service, life
  kGroupCommits,            // service, life
  kQuestionRound,           // service, life
  kInitiator,               // transaction
  kPatienceEnds,            // transaction, call
  kLocalCommit,             // transaction: what its initiator commits by itself
  kFault,                   // number of the fault
  kHeal,                    //
  kRetire,                  // participants look through their old rows
  kWallRight,               // the wall clock is put right
  // Of several coordinators.
  kFiber,             // life, number: what waits on a stack of its own looks again
  kProcessEnds,       // life: it has stopped itself
  kForwarded,         // message: from coordinator to coordinator
  kStoreArrives,      // request: at the server
  kStoreCommits,      // request
  kStoreReplicates,   // request: at the standby
  kStoreLockTimeout,  // request
  kStoreAnswer,       // request, step
  kStoreBroken,       // link: the client notices
  kStoreUp,           //
  kRelease,           // people let go of what they hold, until somebody has heard it
};

struct Event {
  Time at = 0;
  std::uint64_t order = 0;
  EventKind kind = EventKind::kTurn;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
};

class Sim {
 public:
  explicit Sim(const Options& chosen, bool tracing)
      : options(chosen), dice(chosen.seed), tracing_(tracing) {}

  const Options options;
  Dice dice;
  Marks marks;
  Time now = 0;
  Time wall_offset = 0;     // jumps of the clock for people
  bool healed = false;      // faults have stopped
  bool fixed_pace = false;  // every latency is its maximum: the explorer's worlds

  core::MonoTime Mono() const { return core::MonoTime(core::Micros(kHour + now)); }
  core::WallTime Wall() const {
    return core::WallTime(core::Millis(1'700'000'000'000 + (now + wall_offset) / kMillisecond));
  }
  std::chrono::steady_clock::time_point Steady() const {
    return std::chrono::steady_clock::time_point(std::chrono::microseconds(kHour + now));
  }

  // Something will happen after `wait`.
  void After(Time wait, EventKind kind, std::uint64_t a = 0, std::uint64_t b = 0) {
    At(now + wait, kind, a, b);
  }
  void At(Time when, EventKind kind, std::uint64_t a = 0, std::uint64_t b = 0) {
    queue_.push_back({std::max(when, now), next_order_++, kind, a, b});
    std::push_heap(queue_.begin(), queue_.end(), Later);
  }
  bool Next(Event& event) {
    if (queue_.empty()) return false;
    std::pop_heap(queue_.begin(), queue_.end(), Later);
    event = queue_.back();
    queue_.pop_back();
    now = event.at;
    return true;
  }
  // When the next event is due; -1: nothing is left.
  Time NextAt() const { return queue_.empty() ? -1 : queue_.front().at; }
  // A latency: up to `max`, at least a microsecond.
  Time Draw(Time max) {
    return fixed_pace ? max : 1 + static_cast<Time>(dice.Below(static_cast<std::uint64_t>(max)));
  }
  // A misfortune; none once the world has healed.
  bool Chance(std::uint32_t permille) { return !healed && dice.Chance(permille); }

  // ---- The trace: its hash always, its words only when asked for.
  void Mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3ULL; }
  void Mix(const std::string& text) {
    for (const char c : text) Mix(static_cast<std::uint8_t>(c));
  }
  std::uint64_t hash() const { return hash_; }
  bool tracing() const { return tracing_; }
  // `words` is called only when somebody reads.
  template <typename Words>
  void Say(const Words& words) {
    if (tracing_) trace_.push_back(Stamp() + words());
  }
  const std::vector<std::string>& trace() const { return trace_; }

  // ---- The first violation is the one that counts: what follows may rest on it.
  void Violate(const std::string& what) {
    Say([&] { return "VIOLATION " + what; });
    if (violation_.empty()) violation_ = what;
  }
  const std::string& violation() const { return violation_; }

 private:
  static bool Later(const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }
  std::string Stamp() const {
    std::string micros = std::to_string(now % kMillisecond);
    micros.insert(0, 3 - micros.size(), '0');
    std::string text = std::to_string(now / kMillisecond) + "." + micros + " ms  ";
    if (text.size() < 16) text.insert(0, 16 - text.size(), ' ');
    return text;
  }

  const bool tracing_;
  std::vector<Event> queue_;
  std::uint64_t next_order_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
  std::vector<std::string> trace_;
  std::string violation_;
};

}  // namespace assent::sim
