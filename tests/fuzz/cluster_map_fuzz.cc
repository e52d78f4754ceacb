// What hostile coordinators say of their cluster, into the SDK: the keeper of the map, where calls
// go by it, and whom a participant dials. No view crashes anything; two streams at most are open,
// each is asked once and cancelled once; a call tries each endpoint once before it waits; whatever
// a participant has a link to is kept, retired or stopped.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <assent/overload.h>
#include <assent/status.h>

#include "assent/v1/cluster.pb.h"
#include "participant-sdk/cpp/src/endpoint.h"
#include "participant-sdk/cpp/src/map_keeper.h"
#include "participant-sdk/cpp/src/roster.h"
#include "participant-sdk/cpp/src/routes.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

using internal::ClusterMapPtr;
using internal::MapKeeper;
using internal::Roster;
using internal::SteadyTime;

constexpr int kMaxEventsCount = 200;
constexpr std::size_t kMaxLinksCount = 64;

const std::vector<std::string>& Seeds() {
  static const std::vector<std::string> seeds = {"a:1", "b:1"};
  return seeds;
}

std::string DrawEndpoint(Input& in) {
  return std::string(1, static_cast<char>('a' + in.Below(5))) + ":1";
}

v1::ClusterView DrawView(Input& in) {
  v1::ClusterView view;
  view.set_version(in.Below(6));
  view.set_generation(in.Below(2));
  view.set_coordinator_id(1 + static_cast<std::uint32_t>(in.Below(2)));
  for (std::size_t n = in.Below(4); n > 0; --n) {
    v1::ClusterMember& member = *view.add_members();
    member.set_epoch(in.Below(6));
    member.set_address(DrawEndpoint(in));
  }
  for (std::size_t n = 1 + in.Below(4); n > 0; --n) {
    view.mutable_slots()->push_back(static_cast<char>(in.Below(5)));
    view.mutable_slots()->push_back('\0');
  }
  return view;
}

void CheckMap(const internal::ClusterMap& map, const std::string& gid) {
  ASSENT_CHECK(map.OwnerOf(gid) <= map.members().size());
  ASSENT_CHECK(!map.NewerThan(map));
  for (const auto& member : map.members()) {
    ASSENT_CHECK(internal::CheckEndpoint("a member's address", member.address).ok());
    ASSENT_CHECK(map.Has(member.address));
  }
}

// One call, until it has waited three times.
void Travel(const internal::Routes& routes, Input& in) {
  internal::Tour tour("gid");
  std::set<std::string> tried;
  bool contacted = false;
  for (int waits = 0; waits < 3;) {
    if (!tour.MoreNow(routes)) {
      tour.Rest();
      tried.clear();
      ++waits;
    }
    const std::string endpoint = tour.Next(routes);
    ASSENT_CHECK(!endpoint.empty());
    const bool first = tried.insert(endpoint).second;
    ASSENT_CHECK(first || (contacted && !routes.shared()));
    const std::uint8_t what = in.Byte();
    if ((what & 1) != 0) {
      tour.Contacted();
      contacted = true;
    }
    if ((what & 6) == 6) tour.Moved(DrawEndpoint(in));
  }
}

class Links {
 public:
  void SetMap(const ClusterMapPtr& map) { roster_.SetMap(map); }

  void Reconcile(Input& in) {
    const Roster::Plan plan = roster_.Decide(links_);
    std::set<std::size_t> planned;
    for (const auto* ids : {&plan.stop, &plan.retire, &plan.keep}) {
      for (const std::size_t id : *ids) ASSENT_CHECK(planned.insert(id).second);
    }
    ASSENT_CHECK(planned.size() == links_.size());
    std::erase_if(links_, [&](const Roster::Link& link) {
      ASSENT_CHECK(planned.contains(link.id));
      return std::count(plan.stop.begin(), plan.stop.end(), link.id) > 0;
    });
    std::set<std::string> dialled;
    for (const std::string& endpoint : plan.dial) {
      ASSENT_CHECK(dialled.insert(endpoint).second);
      if (links_.size() < kMaxLinksCount)
        links_.push_back({.id = next_++, .endpoint = endpoint, .open = false, .who = {}});
    }
    for (Roster::Link& link : links_) {
      link.open = in.Below(4) != 0;
      link.who = {1 + static_cast<std::uint32_t>(in.Below(2)), in.Below(6)};
      if (link.open) roster_.Met(link.endpoint, link.who);
      ASSENT_CHECK(roster_.CountAt(link.endpoint) <= Roster::kMaxMembersCount);
    }
  }

 private:
  Roster roster_{Seeds()};
  std::vector<Roster::Link> links_;
  std::size_t next_ = 0;
};

