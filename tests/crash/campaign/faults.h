#pragma once

// Which fault strikes whom, when: drawn from the seed. Faults come from a shuffled deck, so that
// each kind has come before any comes again; how much of each there is differs from round to round.

#include <functional>
#include <string>
#include <vector>

#include "tests/crash/campaign/campaign.h"
#include "tests/crash/campaign/initiator.h"
#include "tests/crash/campaign/rig.h"

namespace assent::crash {

// Every name that --without takes.
const std::vector<std::string>& FaultNames();

class Faults {
 public:
  Faults(const Options& options, Rig& rig, Tally& tally);

  // A round of faults begins; `kills` are meant to fall into `duration`.
  void BeginRound(double kills, std::chrono::duration<double> duration);
  // Every kind has come at least once.
  bool RollDone() const { return roll_.empty(); }
  // Strikes what is due.
  void Tick();

 private:
  struct Timer {
    double mean_seconds = 1e9;
    Clock::time_point due{};
  };
  int Below(int bound) { return static_cast<int>(dice_() % static_cast<unsigned>(bound)); }
  std::chrono::milliseconds Between(int least_ms, int most_ms) {
    return std::chrono::milliseconds(least_ms + Below(most_ms - least_ms + 1));
  }
  template <typename T>
  void Shuffle(std::vector<T>& items);
  void MakeRoll(Clock::time_point now, std::chrono::duration<double> duration);
  bool Due(Timer& timer, Clock::time_point now);
  Actor* Pick(Actor::Role role);
  Actor* PickAny();
  // By name, "" draws one. False: there is nobody to strike now.
  bool StrikeKill(std::string whom);
  bool StrikeStop(std::string whom);
  bool StrikeTerm(std::string whom);
  bool StrikeNetwork(std::string name);
  bool StrikeDisk(std::string name);
  void CallRoll(Clock::time_point now);
  std::string Next(std::vector<std::string>& deck, const std::vector<std::string>& full);

  const Options& options_;
  Rig& rig_;
  Tally& tally_;
  Dice dice_;
  // Of the first round: every kind once, whatever the timers bring.
  std::vector<std::function<bool()>> roll_;
  Clock::duration roll_interval_{};
  Clock::time_point next_call_{};
  bool roll_made_ = false;
  Timer kill_, stop_, term_, network_, disk_;
  std::vector<std::string> kills_deck_, stops_deck_, terms_deck_, network_deck_, disk_deck_;
};

}  // namespace assent::crash
