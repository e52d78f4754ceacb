// What happens, to whoever follows it: from where he says, as fast as he reads, and no further than
// what is kept.

#include "coordinator/service/event_stream.h"

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/service/service_rig.h"

namespace assent::service {
namespace {

class Follower final : public EventViewer {
 public:
  Status Show(const v1::EventsReply& reply) override {
    shown.Put(reply);
    return OkStatus();
  }
  void End(const Status& status) override { ended.Put(status); }

  Inbox<v1::EventsReply> shown;
  Inbox<Status> ended;
};

class EventStreamTest : public ServiceRig {
 protected:
  struct Following {
    std::shared_ptr<Follower> viewer = std::make_shared<Follower>();
    std::shared_ptr<EventStream> stream;
    v1::EventsReply Next() {
      v1::EventsReply reply = viewer->shown.Take();
      stream->Taken();
      return reply;
    }
    // Replies until so many events have come.
    std::string Words(int count) {
      std::string words;
      while (count > 0) {
        const v1::EventsReply reply = Next();
        for (const v1::Event& event : reply.events()) {
          words += (words.empty() ? "" : " ") + v1::EventKind_Name(event.kind());
          --count;
        }
      }
      return words;
    }
  };
  Following Follow(const v1::EventsRequest& request) {
    Following following;
    following.stream = std::make_shared<EventStream>(*service_, following.viewer);
    following.stream->Start(Caller{}, request);
    return following;
  }
  engine::Events& events() { return engine_->events(); }
  std::string At(std::uint64_t number) const {
    return std::to_string(engine_->recovered().epoch) + "." + std::to_string(number);
  }
  void Run(const std::string& gid) {
    const auto asker = std::make_shared<Waiting<v1::SubmitReply>>();
    v1::SubmitRequest request = Submit(gid);
    request.set_wait_for(v1::WAIT_COMPLETED);
    service_->Take(Caller{}, request, asker);
    Reply(participants_.asked.Take(), core::AttemptResult::kDone);
    EXPECT_EQ(asker->answers.Take().first, OkStatus());
  }
  void AddMany(int count, engine::Event event) {
    for (int i = 0; i < count; ++i) events().Add(event);
  }
};

TEST_F(EventStreamTest, FromNowOnATransactionIsToldFromItsBeginningToItsEnd) {
  Run("before");
  Following one = Follow({});
  const v1::EventsReply first = one.Next();
  EXPECT_EQ(first.events_size(), 0) << "it says where it stands, at once";
  EXPECT_FALSE(first.has_missed());
  Run("g");
  // The end of the one before may still have been on its way to the log.
  std::string words;
  std::string last;
  while (words.find("g:ENDED") == std::string::npos) {
    const v1::EventsReply reply = one.Next();
    for (const v1::Event& event : reply.events()) {
      words += event.gid() + ":" + v1::EventKind_Name(event.kind()) + " ";
      last = event.sequence();
    }
    if (reply.events_size() > 0) {
      EXPECT_EQ(reply.position(), last);
    }
  }
  EXPECT_NE(words.find("g:BEGAN g:DECIDED"), std::string::npos) << words;
  EXPECT_EQ(words.find("before:BEGAN"), std::string::npos) << words;
}

TEST_F(EventStreamTest, EachEventSaysWhatItIsInASentence) {
  events().Add({.at = core::WallTime(core::Millis(5)),
                .kind = EventKind::kDecided,
                .state = core::Phase::kAborting,
                .decision = Decision::kAbort,
                .gid = "g",
                .service = "payment",
                .text = "branch 2 payment/charge refused: no money"});
  events().Add({.kind = EventKind::kIntervened,
                .gid = "g",
                .branch_id = "2",
                .verb = "resolve commit",
                .who = "ann",
                .text = "counted"});
  events().Add({.kind = EventKind::kServiceAway, .service = "stock"});
  events().Add({.kind = EventKind::kNobodyWaits, .service = "stock"});
  events().Add({.kind = EventKind::kEnded, .outcome = Outcome::kMixed, .gid = "g"});
  v1::EventsRequest request;
  request.set_from_start(true);
  request.set_once(true);
  Following one = Follow(request);
  const v1::EventsReply reply = one.Next();
  ASSERT_EQ(reply.events_size(), 5);
  const v1::Event& decided = reply.events(0);
  EXPECT_EQ(decided.sequence(), At(1));
  EXPECT_EQ(decided.at_unix_ms(), 5);
  EXPECT_EQ(decided.kind(), v1::DECIDED);
  EXPECT_EQ(decided.state(), v1::ABORTING);
  EXPECT_EQ(decided.decision(), v1::DECISION_ABORT);
  EXPECT_EQ(decided.service(), "payment");
  EXPECT_EQ(decided.sentence(), "decided: abort: branch 2 payment/charge refused: no money");
  EXPECT_EQ(reply.events(1).sentence(), "resolve commit of branch 2 by ann: counted");
  EXPECT_EQ(reply.events(1).verb(), "resolve commit");
  EXPECT_EQ(reply.events(1).who(), "ann");
  EXPECT_EQ(reply.events(1).reason(), "counted");
  EXPECT_EQ(reply.events(2).sentence(),
            "nobody of stock can be reached, and transactions wait for it");
  EXPECT_EQ(reply.events(3).sentence(), "no transaction waits for stock any more");
  EXPECT_EQ(reply.events(4).sentence(), "ended MIXED");
  EXPECT_EQ(reply.position(), At(5));
  EXPECT_EQ(one.viewer->ended.Take(), OkStatus());
}

TEST_F(EventStreamTest, WhoComesBackGoesOnBehindWhatHeHad) {
  AddMany(5, {.kind = EventKind::kBegan, .gid = "g"});
  v1::EventsRequest request;
  request.set_after("99.7," + At(3) + ",12.1");  // of several coordinators, its own counts
  request.set_once(true);
  Following one = Follow(request);
  const v1::EventsReply reply = one.Next();
  EXPECT_FALSE(reply.has_missed());
  ASSERT_EQ(reply.events_size(), 2);
  EXPECT_EQ(reply.events(0).sequence(), At(4));
  EXPECT_EQ(one.viewer->ended.Take(), OkStatus());
}

TEST_F(EventStreamTest, WhatWasToldByAnEarlierStartIsMissedAndSaidToBe) {
  AddMany(2, {.kind = EventKind::kBegan, .gid = "g"});
  v1::EventsRequest request;
  request.set_after("1.77");
  Following one = Follow(request);
  const v1::EventsReply reply = one.Next();
  EXPECT_TRUE(reply.missed().other_start());
  EXPECT_EQ(reply.missed().after(), "1.77");
  EXPECT_EQ(reply.missed().through(), "");
  EXPECT_EQ(reply.events_size(), 2) << "and it goes on with the oldest that is kept";
  AddMany(1, {.kind = EventKind::kBegan, .gid = "g"});
  EXPECT_FALSE(one.Next().has_missed()) << "once";
}

TEST_F(EventStreamTest, WhoReadsTooSlowlyHoldsOneReplyAndIsToldWhatHeMissed) {
  for (const bool from_start : {false, true}) {
    v1::EventsRequest request;
    request.set_from_start(from_start);
    const std::string began = At(events().last());
    Following one = Follow(request);
    // The first reply has come, and he does not take it.
    EXPECT_EQ(one.viewer->shown.size(), 1U);
    (void)one.viewer->shown.Take();
    AddMany(200'000, {.kind = EventKind::kBegan, .gid = "g"});
    EXPECT_EQ(one.viewer->shown.size(), 0U);
    one.stream->Taken();
    const v1::EventsReply reply = one.Next();
    EXPECT_FALSE(reply.missed().other_start());
    if (!from_start) {
      EXPECT_EQ(reply.missed().after(), began);
    }
    ASSERT_EQ(reply.events_size(), static_cast<int>(kMaxEventsPerReplyCount));
    const std::string& missed = reply.missed().through();
    ASSERT_NE(missed, "") << from_start;
    const std::uint64_t through = std::stoull(missed.substr(missed.find('.') + 1));
    EXPECT_GT(through, events().last() - engine::kMaxUsualEventsCount - 1);
    EXPECT_EQ(reply.events(0).sequence(), At(through + 1));
    EXPECT_FALSE(one.Next().has_missed());
  }
}

TEST_F(EventStreamTest, OfTheOldestThatIsKeptNothingIsMissed) {
  AddMany(100'000, {.kind = EventKind::kBegan, .gid = "g"});
  v1::EventsRequest request;
  request.set_from_start(true);
  Following one = Follow(request);
  EXPECT_FALSE(one.Next().has_missed());
  EXPECT_FALSE(one.Next().has_missed());
}

TEST_F(EventStreamTest, ALargeReplyIsCutAndTheRestFollows) {
  const std::string who(1'000, 'w');
  const std::string why(engine::kMaxEventTextBytes, 'y');
  AddMany(250,
          {.kind = EventKind::kIntervened, .gid = "g", .verb = "abort", .who = who, .text = why});
  v1::EventsRequest request;
  request.set_from_start(true);
  Following one = Follow(request);
  int told = 0;
  int replies = 0;
  for (; told < 250; ++replies) {
    const v1::EventsReply reply = one.Next();
    EXPECT_LT(reply.ByteSizeLong(), kMaxEventsReplyBytes + 8'192);
    for (const v1::Event& event : reply.events()) EXPECT_EQ(event.sequence(), At(++told));
  }
  EXPECT_GT(replies, 2);
}

TEST_F(EventStreamTest, WhoWaitsForWhatIsRareIsToldHowFarHeIs) {
  v1::EventsRequest request;
  request.set_gid_prefix("rare");
  Following one = Follow(request);
  (void)one.Next();
  AddMany(kMaxUntoldEventsCount, {.kind = EventKind::kBegan, .gid = "g"});
  const v1::EventsReply reply = one.Next();
  EXPECT_EQ(reply.events_size(), 0);
  EXPECT_EQ(reply.position(), At(kMaxUntoldEventsCount));
  AddMany(1, {.kind = EventKind::kBegan, .gid = "rare-1"});
  EXPECT_EQ(one.Words(1), "BEGAN");
}

TEST_F(EventStreamTest, OnlyWhatIsAskedFor) {
  events().Add({.kind = EventKind::kNeedsPerson, .gid = "a", .service = "payment", .text = "why"});
  events().Add({.kind = EventKind::kServiceAway, .service = "payment"});
  events().Add({.kind = EventKind::kEnded, .outcome = Outcome::kHazard, .gid = "a"});
  const auto words = [this](const v1::EventsRequest& asked, int count) {
    v1::EventsRequest request = asked;
    request.set_from_start(true);
    return Follow(request).Words(count);
  };
  v1::EventsRequest request;
  request.set_service("payment");
  EXPECT_EQ(words(request, 2), "NEEDS_PERSON SERVICE_AWAY");
  request.add_kinds(v1::SERVICE_AWAY);
  EXPECT_EQ(words(request, 1), "SERVICE_AWAY");
  v1::EventsRequest people;
  people.set_needs_operator(true);
  EXPECT_EQ(words(people, 2), "NEEDS_PERSON ENDED");
}

TEST_F(EventStreamTest, WhatMakesNoSenseIsRefusedInWords) {
  const auto refused = [this](const v1::EventsRequest& request) {
    return Follow(request).viewer->ended.Take().ToString();
  };
  v1::EventsRequest request;
  for (const char* wrong : {"x", "7", "7.", ".7", "7.x", "7.1,", ",7.1", "7.1;8.1", "-1.2"}) {
    request.set_after(wrong);
    EXPECT_EQ(refused(request), "INVALID_ARGUMENT: after is \"" + std::string(wrong) +
                                    "\": it takes EPOCH.N, as each event has it in `sequence`, or "
                                    "up to 64 of them with commas between");
  }
  std::string many = "1.1";
  for (std::size_t i = 1; i < kMaxPositionsCount; ++i) many += ",1.1";
  request.set_after(many);
  EXPECT_TRUE(Follow(request).Next().missed().other_start());
  request.set_after(many + ",1.1");
  EXPECT_EQ(refused(request).rfind("INVALID_ARGUMENT", 0), 0U);
  request.set_after(At(9));
  EXPECT_EQ(refused(request),
            "INVALID_ARGUMENT: after has " + At(9) + ": the latest event is " + At(0));
  request.clear_after();
  request.add_kinds(static_cast<v1::EventKind>(99));
  EXPECT_EQ(refused(request),
            "INVALID_ARGUMENT: kinds has 99: it takes values of EventKind, such as BEGAN");
}

TEST_F(EventStreamTest, WhenTheCoordinatorStopsEveryStreamEndsAndNoneBegins) {
  Following one = Follow({});
  Following other = Follow({});
  service_->event_hub().Close();
  EXPECT_EQ(one.viewer->ended.Take().code(), Code::kUnavailable);
  EXPECT_EQ(other.viewer->ended.Take().code(), Code::kUnavailable);
  EXPECT_EQ(Follow({}).viewer->ended.Take().code(), Code::kUnavailable);
  service_->event_hub().Close();
}

TEST_F(EventStreamTest, WhoLeavesIsToldNothingMore) {
  Following one = Follow({});
  (void)one.Next();
  one.stream->Leave({Code::kCancelled, "has left"});
  EXPECT_EQ(one.viewer->ended.Take().code(), Code::kCancelled);
  AddMany(1, {.kind = EventKind::kBegan, .gid = "g"});
  Following next = Follow({});
  (void)next.Next();
  AddMany(1, {.kind = EventKind::kBegan, .gid = "g"});
  EXPECT_EQ(next.Words(1), "BEGAN");
  EXPECT_EQ(one.viewer->shown.size(), 0U);
}

}  // namespace
}  // namespace assent::service