class Script {
 public:
  void Run(Input in) {
    Do(in, [&](auto* out) { keeper_.Start(now_, out); });
    for (int i = 0; i < kMaxEventsCount && !in.empty(); ++i) One(in);
    stopped_ = true;
    Do(in, [&](auto* out) { keeper_.Stop(out); });
    for (const auto& [connection, stream] : streams_) ASSENT_CHECK(stream.cancelled);
    while (!streams_.empty()) Close(in, streams_.begin()->first, Unavailable("cancelled"));
    Do(in, [&](auto* out) { keeper_.OnTick(now_ + std::chrono::hours(1), out); });
    ASSENT_CHECK(keeper_.Due() == SteadyTime::max());
  }

 private:
  struct Stream {
    bool started = false;
    bool asked = false;
    bool cancelled = false;
  };

  static MapKeeper::Options OptionsOf() {
    MapKeeper::Options options;
    options.seeds = Seeds();
    options.seed = 7;
    return options;
  }

  void One(Input& in) {
    const std::uint8_t what = in.Byte();
    switch (what % 10) {
      case 0: Do(in, [&](auto* out) { keeper_.Nudge(now_, out); }); return;
      case 1: keeper_.AddSeed(DrawEndpoint(in)); return;
      case 2: {
        const SteadyTime due = keeper_.Due();
        now_ = due == SteadyTime::max() ? now_ + std::chrono::milliseconds(in.Number(2))
                                        : std::max(now_, due);
        Do(in, [&](auto* out) { keeper_.OnTick(now_, out); });
        return;
      }
      case 3: links_.Reconcile(in); return;
      default: break;
    }
    if (streams_.empty()) return;
    const std::uint64_t connection =
        (what & 128) == 0 ? streams_.begin()->first : streams_.rbegin()->first;
    Stream& stream = streams_.at(connection);
    if (what % 10 == 4)
      return Close(in, connection, in.Flip() ? Unavailable("reset") : Unimplemented());
    if (!std::exchange(stream.started, true))
      return Do(in, [&](auto* out) { keeper_.OnStarted(connection, now_, out); });
    v1::ClusterView view;
    if (what % 10 <= 7) {
      view = DrawView(in);
    } else if (what % 10 == 8) {
      return Do(in, [&](auto* out) { keeper_.OnWritten(connection, now_, out); });
    } else {
      const std::string_view bytes = in.Chunk();
      if (!view.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        return Do(in, [&](auto* out) { keeper_.OnMalformed(connection, "no message", out); });
    }
    Do(in, [&](auto* out) { keeper_.OnFrame(connection, &view, now_, out); });
  }

  static Status Unimplemented() { return {Code::kUnimplemented, "no such method"}; }

  void Close(Input& in, std::uint64_t connection, const Status& why) {
    streams_.erase(connection);
    Do(in, [&](auto* out) { keeper_.OnClosed(connection, why, now_, out); });
  }

  template <typename Feed>
  void Do(Input& in, const Feed& feed) {
    MapKeeper::Actions actions;
    feed(&actions);
    for (MapKeeper::Action& action : actions) {
      std::visit(Overload{
                     [&](const MapKeeper::Dial& dial) {
                       ASSENT_CHECK(!stopped_ && dial.connection == ++dials_);
                       ASSENT_CHECK(!dial.endpoint.empty() && streams_.size() < 2);
                       streams_[dial.connection] = {};
                     },
                     [&](const MapKeeper::Ask& ask) {
                       ASSENT_CHECK(!std::exchange(streams_.at(ask.connection).asked, true));
                     },
                     [&](const MapKeeper::HalfClose& close) {
                       ASSENT_CHECK(!streams_.at(close.connection).cancelled);
                     },
                     [&](const MapKeeper::Cancel& cancel) {
                       ASSENT_CHECK(!std::exchange(streams_.at(cancel.connection).cancelled, true));
                     },
                     [&](const MapKeeper::Changed&) { Changed(in); },
                 },
                 action);
    }
  }

  void Changed(Input& in) {
    const ClusterMapPtr map = keeper_.map();
    ASSENT_CHECK(map != nullptr || keeper_.alone().has_value());
    if (map == nullptr) return Travel(internal::Routes(Seeds()), in);
    CheckMap(*map, std::string(in.Chunk()));
    links_.SetMap(map);
    links_.Reconcile(in);
    Travel(internal::Routes(Seeds(), map, keeper_.left()), in);
  }

  MapKeeper keeper_{OptionsOf()};
  Links links_;
  SteadyTime now_{std::chrono::hours(1)};
  std::map<std::uint64_t, Stream> streams_;
  std::uint64_t dials_ = 0;
  bool stopped_ = false;
};

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Script().Run({data, size});
  return 0;
}
