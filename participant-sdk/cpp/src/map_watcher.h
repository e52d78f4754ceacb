#pragma once

// What turns the pure MapKeeper of a client into streams. Free of gRPC: the dialers are given.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <assent/thread_safety.h>

#include "participant-sdk/cpp/src/call_table.h"
#include "participant-sdk/cpp/src/map_keeper.h"
#include "participant-sdk/cpp/src/stream.h"
#include "participant-sdk/cpp/src/timer.h"

namespace assent::internal {

// Shared with its streams' listeners and its timer.
class MapWatcher : public std::enable_shared_from_this<MapWatcher> {
 public:
  // Called without a lock, on the watcher's threads. Two threads may bring news at once.
  struct News {
    std::uint64_t number = 0;  // the highest is the latest
    ClusterMapPtr map;
    std::optional<std::string> alone;
    std::vector<std::string> left;
    std::vector<std::string> gone;  // addresses of members, since the news before
  };
  using Listener = std::function<void(const News& news)>;
  MapWatcher(MapKeeper::Options options, DialerFactory make_dialer, Listener listener);
  ~MapWatcher();

  void Start();
  // A call has failed.
  void Nudge();
  // One more place to ask.
  void AddSeed(const std::string& endpoint);
  void Shutdown();

 private:
  // To be done without the mutex.
  struct Todo {
    std::shared_ptr<Stream> stream;
    MapKeeper::Action action;
    News news;      // of Changed
    Dialled ended;  // goes
  };
  using Todos = std::vector<Todo>;
  template <typename Event>
  void Feed(const Event& event) ASSENT_EXCLUDES(mutex_);
  SteadyTime Tick(SteadyTime now);
  Todos Collect(MapKeeper::Actions actions) ASSENT_REQUIRES(mutex_);
  void Open(const MapKeeper::Dial& dial) ASSENT_REQUIRES(mutex_);
  void Do(Todos todos) ASSENT_EXCLUDES(mutex_);

  const DialerFactory make_dialer_;
  const Listener listener_;

  Mutex mutex_;
  MapKeeper keeper_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::uint64_t, Dialled> watches_ ASSENT_GUARDED_BY(mutex_);  // by connection
  std::uint64_t news_count_ ASSENT_GUARDED_BY(mutex_) = 0;
  SteadyTime timer_due_ ASSENT_GUARDED_BY(mutex_) = SteadyTime::min();

  std::unique_ptr<Timer> timer_;  // set by Start, under the mutex
};

}  // namespace assent::internal
