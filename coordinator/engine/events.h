#pragma once

// What happens to the transactions of a coordinator, one line each, in one order: kept in memory
// for whoever looks now, or comes back after a while and goes on where he stopped.
//
// There are two shelves, so that a busy minute does not push out what somebody should see:
// transactions that go their way fill one of them in seconds, the other holds what asks for a
// person, what people did and which services are away. Both have their limits, in events and in
// bytes; the oldest give way, and who has missed some is told so.
//
// Whoever adds holds the lock for a copy of a few words; whoever reads, for taking hold of pages
// that do not change any more.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <assent/event_kind.h>
#include <assent/thread_safety.h>

#include "coordinator/core/types.h"

namespace assent::engine {

inline constexpr std::size_t kMaxUsualEventsCount = 65'536;
inline constexpr std::size_t kMaxNotableEventsCount = 16'384;
inline constexpr std::size_t kMaxShelfBytes = 16 * 1024 * 1024;
// Of a reason or a why-sentence; longer ones are cut.
inline constexpr std::size_t kMaxEventTextBytes = 512;
// That one Read looks at.
inline constexpr std::size_t kMaxEventsLookedAtCount = 8'192;

// Its views are whoever's who made it.
struct Event {
  std::uint64_t number = 0;  // from 1 in each start
  core::WallTime at{};
  EventKind kind = EventKind::kBegan;
  // How the transaction durably stands.
  core::Phase state = core::Phase::kUnknown;
  core::Decision decision = core::Decision::kNone;
  core::Outcome outcome = core::Outcome::kUndecided;
  std::string_view gid{};
  std::string_view service{};    // that it is about, if it is about one
  std::string_view branch_id{};  // of kIntervened, like the next two
  std::string_view verb{};
  std::string_view who{};
  std::string_view text{};  // the reason, or why it needs a person

  // It has asked for a person, or should have one look at it.
  bool AsksForPerson() const;
  // Of the shelf that lasts.
  bool IsNotable() const;
};

struct EventFilter {
  std::bitset<kEventKindsCount> kinds = std::bitset<kEventKindsCount>().set();  // by kind
  bool asks_for_person = false;  // only those, and that they do no more
  std::string service{};         // only those about it
  std::string gid_prefix{};

  bool Matches(const Event& event) const;
  bool WantsUsual() const;
  bool WantsNotable() const;
};

struct EventLimits {
  std::size_t max_usual_count = kMaxUsualEventsCount;
  std::size_t max_notable_count = kMaxNotableEventsCount;
  std::size_t max_shelf_bytes = kMaxShelfBytes;
};

// Thread-safety: all of it, from any thread.
class Events {
 public:
  struct Row {
    std::uint64_t number;
    core::WallTime at;
    std::uint32_t texts;  // where they begin
    std::array<std::uint16_t, 6> sizes;
    EventKind kind;
    core::Phase state;
    core::Decision decision;
    core::Outcome outcome;
  };
  struct Page {
    std::vector<Row> rows;
    std::string texts;
    std::size_t bytes() const { return sizeof(Page) + rows.size() * sizeof(Row) + texts.size(); }
  };
  using PagePtr = std::shared_ptr<const Page>;

  // Those behind a number, in their order.
  struct Found {
    std::vector<Event> events{};   // their views are the pages'
    std::vector<PagePtr> pages{};  // as long as those are needed
    std::uint64_t through = 0;     // everything up to this has been looked at
    bool more = false;             // there was more to look at
    // Not 0: some of those that the filter might have wanted are not kept any more, up to this.
    std::uint64_t missed_through = 0;
  };

  explicit Events(EventLimits limits = {}) : limits_(limits) {}

  // That of this start, with which its numbers count anew. Once, before the first event.
  void Start(std::uint64_t epoch) ASSENT_EXCLUDES(mutex_);
  // It is given its number here.
  void Add(const Event& event) ASSENT_EXCLUDES(mutex_);

  std::uint64_t epoch() const ASSENT_EXCLUDES(mutex_);
  // The number of the latest.
  std::uint64_t last() const ASSENT_EXCLUDES(mutex_);
  // At most so many that match, of the next ones behind `after`.
  Found Read(std::uint64_t after, const EventFilter& filter, std::size_t max_count)
      ASSENT_EXCLUDES(mutex_);
  // Called back from the thread that adds, once, when there are events behind `after`; from here,
  // if there are. Must be quick. Takes the place of the one before.
  void CallWhenBehind(std::uint64_t after, std::function<void()> call) ASSENT_EXCLUDES(mutex_);

 private:
  struct Shelf {
    std::deque<PagePtr> pages{};  // the oldest first
    Page open{};                  // the youngest, still growing
    std::size_t count = 0;
    std::size_t bytes = 0;
    std::uint64_t dropped_through = 0;
  };

  std::vector<PagePtr> Close(Shelf& shelf, std::size_t max_count) ASSENT_REQUIRES(mutex_);
  std::size_t MaxCount(const Shelf& shelf) const ASSENT_REQUIRES(mutex_);

  const EventLimits limits_;
  mutable Mutex mutex_;
  std::uint64_t epoch_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t last_ ASSENT_GUARDED_BY(mutex_) = 0;
  Shelf usual_ ASSENT_GUARDED_BY(mutex_);
  Shelf notable_ ASSENT_GUARDED_BY(mutex_);
  std::function<void()> call_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::engine
