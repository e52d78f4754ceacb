#include "coordinator/traffic/chooser.h"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace assent::traffic {
namespace {

// splitmix64 (G. Steele, D. Lea, C. Flood, 2014).
std::uint64_t Mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Who was used longest ago, of those with room.
class RoundRobin final : public Chooser {
 public:
  void SetFree(Candidate& candidate, bool free) override {
    if (free) {
      candidate.spot = free_.insert(free_.end(), &candidate);
    } else {
      free_.erase(candidate.spot);
    }
  }
  void Used(Candidate& candidate) override {
    if (candidate.free) free_.splice(free_.end(), free_, candidate.spot);
  }
  Choice Choose(std::uint64_t) override {
    if (free_.empty()) return {};
    return {free_.front(), static_cast<double>(free_.front()->last_used)};
  }

 private:
  std::list<Candidate*> free_;
};

// Stride scheduling (C. Waldspurger, W. Weihl, 1995): each is due again after a stride that is the
// shorter the heavier it is.
class Weighted final : public Chooser {
 public:
  void SetFree(Candidate& candidate, bool free) override {
    if (!free) {
      free_.erase({candidate.pass, &candidate});
      return;
    }
    // Who was away has saved nothing up.
    candidate.pass = std::max(candidate.pass, now_);
    free_.emplace(candidate.pass, &candidate);
  }
  void Used(Candidate& candidate) override {
    const bool free = candidate.free;
    if (free) free_.erase({candidate.pass, &candidate});
    now_ = std::max(now_, candidate.pass);
    candidate.pass += 1.0 / std::max(candidate.weight, 1U);
    if (free) free_.emplace(candidate.pass, &candidate);
  }
  Choice Choose(std::uint64_t) override {
    if (free_.empty()) return {};
    return {free_.begin()->second, free_.begin()->first};
  }

 private:
  struct Order {
    bool operator()(const std::pair<double, Candidate*>& a,
                    const std::pair<double, Candidate*>& b) const {
      return a.first != b.first ? a.first < b.first : a.second->id < b.second->id;
    }
  };
  std::set<std::pair<double, Candidate*>, Order> free_;
  double now_ = 0;
};

// Those with room, so that any of them is at hand.
class Listed : public Chooser {
 public:
  explicit Listed(std::uint64_t& random) : random_(random) {}
  void SetFree(Candidate& candidate, bool free) override {
    if (free) {
      candidate.index = free_.size();
      free_.push_back(&candidate);
      return;
    }
    free_.back()->index = candidate.index;
    std::swap(free_.back(), free_[candidate.index]);
    free_.pop_back();
  }

 protected:
  std::uint64_t Random() { return Mixed(random_ += 0x9e3779b97f4a7c15ULL); }
  Candidate* Any() { return free_[Random() % free_.size()]; }
  std::size_t count() const { return free_.size(); }

 private:
  std::vector<Candidate*> free_;
  std::uint64_t& random_;
};

class AtRandom final : public Listed {
 public:
  using Listed::Listed;
  // As if each had drawn a number, and the lowest won.
  Choice Choose(std::uint64_t) override {
    if (count() == 0) return {};
    const double drawn = static_cast<double>(Random() >> 11) * 0x1.0p-53;
    return {Any(), 1 - std::pow(drawn, 1.0 / static_cast<double>(count()))};
  }
};

// M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996.
class LeastOfTwo final : public Listed {
 public:
  using Listed::Listed;
  Choice Choose(std::uint64_t) override {
    if (count() == 0) return {};
    Candidate* one = Any();
    Candidate* other = Any();
    if (Load(*other) < Load(*one)) one = other;
    return {one, Load(*one)};
  }

 private:
  static double Load(const Candidate& candidate) {
    return static_cast<double>(candidate.in_flight) / std::max(candidate.weight, 1U);
  }
};

// D. Karger et al., "Consistent Hashing and Random Trees", 1997: each has some points of a circle;
// a key belongs to the next one. Who comes or goes moves only what is his.
class Ring final : public Chooser {
 public:
  void Join(Candidate& candidate) override {
    for (std::uint64_t i = 0; i < kPointsCount; ++i)
      points_.emplace(Point(candidate, i), &candidate);
  }
  void Leave(Candidate& candidate) override {
    for (std::uint64_t i = 0; i < kPointsCount; ++i) {
      const auto [first, last] = points_.equal_range(Point(candidate, i));
      for (auto it = first; it != last; ++it) {
        if (it->second != &candidate) continue;
        points_.erase(it);
        break;
      }
    }
  }
  void SetFree(Candidate&, bool) override {}
  Choice Choose(std::uint64_t key) override {
    if (points_.empty()) return {};
    auto at = points_.lower_bound(key);
    for (std::size_t i = 0; i < std::min(kLookedAtCount, points_.size()); ++i, ++at) {
      if (at == points_.end()) at = points_.begin();
      if (at->second->free) return {at->second, static_cast<double>(at->first - key)};
    }
    return {};
  }

 private:
  static constexpr std::uint64_t kPointsCount = 64;
  // Where so many points have no room in a row nobody is looked for any further: what has none
  // waits.
  static constexpr std::size_t kLookedAtCount = 512;
  static std::uint64_t Point(const Candidate& candidate, std::uint64_t i) {
    return Mixed(candidate.name + i * 0x9e3779b97f4a7c15ULL);
  }
  std::multimap<std::uint64_t, Candidate*> points_;
};

}  // namespace

std::unique_ptr<Chooser> Chooser::Make(Select select, std::uint64_t& random) {
  switch (select) {
    case Select::kRoundRobin: return std::make_unique<RoundRobin>();
    case Select::kWeighted: return std::make_unique<Weighted>();
    case Select::kRandom: return std::make_unique<AtRandom>(random);
    case Select::kLeastInFlight: return std::make_unique<LeastOfTwo>(random);
    case Select::kHash: return std::make_unique<Ring>();
  }
  return std::make_unique<RoundRobin>();
}

std::uint64_t HashOf(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Mixed(hash);
}

}  // namespace assent::traffic
