#include "tools/assent-sim/interleaver.h"

#include <algorithm>
#include <cstdint>
#include <sstream>

#include "tools/assent-sim/world.h"

namespace assent::sim {
namespace {

// What happens within this span happens by itself; what is later is a timer.
constexpr Time kByItself = kMillisecond;

// Something that may come next.
struct Move {
  enum class Kind : std::uint8_t { kDeliver, kWait, kCrash, kLose, kDouble };
  Kind kind = Kind::kDeliver;
  std::uint64_t letter = 0;
  std::size_t to = 0;  // who notices: a service, or kCoordinator
  bool operator==(const Move& other) const { return kind == other.kind && letter == other.letter; }
};
constexpr std::size_t kCoordinator = SIZE_MAX;

// Whether two moves, one after the other, lead to the same world in either order: nobody notices
// both. (Sleep sets; P. Godefroid, 1996.) Time is everybody's; that its clock reads a fraction of a
// millisecond more is nobody's. `shared`: the misfortunes use up one budget, so that one may make
// another impossible.
bool Commute(const Move& a, const Move& b, bool shared) {
  using Kind = Move::Kind;
  if (a.kind == Kind::kWait || b.kind == Kind::kWait) return false;
  if (a.kind == b.kind && a.kind != Kind::kDeliver) return false;  // there is only one of it
  if (shared && a.kind != Kind::kDeliver && b.kind != Kind::kDeliver) return false;
  const bool letters = a.kind != Kind::kCrash && b.kind != Kind::kCrash;
  if (letters && a.letter == b.letter) return false;
  if (a.kind == Kind::kLose || b.kind == Kind::kLose) return true;  // nobody notices
  return a.to != b.to;
}

// One walk along a path; beyond its end always the first choice.
class Walk {
 public:
  Walk(const Scenario& scenario, std::vector<std::size_t> path, bool tracing)
      : world_(scenario.options, tracing, /*fixed_pace=*/true, scenario.plans),
        path_(std::move(path)),
        early_timers_(EarlyTimers(scenario)),
        max_misfortunes_(MaxMisfortunes(scenario)) {}

  void Go() {
    world_.network().HoldLetters();
    world_.Open();
    world_.Heal();
    while (world_.sim().violation().empty()) {
      if (IsQuiet()) {
        if (world_.AtRest()) break;
        if (!Choose()) break;
      } else if (!world_.Step()) {
        break;
      }
    }
    if (!redundant_) world_.Finish();
  }

  // Each continuation was, or will be, walked in another order of independent moves.
  bool redundant() const { return redundant_; }
  const std::vector<std::size_t>& path() const { return path_; }
  const std::vector<std::size_t>& widths() const { return widths_; }
  World& world() { return world_; }

 private:
  bool IsQuiet() const {
    const Time next = world_.sim().NextAt();
    return next < 0 || next > world_.sim().now + kByItself;
  }

  // What could come next, in a fixed order.
  std::vector<Move> Moves() {
    std::vector<Move> moves;
    const auto& held = world_.network().held();
    for (std::size_t i = 0; i < held.size(); ++i)
      moves.push_back({Move::Kind::kDeliver, held[i].first, To(held[i])});
    // A coordinator that is down comes back, whatever is on its way.
    const bool down = !world_.coordinator().up();
    if (world_.sim().NextAt() >= 0 && (held.empty() || down || waits_ < early_timers_))
      moves.push_back({Move::Kind::kWait, 0, kCoordinator});
    const std::size_t suffered = (lost_ ? 1 : 0) + (doubled_ ? 1 : 0) + (crashed_ ? 1 : 0);
    if (suffered == max_misfortunes_) return moves;
    if (!crashed_ && world_.coordinator().up())
      moves.push_back({Move::Kind::kCrash, 0, kCoordinator});
    for (std::size_t i = 0; i < held.size() && !lost_; ++i)
      moves.push_back({Move::Kind::kLose, held[i].first, To(held[i])});
    for (std::size_t i = 0; i < held.size() && !doubled_; ++i)
      moves.push_back({Move::Kind::kDouble, held[i].first, To(held[i])});
    return moves;
  }
  std::size_t To(const std::pair<std::uint64_t, EventKind>& held) {
    return held.second == EventKind::kUnaryToCoordinator
               ? kCoordinator
               : world_.network().letter(held.first).service;
  }

