#include "tests/crash/campaign/faults.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace assent::crash {
namespace {

using std::chrono::milliseconds;

const std::vector<std::string> kKills{"coordinator", "coordinator", "coordinator", "bank",
                                      "bank",        "bank",        "initiator",   "initiator",
                                      "two",         "recovery"};
const std::vector<std::string> kStops{"coordinator", "bank", "bank", "initiator"};
const std::vector<std::string> kTerms{"coordinator", "bank", "initiator"};
const std::vector<std::string> kNetwork{"delay",      "cut",        "half-close",
                                        "black-hole", "black-hole", "throttle"};
const std::vector<std::string> kDisk{"eio-sync", "eio-write", "enospc-write", "disk-full",
                                     "disk-full"};

}  // namespace

const std::vector<std::string>& FaultNames() {
  static const std::vector<std::string> names{
      "kill",       "stop",       "term",     "network",  "disk",      "delay",        "cut",
      "half-close", "black-hole", "throttle", "eio-sync", "eio-write", "enospc-write", "disk-full"};
  return names;
}

Faults::Faults(const Options& options, Rig& rig, Tally& tally)
    : options_(options), rig_(rig), tally_(tally), dice_(options.seed) {}

template <typename T>
void Faults::Shuffle(std::vector<T>& items) {
  for (std::size_t i = items.size(); i > 1; --i)
    std::swap(items[i - 1], items[static_cast<std::size_t>(Below(static_cast<int>(i)))]);
}

// Swarm: each round has its own weather.
void Faults::BeginRound(double kills, std::chrono::duration<double> duration) {
  const auto now = Clock::now();
  const auto weather = [&](Timer& timer, double mean, const char* name) {
    const double factors[] = {0.4, 1, 1, 2.5};
    timer.mean_seconds = mean * factors[Below(4)];
    if (options_.without.count(name) != 0) timer.mean_seconds = 1e9;
    const double first = std::min(timer.mean_seconds, duration.count() / 3) * Below(1000) / 1000;
    timer.due = now + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                          options_.without.count(name) != 0 ? 1e9 : first));
  };
  const double short_round = std::min(1.0, duration.count() / 30);
  weather(kill_, 1, "kill");
  kill_.mean_seconds = duration.count() / std::max(kills, 0.001);
  weather(stop_, 9 * short_round, "stop");
  weather(term_, 8 * short_round, "term");
  weather(network_, 1.5 * short_round, "network");
  weather(disk_, 6 * short_round, "disk");
  if (!std::exchange(roll_made_, true)) MakeRoll(now, duration);
}

void Faults::MakeRoll(Clock::time_point now, std::chrono::duration<double> duration) {
  const auto add = [this](const std::vector<std::string>& names, auto strike, const char* group) {
    if (options_.without.count(group) != 0) return;
    for (const std::string& name : std::set<std::string>(names.begin(), names.end())) {
      if (options_.without.count(name) == 0)
        roll_.emplace_back([this, name, strike] { return (this->*strike)(name); });
    }
  };
  add(kKills, &Faults::StrikeKill, "kill");
  add(kStops, &Faults::StrikeStop, "stop");
  add(kTerms, &Faults::StrikeTerm, "term");
  add(kNetwork, &Faults::StrikeNetwork, "network");
  add(kDisk, &Faults::StrikeDisk, "disk");
  Shuffle(roll_);
  roll_interval_ = std::chrono::duration_cast<Clock::duration>(
      duration * 0.8 / static_cast<double>(std::max<std::size_t>(roll_.size(), 1)));
  next_call_ = now + roll_interval_;
}

// Who cannot be struck now is called again soon.
void Faults::CallRoll(Clock::time_point now) {
  if (roll_.empty() || now < next_call_) return;
  auto strike = std::move(roll_.back());
  roll_.pop_back();
  if (strike()) {
    next_call_ = now + roll_interval_;
    return;
  }
  next_call_ = now + milliseconds(20);
  roll_.insert(roll_.begin(), std::move(strike));
}

bool Faults::Due(Timer& timer, Clock::time_point now) {
  if (now < timer.due) return false;
  const double uniform = (1 + Below(1'000'000)) / 1'000'001.0;
  const double wait = std::min(-std::log(uniform), 4.0) * timer.mean_seconds;
  // From when it was due, not from now: what falls due while something else goes on is not lost.
  timer.due += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(wait));
  timer.due = std::max(timer.due, now - milliseconds(2000));
  return true;
}

void Faults::Tick() {
  const auto now = Clock::now();
  CallRoll(now);
  if (Due(kill_, now)) StrikeKill({});
  if (Due(stop_, now)) StrikeStop({});
  if (Due(term_, now)) StrikeTerm({});
  if (Due(network_, now)) StrikeNetwork({});
  if (Due(disk_, now)) StrikeDisk({});
}

std::string Faults::Next(std::vector<std::string>& deck, const std::vector<std::string>& full) {
  if (deck.empty()) {
    for (const std::string& name : full) {
      if (options_.without.count(name) == 0) deck.push_back(name);
    }
    Shuffle(deck);
  }
  if (deck.empty()) return {};
  std::string name = std::move(deck.back());
  deck.pop_back();
  return name;
}

