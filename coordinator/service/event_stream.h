#pragma once

// What happens, to whoever follows it: one EventStream for each, whatever door it came through, and
// one thread that wakes those who have had all there was.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/events.pb.h"
#include "coordinator/engine/events.h"
#include "coordinator/service/asker.h"

namespace assent::service {

class Service;

// Of one EventsReply; the next one has the rest.
inline constexpr std::size_t kMaxEventsPerReplyCount = 256;
inline constexpr std::size_t kMaxEventsReplyBytes = 256 * 1024;
// Positions of an EventsRequest.after, one of each coordinator.
inline constexpr std::size_t kMaxPositionsCount = 64;
// Who waits for what is rare is told his position after so many events that do not match: where he
// would go on is kept for a while.
inline constexpr std::size_t kMaxUntoldEventsCount = 4'096;
// Between two looks for what has happened: what happens meanwhile is one reply.
inline constexpr std::int64_t kEventsPauseMs = 10;

// The door's side of an EventStream; as Viewer (watch.h) is of a Watch.
class EventViewer {
 public:
  virtual ~EventViewer() = default;
  virtual Status Show(const v1::EventsReply& shown) = 0;
  virtual void End(const Status& status) = 0;
};

// Reads on from where it stands, a reply at a time, each made when the one before has been taken:
// who reads slowly holds one reply, and misses what has given way meanwhile, which he is told.
class EventStream final : public std::enable_shared_from_this<EventStream> {
 public:
  EventStream(Service& service, std::shared_ptr<EventViewer> viewer)
      : service_(service), viewer_(std::move(viewer)) {}

  void Start(const Caller&, const v1::EventsRequest& request) ASSENT_EXCLUDES(mutex_);
  void Taken() ASSENT_EXCLUDES(mutex_);
  // Ends it, unless it has ended.
  void Leave(const Status& why) ASSENT_EXCLUDES(mutex_);
  // Something has happened.
  void Look() ASSENT_EXCLUDES(mutex_);

 private:
  Status Enter(const v1::EventsRequest& request) ASSENT_REQUIRES(mutex_);
  void ShowMore() ASSENT_REQUIRES(mutex_);
  void FillMissed(std::uint64_t missed_through, v1::EventsReply& reply) ASSENT_REQUIRES(mutex_);
  std::string Position(std::uint64_t number) const ASSENT_REQUIRES(mutex_);
  void End(const Status& status) ASSENT_REQUIRES(mutex_);

  Service& service_;
  Mutex mutex_;
  std::shared_ptr<EventViewer> viewer_ ASSENT_GUARDED_BY(mutex_);  // nobody: it has ended
  std::uint64_t epoch_ ASSENT_GUARDED_BY(mutex_) = 0;
  engine::EventFilter filter_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t through_ ASSENT_GUARDED_BY(mutex_) = 0;  // told, or passed over
  // Not nothing: it ends when it gets there.
  std::optional<std::uint64_t> until_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t told_position_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t told_missed_ ASSENT_GUARDED_BY(mutex_) = 0;
  // What the request went on after, if that was of another start; until that is told.
  std::string other_start_ ASSENT_GUARDED_BY(mutex_);
  bool from_oldest_ ASSENT_GUARDED_BY(mutex_) = false;  // whatever that is
  bool begun_ ASSENT_GUARDED_BY(mutex_) = false;        // the first reply is out
  bool showing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool last_ ASSENT_GUARDED_BY(mutex_) = false;  // after this one there is no other
};

// Wakes all streams when something has happened. Its thread begins with the first of them.
class EventHub {
 public:
  explicit EventHub(engine::Events& events) : events_(events) {}
  ~EventHub() { Close(); }
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  // False: this coordinator stops.
  bool Join(const std::shared_ptr<EventStream>& stream) ASSENT_EXCLUDES(mutex_);
  // Ends all streams, and the thread. Idempotent.
  void Close() ASSENT_EXCLUDES(mutex_);

 private:
  struct Bell;  // may outlive the hub: the engine rings it

  void Run(const std::shared_ptr<Bell>& bell) ASSENT_EXCLUDES(mutex_);
  std::vector<std::shared_ptr<EventStream>> Streams() ASSENT_EXCLUDES(mutex_);

  engine::Events& events_;
  Mutex mutex_;
  std::vector<std::weak_ptr<EventStream>> streams_ ASSENT_GUARDED_BY(mutex_);
  std::shared_ptr<Bell> bell_ ASSENT_GUARDED_BY(mutex_);
  std::thread thread_ ASSENT_GUARDED_BY(mutex_);
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
};

// In words of the wire.
void ToProto(const engine::Event& event, std::uint64_t epoch, v1::Event& out);

}  // namespace assent::service