  // Takes the choice that the path names. False: there is none, or each leads to what was seen
  // elsewhere.
  bool Choose() {
    std::vector<Move> awake;
    const std::vector<Move> moves = Moves();
    for (const Move& move : moves) {
      if (std::find(asleep_.begin(), asleep_.end(), move) == asleep_.end()) awake.push_back(move);
    }
    redundant_ = awake.empty() && !moves.empty();
    if (awake.empty()) return false;
    if (widths_.size() == path_.size()) path_.push_back(0);
    const std::size_t choice = path_[widths_.size()];
    widths_.push_back(awake.size());
    const Move chosen = awake[choice];
    asleep_.insert(asleep_.end(), awake.begin(),
                   awake.begin() + static_cast<std::ptrdiff_t>(choice));
    asleep_.erase(std::remove_if(asleep_.begin(), asleep_.end(),
                                 [&](const Move& move) {
                                   return !Commute(move, chosen, max_misfortunes_ < 3);
                                 }),
                  asleep_.end());
    return Make(chosen);
  }
  bool Make(const Move& move) {
    const auto& held = world_.network().held();
    std::size_t i = 0;
    while (i < held.size() && held[i].first != move.letter) ++i;
    switch (move.kind) {
      case Move::Kind::kDeliver: world_.network().DeliverHeld(i, false); return true;
      case Move::Kind::kWait:
        if (!held.empty() && world_.coordinator().up()) ++waits_;
        return world_.Step();
      case Move::Kind::kCrash:
        crashed_ = true;
        world_.KillCoordinator(true, 0);
        return true;
      case Move::Kind::kLose:
        lost_ = true;
        world_.sim().Say([] { return std::string("a letter is lost"); });
        world_.network().DropHeld(i);
        return true;
      case Move::Kind::kDouble:
        doubled_ = true;
        world_.sim().Say([] { return std::string("a letter arrives, and will arrive again"); });
        world_.network().DeliverHeld(i, true);
        return true;
    }
    return false;
  }

  World world_;
  std::vector<std::size_t> path_;
  std::vector<std::size_t> widths_;  // how many choices there were at each step
  std::vector<Move>
      asleep_;  // were tried before an independent one: tried again they lead nowhere new
  const std::size_t early_timers_;
  const std::size_t max_misfortunes_;
  std::size_t waits_ = 0;
  bool lost_ = false;
  bool doubled_ = false;
  bool crashed_ = false;
  bool redundant_ = false;
};

std::string Text(const std::vector<std::size_t>& path) {
  std::string text;
  for (const std::size_t choice : path) text += (text.empty() ? "" : ".") + std::to_string(choice);
  return text;
}

}  // namespace

std::size_t EarlyTimers(const Scenario& scenario) { return scenario.options.services == 1 ? 1 : 0; }

std::size_t MaxMisfortunes(const Scenario& scenario) {
  const auto& branches = scenario.plans[0].branches;
  const bool saga = branches[0].protocol == core::Protocol::kSaga;
  return branches.size() == 1 || saga ? 3 : 2;
}

std::size_t FirstChoices(const Scenario& scenario) {
  Walk walk(scenario, {}, false);
  walk.Go();
  return walk.widths().empty() ? 0 : walk.widths()[0];
}

InterleavingReport ExploreInterleavings(const Scenario& scenario, std::size_t first,
                                        std::uint64_t max_runs) {
  InterleavingReport report;
  std::vector<std::size_t> path = {first};
  for (;;) {
    if (report.runs + report.redundant == max_runs) {
      report.complete = false;
      return report;
    }
    Walk walk(scenario, std::move(path), false);
    walk.Go();
    ++(walk.redundant() ? report.redundant : report.runs);
    if (!walk.world().sim().violation().empty())
      report.findings.emplace_back(Text(walk.path()), walk.world().sim().violation());
    path = walk.path();
    // The last step that has another choice takes it.
    while (path.size() > 1 && path.back() + 1 >= walk.widths()[path.size() - 1]) path.pop_back();
    if (path.size() <= 1) return report;
    ++path.back();
  }
}

WalkAgain ReplayInterleaving(const Scenario& scenario, const std::string& path) {
  std::vector<std::size_t> choices;
  std::istringstream text(path);
  std::size_t choice = 0;
  char dot = 0;
  while (text >> choice) {
    choices.push_back(choice);
    text >> dot;
  }
  Walk walk(scenario, std::move(choices), true);
  walk.Go();
  return {walk.world().sim().violation(), walk.world().sim().trace()};
}

}  // namespace assent::sim
