#include "tools/assent-sim/interleaver.h"

#include <sstream>

#include "tools/assent-sim/world.h"

namespace assent::sim {
namespace {

// What happens within this span happens by itself; what is later is a timer.
constexpr Time kByItself = kMillisecond;

// One walk along a path; beyond its end always the first choice.
class Walk {
 public:
  Walk(const Scenario& scenario, std::vector<std::size_t> path, bool tracing)
      : world_(scenario.options, tracing, /*fixed_pace=*/true, scenario.plans),
        path_(std::move(path)) {}

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
    world_.Finish();
  }

  const std::vector<std::size_t>& path() const { return path_; }
  const std::vector<std::size_t>& widths() const { return widths_; }
  World& world() { return world_; }

 private:
  bool IsQuiet() const {
    const Time next = world_.sim().NextAt();
    return next < 0 || next > world_.sim().now + kByItself;
  }

  // Takes the choice that the path names. False: there is none.
  bool Choose() {
    const std::size_t letters = world_.network().held().size();
    const bool may_crash = !crashed_ && world_.coordinator().up();
    const bool may_wait = world_.sim().NextAt() >= 0 && (letters == 0 || waits_ < 1);
    const std::size_t width = letters * (1 + (lost_ ? 0 : 1) + (doubled_ ? 0 : 1)) +
                              (may_wait ? 1 : 0) + (may_crash ? 1 : 0);
    if (width == 0) return false;
    if (widths_.size() == path_.size()) path_.push_back(0);
    std::size_t choice = path_[widths_.size()];
    widths_.push_back(width);
    if (choice < letters) return Deliver(choice);
    choice -= letters;
    if (may_wait && choice == 0) return Wait(letters);
    choice -= may_wait ? 1 : 0;
    if (may_crash && choice == 0) return Crash();
    choice -= may_crash ? 1 : 0;
    if (!lost_ && choice < letters) {
      lost_ = true;
      world_.sim().Say([] { return std::string("a letter is lost"); });
      world_.network().DropHeld(choice);
      return true;
    }
    if (!lost_) choice -= letters;
    doubled_ = true;
    world_.sim().Say([] { return std::string("a letter arrives, and will arrive again"); });
    world_.network().DeliverHeld(choice, true);
    return true;
  }
  bool Deliver(std::size_t letter) {
    world_.network().DeliverHeld(letter, false);
    return true;
  }
  bool Wait(std::size_t letters) {
    if (letters > 0) ++waits_;
    return world_.Step();
  }
  bool Crash() {
    crashed_ = true;
    world_.KillCoordinator(true, 0);
    return true;
  }

  World world_;
  std::vector<std::size_t> path_;
  std::vector<std::size_t> widths_;  // how many choices there were at each step
  std::size_t waits_ = 0;
  bool lost_ = false;
  bool doubled_ = false;
  bool crashed_ = false;
};

std::string Text(const std::vector<std::size_t>& path) {
  std::string text;
  for (const std::size_t choice : path) text += (text.empty() ? "" : ".") + std::to_string(choice);
  return text;
}

}  // namespace

InterleavingReport ExploreInterleavings(const Scenario& scenario, std::uint64_t max_runs) {
  InterleavingReport report;
  std::vector<std::size_t> path;
  for (;;) {
    if (report.runs == max_runs) {
      report.complete = false;
      return report;
    }
    Walk walk(scenario, std::move(path), false);
    walk.Go();
    ++report.runs;
    if (!walk.world().sim().violation().empty())
      report.findings.emplace_back(Text(walk.path()), walk.world().sim().violation());
    path = walk.path();
    // The last step that has another choice takes it.
    while (!path.empty() && path.back() + 1 >= walk.widths()[path.size() - 1]) path.pop_back();
    if (path.empty()) return report;
    ++path.back();
  }
}

std::vector<std::string> ReplayInterleaving(const Scenario& scenario, const std::string& path) {
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
  return walk.world().sim().trace();
}

}  // namespace assent::sim
