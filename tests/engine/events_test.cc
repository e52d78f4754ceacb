// What is kept of what happens, and for whom.

#include "coordinator/engine/events.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace assent::engine {
namespace {

Event Of(EventKind kind, std::string_view gid) { return {.kind = kind, .gid = gid}; }

std::string Numbers(const Events::Found& found) {
  std::string text;
  for (const Event& event : found.events)
    text += (text.empty() ? "" : " ") + std::to_string(event.number);
  return text;
}

// Begins, each of a transaction of its own, numbered on.
void AddUsual(Events& events, int count) {
  for (int i = 0; i < count; ++i)
    events.Add(Of(EventKind::kBegan, "t" + std::to_string(events.last() + 1)));
}

TEST(Events, AreReadInTheirOrderWithWhatTheySay) {
  Events events;
  events.Start(7);
  EXPECT_EQ(events.epoch(), 7U);
  events.Add(Of(EventKind::kBegan, "a"));
  events.Add({.at = core::WallTime(core::Millis(17)),
              .kind = EventKind::kIntervened,
              .state = core::Phase::kAborting,
              .decision = core::Decision::kAbort,
              .gid = "a",
              .service = "payment",
              .branch_id = "2",
              .verb = "resolve abort",
              .who = "ann",
              .text = "counted"});
  events.Add(Of(EventKind::kEnded, "b"));
  const Events::Found found = events.Read(0, {}, 10);
  ASSERT_EQ(Numbers(found), "1 2 3");
  EXPECT_EQ(found.through, 3U);
  EXPECT_FALSE(found.more);
  EXPECT_EQ(found.missed_through, 0U);
  const Event& event = found.events[1];
  EXPECT_EQ(event.at, core::WallTime(core::Millis(17)));
  EXPECT_EQ(event.state, core::Phase::kAborting);
  EXPECT_EQ(event.decision, core::Decision::kAbort);
  EXPECT_EQ(std::string(event.gid) + "|" + std::string(event.service) + "|" +
                std::string(event.branch_id) + "|" + std::string(event.verb) + "|" +
                std::string(event.who) + "|" + std::string(event.text),
            "a|payment|2|resolve abort|ann|counted");
}

TEST(Events, WhoComesBackGoesOnWhereHeStopped) {
  Events events;
  AddUsual(events, 5);
  const Events::Found first = events.Read(0, {}, 2);
  EXPECT_EQ(Numbers(first), "1 2");
  EXPECT_EQ(first.through, 2U);
  EXPECT_TRUE(first.more);
  AddUsual(events, 1);
  const Events::Found rest = events.Read(first.through, {}, 10);
  EXPECT_EQ(Numbers(rest), "3 4 5 6");
  EXPECT_FALSE(rest.more);
  EXPECT_EQ(Numbers(events.Read(rest.through, {}, 10)), "");
}

TEST(Events, WhatDoesNotMatchIsPassedOver) {
  Events events;
  events.Add(Of(EventKind::kBegan, "order-1"));
  events.Add(Of(EventKind::kDecided, "other"));
  events.Add({.kind = EventKind::kNeedsPerson, .gid = "order-2", .service = "payment"});
  events.Add({.kind = EventKind::kServiceAway, .service = "payment"});
  events.Add({.kind = EventKind::kEnded, .outcome = core::Outcome::kMixed, .gid = "order-2"});
  events.Add({.kind = EventKind::kEnded, .outcome = core::Outcome::kCommitted, .gid = "order-1"});
  EXPECT_EQ(Numbers(events.Read(0, {.gid_prefix = "order-"}, 10)), "1 3 5 6");
  EXPECT_EQ(Numbers(events.Read(0, {.service = "payment"}, 10)), "3 4");
  EXPECT_EQ(Numbers(events.Read(0, {.asks_for_person = true}, 10)), "3 5");
  EventFilter ends;
  ends.kinds = 1U << static_cast<unsigned>(EventKind::kEnded);
  EXPECT_EQ(Numbers(events.Read(0, ends, 10)), "5 6");
  ends.gid_prefix = "nobody";
  const Events::Found none = events.Read(0, ends, 10);
  EXPECT_EQ(none.through, 6U) << "who waits for what is rare goes on behind it";
}

// A busy minute once would have pushed out the one line that somebody should see.
TEST(Events, WhatGoesItsWayDoesNotPushOutWhatAsksForAPerson) {
  Events events({.max_usual_count = 1024, .max_notable_count = 16});
  events.Add(Of(EventKind::kNeedsPerson, "stuck"));
  AddUsual(events, 4'000);
  EventFilter stuck;
  stuck.asks_for_person = true;
  const Events::Found found = events.Read(0, stuck, 10);
  EXPECT_EQ(Numbers(found), "1");
  EXPECT_EQ(found.missed_through, 0U);
  const Events::Found all = events.Read(0, {}, 3);
  EXPECT_GT(all.missed_through, 2'900U);
  EXPECT_LT(all.missed_through, 4'001U - 512);
  EXPECT_EQ(Numbers(all), "1 " + std::to_string(all.missed_through + 1) + " " +
                              std::to_string(all.missed_through + 2));
  EXPECT_EQ(events.Read(all.missed_through, {}, 1).missed_through, 0U);
}

TEST(Events, NotableOnesHaveTheirLimitToo) {
  Events events({.max_notable_count = 600});
  for (int i = 0; i < 2'000; ++i) events.Add(Of(EventKind::kServiceAway, ""));
  const Events::Found found = events.Read(0, {}, 5'000);
  EXPECT_EQ(found.missed_through + found.events.size(), 2'000U);
  EXPECT_LE(found.events.size(), 600U);
  EXPECT_GE(found.events.size(), 1U);
}

TEST(Events, WhatIsKeptIsBoundedInBytes) {
  Events events({.max_shelf_bytes = 100'000});
  const std::string text(100'000, 'x');
  for (int i = 0; i < 1'000; ++i) events.Add({.kind = EventKind::kDecided, .text = text});
  const Events::Found found = events.Read(0, {}, 5'000);
  ASSERT_FALSE(found.events.empty());
  EXPECT_EQ(found.missed_through + found.events.size(), 1'000U);
  std::size_t bytes = 0;
  for (const Event& event : found.events) {
    EXPECT_EQ(event.text.size(), kMaxEventTextBytes);
    bytes += event.text.size();
  }
  EXPECT_LE(bytes, 100'000U);
}

TEST(Events, ATextIsCutBetweenTwoCharacters) {
  Events events;
  const std::string text = std::string(kMaxEventTextBytes - 1, 'x') + "\xc3\xa4";
  events.Add({.kind = EventKind::kDecided, .text = text});
  EXPECT_EQ(events.Read(0, {}, 1).events.at(0).text, std::string(kMaxEventTextBytes - 1, 'x'));
}

TEST(Events, OneReadLooksAtSoManyAndSaysThatThereAreMore) {
  Events events;
  AddUsual(events, 30'000);
  EventFilter none;
  none.gid_prefix = "nobody";
  std::uint64_t after = 0;
  int reads = 0;
  for (Events::Found found; after < 30'000; ++reads, after = found.through) {
    found = events.Read(after, none, 10);
    ASSERT_GT(found.through, after);
    ASSERT_LE(found.through - after, kMaxEventsLookedAtCount + 512);
    ASSERT_EQ(found.more, found.through < 30'000);
  }
  EXPECT_GE(reads, 3);
}

// Pages are closed at the reader's call; what he holds does not change under him.
TEST(Events, WhatWasReadStaysWhileOthersAreAdded) {
  Events events({.max_usual_count = 512});
  AddUsual(events, 3);
  const Events::Found found = events.Read(0, {}, 10);
  AddUsual(events, 5'000);
  EXPECT_EQ(found.events.at(0).gid, "t1");
  EXPECT_EQ(found.events.at(2).gid, "t3");
}

TEST(Events, WhoWaitsIsCalledOnce) {
  Events events;
  int called = 0;
  events.CallWhenBehind(0, [&] { ++called; });
  EXPECT_EQ(called, 0);
  AddUsual(events, 2);
  EXPECT_EQ(called, 1);
  events.CallWhenBehind(1, [&] { ++called; });
  EXPECT_EQ(called, 2) << "there is one already";
  events.CallWhenBehind(2, [&] { ++called; });
  EXPECT_EQ(called, 2);
}

TEST(Events, OfSeveralThreadsEachHasItsNumberAndIsReadOnce) {
  Events events;
  std::vector<std::thread> threads;
  for (const char* name : {"a", "b", "c"}) {
    threads.emplace_back([&events, name] {
      for (int i = 0; i < 5'000; ++i)
        events.Add(Of(i % 50 == 0 ? EventKind::kIntervened : EventKind::kBegan, name));
    });
  }
  std::uint64_t after = 0;
  std::uint64_t read = 0;
  while (read < 15'000) {
    const Events::Found found = events.Read(after, {}, 777);
    for (const Event& event : found.events) ASSERT_EQ(event.number, ++read);
    after = found.through;
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace assent::engine
