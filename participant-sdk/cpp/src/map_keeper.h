#pragma once

// Keeps the map of one cluster up to date, as a pure state machine: what streams of
// ClusterService.Watch report goes in, what is to be done comes out.
//
//   idle --Start, Nudge--> dialing --started--> asked --a view--> watching --closed--> waiting --due--> dialing
//     ^                                           |
//     +-- "alone", or a daemon without Watch -----+
//
// Two members are watched where there are several: one of them may be stopped, and say nothing, at
// the very moment at which what it owned gets another owner.
//
// Invariant: the map is the newest that an open stream has shown, or the last one before.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <assent/status.h>

#include "assent/v1/cluster.pb.h"
#include "participant-sdk/cpp/src/backoff.h"
#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/cluster_map.h"

namespace assent::internal {

class MapKeeper {
 public:
  struct Options {
    std::vector<std::string> seeds;
    std::chrono::milliseconds initial_backoff{50};
    std::chrono::milliseconds max_backoff{2000};
    // For a connection, and for the first view on it.
    std::chrono::milliseconds patience{3000};
    std::uint64_t seed = 0;
  };
  // `connection` counts dials over all endpoints.
  struct Dial {
    std::uint64_t connection;
    std::string endpoint;
  };
  struct Ask {  // write a WatchClusterRequest
    std::uint64_t connection;
  };
  struct HalfClose {
    std::uint64_t connection;
  };
  struct Cancel {
    std::uint64_t connection;
  };
  struct Changed {                  // map() or alone() is another
    std::vector<std::string> gone;  // addresses of members that have left
  };
  using Action = std::variant<Dial, Ask, HalfClose, Cancel, Changed>;
  using Actions = std::vector<Action>;

  explicit MapKeeper(Options options);

  void Start(SteadyTime now, Actions* out);
  // Something has failed: a coordinator that was alone may not be so any more.
  void Nudge(SteadyTime now, Actions* out);
  // One more place to ask.
  void AddSeed(const std::string& endpoint);
  void Stop(Actions* out);

  void OnStarted(std::uint64_t connection, SteadyTime now, Actions* out);
  void OnFrame(std::uint64_t connection, v1::ClusterView* view, SteadyTime now, Actions* out);
  void OnMalformed(std::uint64_t connection, const std::string& why, Actions* out);
  void OnWritten(std::uint64_t connection, SteadyTime now, Actions* out);
  void OnClosed(std::uint64_t connection, const Status& why, SteadyTime now, Actions* out);
  void OnTick(SteadyTime now, Actions* out);
  SteadyTime Due() const;

  bool Watches(std::uint64_t connection) const;
  // Null: none is known.
  const ClusterMapPtr& map() const { return map_; }
  // The coordinator that has said that it shares its log with nobody, while no map is known.
  const std::optional<std::string>& alone() const { return alone_; }
  // Seeds that were members and are no longer.
  const std::vector<std::string>& left() const { return left_; }

 private:
  struct Eye {
    explicit Eye(const Options& options, std::uint64_t seed)
        : backoff(options.initial_backoff, options.max_backoff, seed) {}
    Backoff backoff;
    std::uint64_t connection = 0;
    std::string endpoint;
    std::size_t next = 0;  // of the candidates
    bool dialled = false;  // and not closed
    bool cancelled = false;
    bool at_once = false;                // dials again without a wait
    SteadyTime due = SteadyTime::max();  // the next dial, or the end of the patience
    ClusterMapPtr seen;                  // on this connection
  };
  Eye* Of(std::uint64_t connection);
  std::vector<std::string> Candidates() const;
  void Look(Eye& eye, SteadyTime now, Actions* out);
  void GiveUp(Eye& eye, Actions* out);
  void OnAlone(Eye& eye, SteadyTime now, Actions* out);
  void Take(ClusterMapPtr map, SteadyTime now, Actions* out);

  Options options_;
  std::array<Eye, 2> eyes_;
  std::uint64_t connections_ = 0;
  ClusterMapPtr map_;
  std::optional<std::string> alone_;
  std::vector<std::string> left_;
  SteadyTime nudged_until_ = SteadyTime::min();
  bool idle_ = true;  // before Start, and while alone
  bool stopped_ = false;
};

}  // namespace assent::internal
