#include "participant-sdk/cpp/src/map_keeper.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace assent::internal {
namespace {

bool Holds(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

// The second one begins somewhere else for each client, so that a thousand do not watch the same
// member.
MapKeeper::MapKeeper(Options options)
    : options_(std::move(options)),
      eyes_{Eye(options_, options_.seed), Eye(options_, ~options_.seed)} {
  eyes_[1].next = options_.seed % 1024;
}

MapKeeper::Eye* MapKeeper::Of(std::uint64_t connection) {
  for (Eye& eye : eyes_) {
    if (eye.dialled && eye.connection == connection) return &eye;
  }
  return nullptr;
}

bool MapKeeper::Watches(std::uint64_t connection) const {
  return std::any_of(eyes_.begin(), eyes_.end(),
                     [&](const Eye& eye) { return eye.dialled && eye.connection == connection; });
}

void MapKeeper::Start(SteadyTime now, Actions* out) {
  if (!idle_ || stopped_) return;
  idle_ = false;
  Look(eyes_[0], now, out);
}

void MapKeeper::Nudge(SteadyTime now, Actions* out) {
  if (!idle_ || now < nudged_until_) return;
  nudged_until_ = now + eyes_[0].backoff.Next();
  Start(now, out);
}

void MapKeeper::AddSeed(const std::string& endpoint) {
  if (!Holds(options_.seeds, endpoint)) options_.seeds.push_back(endpoint);
}

void MapKeeper::Stop(Actions* out) {
  stopped_ = true;
  for (Eye& eye : eyes_) {
    eye.due = SteadyTime::max();
    GiveUp(eye, out);
  }
}

std::vector<std::string> MapKeeper::Candidates() const {
  std::vector<std::string> all;
  if (map_) {
    for (const ClusterMap::Member& member : map_->members()) all.push_back(member.address);
  }
  for (const std::string& seed : options_.seeds) {
    if (!Holds(all, seed)) all.push_back(seed);
  }
  return all;
}

// The next candidate that the other eye does not watch. The second eye opens when there is a map.
void MapKeeper::Look(Eye& eye, SteadyTime now, Actions* out) {
  eye.due = SteadyTime::max();
  if (stopped_ || idle_ || eye.dialled) return;
  const Eye& other = &eye == &eyes_[0] ? eyes_[1] : eyes_[0];
  const std::vector<std::string> candidates = Candidates();
  if (&eye == &eyes_[1] && (!map_ || candidates.size() < 2)) return;
  std::size_t at = eye.next % candidates.size();
  if (candidates.size() > 1 && other.dialled && candidates[at] == other.endpoint)
    at = (at + 1) % candidates.size();
  eye.next = at + 1;
  eye.endpoint = candidates[at];
  eye.connection = ++connections_;
  eye.dialled = true;
  eye.due = now + options_.patience;
  out->emplace_back(Dial{eye.connection, eye.endpoint});
}

void MapKeeper::GiveUp(Eye& eye, Actions* out) {
  if (!eye.dialled || std::exchange(eye.cancelled, true)) return;
  out->emplace_back(Cancel{eye.connection});
}

// ------------------------------------------------------------------------------------------------
// what comes in

void MapKeeper::OnStarted(std::uint64_t connection, SteadyTime, Actions* out) {
  const Eye* eye = Of(connection);
  if (eye != nullptr && !eye->cancelled) out->emplace_back(Ask{connection});
}

void MapKeeper::OnWritten(std::uint64_t connection, SteadyTime, Actions* out) {
  const Eye* eye = Of(connection);
  if (eye != nullptr && !eye->cancelled) out->emplace_back(HalfClose{connection});
}

void MapKeeper::OnFrame(std::uint64_t connection, v1::ClusterView* view, SteadyTime now,
                        Actions* out) {
  Eye* eye = Of(connection);
  if (eye == nullptr || eye->cancelled) return;
  if (view->version() == 0) {
    GiveUp(*eye, out);
    OnAlone(*eye, now, out);
    return;
  }
  Result<ClusterMap> map = ClusterMap::Read(*view);
  if (!map.ok()) return GiveUp(*eye, out);
  eye->backoff.Reset();
  eye->due = SteadyTime::max();
  eye->seen = std::make_shared<const ClusterMap>(std::move(*map));
  Take(eye->seen, now, out);
}

// Also an older one than ours is believed, unless somebody whom we hear says otherwise: a database
// that was restored counts from lower again.
void MapKeeper::Take(ClusterMapPtr map, SteadyTime now, Actions* out) {
  for (const Eye& eye : eyes_) {
    if (eye.dialled && eye.seen && eye.seen->NewerThan(*map)) return;
  }
  const bool same = map_ && map_->coordinator_id() == map->coordinator_id() &&
                    !map->NewerThan(*map_) && !map_->NewerThan(*map);
  if (same) return;
  Changed changed;
  if (map_) {
    for (const ClusterMap::Member& member : map_->members()) {
      if (!map->Has(member.address)) changed.gone.push_back(member.address);
    }
  }
  for (const std::string& seed : options_.seeds) {
    if (Holds(changed.gone, seed)) left_.push_back(seed);
  }
  std::erase_if(left_, [&](const std::string& seed) { return map->Has(seed); });
  map_ = std::move(map);
  alone_.reset();
  for (Eye& eye : eyes_) {
    if (!eye.dialled) {
      if (eye.due == SteadyTime::max()) Look(eye, now, out);
    } else if (Holds(changed.gone, eye.endpoint)) {
      eye.at_once = true;
      GiveUp(eye, out);
    }
  }
  out->emplace_back(std::move(changed));
}

void MapKeeper::OnAlone(Eye& eye, SteadyTime now, Actions* out) {
  if (map_) return;  // it is no member any more; the others are asked
  idle_ = true;
  nudged_until_ = now + eye.backoff.Next();
  if (alone_) return;
  alone_ = eye.endpoint;
  out->emplace_back(Changed{});
}

void MapKeeper::OnMalformed(std::uint64_t connection, const std::string&, Actions* out) {
  if (Eye* eye = Of(connection)) GiveUp(*eye, out);
}

void MapKeeper::OnClosed(std::uint64_t connection, const Status& why, SteadyTime now,
                         Actions* out) {
  Eye* eye = Of(connection);
  if (eye == nullptr) return;
  eye->dialled = eye->cancelled = false;
  eye->seen = nullptr;
  if (why.code() == Code::kUnimplemented) OnAlone(*eye, now, out);
  if (stopped_ || idle_) {
    eye->due = SteadyTime::max();
    return;
  }
  eye->due = now;
  if (!std::exchange(eye->at_once, false)) eye->due += eye->backoff.Next();
  OnTick(now, out);
}

void MapKeeper::OnTick(SteadyTime now, Actions* out) {
  for (Eye& eye : eyes_) {
    if (eye.due > now) continue;
    eye.due = SteadyTime::max();
    if (eye.dialled) {
      GiveUp(eye, out);
    } else {
      Look(eye, now, out);
    }
  }
}

SteadyTime MapKeeper::Due() const { return std::min(eyes_[0].due, eyes_[1].due); }

}  // namespace assent::internal