Actor* Faults::Pick(Actor::Role role) {
  std::vector<Actor*> up;
  for (Actor& actor : rig_.actors()) {
    if (actor.role == role && actor.state == Actor::State::kUp) up.push_back(&actor);
  }
  return up.empty() ? nullptr : up[static_cast<std::size_t>(Below(static_cast<int>(up.size())))];
}

Actor* Faults::PickAny() { return Pick(static_cast<Actor::Role>(Below(3))); }

bool Faults::StrikeKill(std::string whom) {
  const bool called = !whom.empty();
  if (!called) whom = Next(kills_deck_, kKills);
  const int patience = Below(10);
  const milliseconds down = patience < 5   ? milliseconds(0)
                            : patience < 9 ? Between(1, 300)
                                           : Between(300, 2000);
  if (whom == "two") {
    Actor* a = PickAny();
    Actor* b = PickAny();
    if (a != nullptr && b != nullptr && a != b) {
      rig_.KillBoth(*a, *b, down);
      return true;
    }
    if (called) return false;
  }
  Actor* one = whom == "coordinator" ? Pick(Actor::Role::kCoordinator)
               : whom == "bank"      ? Pick(Actor::Role::kBank)
               : whom == "initiator" ? Pick(Actor::Role::kInitiator)
                                     : nullptr;
  if (whom == "recovery") {
    one = Below(3) != 0 ? Pick(Actor::Role::kCoordinator) : Pick(Actor::Role::kBank);
    if (one != nullptr) {
      for (int i = 1 + Below(3); i > 0; --i) one->dooms.push_back(Between(0, 150));
    }
  }
  if (one == nullptr && called) return false;
  for (int tries = 0; one == nullptr && tries < 5; ++tries) one = PickAny();
  if (one != nullptr) rig_.Kill(*one, down);
  return one != nullptr;
}

// Longer than every timeout of the rig: attempts 1.2 s, calls 3.5 s, deadlines 4 s, keepalive 5 s,
// a dial 5 s; now and then also than a participant's patience for its Welcome, 10 s.
bool Faults::StrikeStop(std::string whom) {
  if (whom.empty()) whom = Next(stops_deck_, kStops);
  Actor* one = Pick(whom == "coordinator" ? Actor::Role::kCoordinator
                    : whom == "bank"      ? Actor::Role::kBank
                                          : Actor::Role::kInitiator);
  if (one != nullptr)
    rig_.Stop(*one, Below(4) == 0 ? Between(10'500, 12'500) : Between(5500, 9000));
  return one != nullptr;
}

bool Faults::StrikeTerm(std::string whom) {
  if (whom.empty()) whom = Next(terms_deck_, kTerms);
  Actor* one = Pick(whom == "coordinator" ? Actor::Role::kCoordinator
                    : whom == "bank"      ? Actor::Role::kBank
                                          : Actor::Role::kInitiator);
  if (one != nullptr) rig_.Terminate(*one);
  return one != nullptr;
}

bool Faults::StrikeNetwork(std::string name) {
  if (name.empty()) name = Next(network_deck_, kNetwork);
  if (name.empty()) return false;
  Trouble trouble;
  for (const auto kind : {Trouble::Kind::kDelay, Trouble::Kind::kCut, Trouble::Kind::kHalfClose,
                          Trouble::Kind::kBlackHole, Trouble::Kind::kThrottle}) {
    if (name == TroubleName(kind)) trouble.kind = kind;
  }
  trouble.lasts = Below(3) == 0 ? Between(3000, 7000) : Between(50, 2000);
  trouble.delay = Below(3) == 0 ? Between(500, 2500) : Between(5, 400);
  trouble.bytes_per_second = 200 + Below(20'000);
  trouble.upstream = Below(2) == 0;
  trouble.cut_after = trouble.kind == Trouble::Kind::kBlackHole && Below(2) == 0;
  const int link = Below(rig_.links());
  const int scope = Below(10);
  if (scope < 5) {
    rig_.proxy().StrikeConnection(link, dice_(), trouble);
  } else if (scope < 8) {
    rig_.proxy().StrikeLink(link, trouble);
  } else {
    if (trouble.lasts > milliseconds(2500)) trouble.lasts = milliseconds(2500);
    rig_.proxy().StrikeLink(Proxy::kAll, trouble);
  }
  ++tally_["proxy " + name];
  return true;
}

bool Faults::StrikeDisk(std::string name) {
  if (name.empty()) name = Next(disk_deck_, kDisk);
  if (name == "disk-full")
    return rig_.FillDisk(Below(4) == 0 ? 0 : Below(3 << 20), Between(500, 3500)) ||
           !rig_.own_disk();
  if (name == "eio-sync") return rig_.Inject("fdatasync", "EIO", 1 + Below(20), 0);
  if (name == "eio-write") return rig_.Inject("pwrite64", "EIO", 1 + Below(60), 0);
  return rig_.Inject("pwrite64", "ENOSPC", 1 + Below(60), 1 + Below(30));
}

}  // namespace assent::crash
