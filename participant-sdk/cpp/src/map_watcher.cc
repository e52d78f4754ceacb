#include "participant-sdk/cpp/src/map_watcher.h"

#include <chrono>
#include <memory>
#include <utility>
#include <variant>

#include <assent/overload.h>

#include "assent/v1/cluster.pb.h"
#include "participant-sdk/cpp/src/frame_listener.h"

namespace assent::internal {
namespace {

SteadyTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

MapWatcher::MapWatcher(MapKeeper::Options options, DialerFactory make_dialer, Listener listener)
    : make_dialer_(std::move(make_dialer)),
      listener_(std::move(listener)),
      keeper_(std::move(options)) {}

MapWatcher::~MapWatcher() = default;

// The timer holds no reference: it would keep us alive for ever.
void MapWatcher::Start() {
  {
    const MutexLock lock(mutex_);  // its first tick comes at once, and looks at timer_
    timer_ = std::make_unique<Timer>([weak = weak_from_this()](SteadyTime now) {
      const std::shared_ptr<MapWatcher> self = weak.lock();
      return self ? self->Tick(now) : SteadyTime::max();
    });
  }
  Feed([](MapKeeper& keeper, MapKeeper::Actions* out) { keeper.Start(Now(), out); });
}

void MapWatcher::Nudge() {
  Feed([](MapKeeper& keeper, MapKeeper::Actions* out) { keeper.Nudge(Now(), out); });
}

void MapWatcher::AddSeed(const std::string& endpoint) {
  Feed([&](MapKeeper& keeper, MapKeeper::Actions* out) {
    keeper.AddSeed(endpoint);
    keeper.Nudge(Now(), out);
  });
}

void MapWatcher::Shutdown() {
  Feed([](MapKeeper& keeper, MapKeeper::Actions* out) { keeper.Stop(out); });
}

SteadyTime MapWatcher::Tick(SteadyTime now) {
  Feed([now](MapKeeper& keeper, MapKeeper::Actions* out) { keeper.OnTick(now, out); });
  const MutexLock lock(mutex_);
  timer_due_ = keeper_.Due();
  return timer_due_;
}

template <typename Event>
void MapWatcher::Feed(const Event& event) {
  Todos todos;
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    MapKeeper::Actions actions;
    event(keeper_, &actions);
    todos = Collect(std::move(actions));
    wake = timer_ && keeper_.Due() < timer_due_;
    if (wake) timer_due_ = keeper_.Due();
  }
  if (wake) timer_->Wake();
  Do(std::move(todos));
}

void MapWatcher::Open(const MapKeeper::Dial& dial) {
  Dialled& watch = watches_[dial.connection];
  watch.dialer = make_dialer_(dial.endpoint);
  watch.stream = watch.dialer->Open(
      MakeListener<v1::ClusterView>(dial.connection, [weak = weak_from_this()](const auto& event) {
        if (const auto self = weak.lock()) self->Feed(event);
      }));
}

MapWatcher::Todos MapWatcher::Collect(MapKeeper::Actions actions) {
  Todos todos;
  for (MapKeeper::Action& action : actions) {
    if (const auto* dial = std::get_if<MapKeeper::Dial>(&action)) Open(*dial);
    Todo todo;
    std::visit(Overload{
                   [&](const MapKeeper::Changed& changed) {
                     mutex_.AssertHeld();
                     todo.news = {++news_count_, keeper_.map(), keeper_.alone(), keeper_.left(),
                                  changed.gone};
                   },
                   [&](const auto& of_stream) {
                     mutex_.AssertHeld();
                     todo.stream = watches_.at(of_stream.connection).stream;
                   },
               },
               action);
    todo.action = std::move(action);
    todos.push_back(std::move(todo));
  }
  for (auto at = watches_.begin(); at != watches_.end();) {
    if (keeper_.Watches(at->first)) {
      ++at;
      continue;
    }
    todos.emplace_back().ended = std::move(at->second);
    at = watches_.erase(at);
  }
  return todos;
}

void MapWatcher::Do(Todos todos) {
  for (Todo& todo : todos) {
    if (todo.ended.stream) continue;  // went out of use: its dialer goes with the list
    std::visit(Overload{
                   [&](const MapKeeper::Dial&) { todo.stream->Start(); },
                   [&](const MapKeeper::Ask&) { todo.stream->Write(v1::WatchClusterRequest()); },
                   [&](const MapKeeper::HalfClose&) { todo.stream->HalfClose(); },
                   [&](const MapKeeper::Cancel&) { todo.stream->Cancel(); },
                   [&](const MapKeeper::Changed&) { listener_(todo.news); },
               },
               todo.action);
  }
}

}  // namespace assent::internal
