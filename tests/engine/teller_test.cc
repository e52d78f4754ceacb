// What a shard tells as events: in its order, once, and nothing that a power cut could take back.

#include "coordinator/engine/teller.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;
using core::Millis;

ShardOptions To(Events& events) {
  ShardOptions options;
  options.events = &events;
  return options;
}

// "began decided:commit ended:COMMITTED": what was told since the last time.
class Heard {
 public:
  explicit Heard(Events& events) : events_(events) {}
  std::string More() {
    std::string text;
    const Events::Found found = events_.Read(after_, {}, 1'000);
    for (const Event& event : found.events) text += (text.empty() ? "" : " ") + Word(event);
    after_ = found.through;
    return text;
  }

 private:
  static std::string Word(const Event& event) {
    switch (event.kind) {
      case EventKind::kBegan: return "began";
      case EventKind::kDecided: return "decided:" + std::string(core::Name(event.decision));
      case EventKind::kEnded: return "ended:" + std::string(core::Name(event.outcome));
      case EventKind::kNeedsPerson: return "needs-person";
      case EventKind::kNeedsNobody: return "needs-nobody";
      case EventKind::kIntervened:
        return std::string(event.verb) + ":" + std::string(event.who) + ":" +
               std::string(core::Name(event.decision));
      case EventKind::kServiceAway:
      case EventKind::kNobodyWaits: break;
    }
    return "?";
  }
  Events& events_;
  std::uint64_t after_ = 0;
};

OperatorRequest By(const std::string& who, OperatorVerb verb, ShardRig::Told& told) {
  return {.gid = "a",
          .verb = verb,
          .actor = {.who = who, .reason = "because"},
          .branch_id = "",
          .done = told.Callback()};
}

TEST(Teller, ATransactionIsToldWhenEachStepIsDurable) {
  Events events;
  Heard heard(events);
  ShardRig rig(To(events));
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kCompleted, told));
  EXPECT_EQ(heard.More(), "") << "its beginning is on the way to the log";
  rig.CompleteAll();
  EXPECT_EQ(heard.More(), "began");
  rig.AnswerAll(AttemptResult::kDone);
  ASSERT_FALSE(rig.appends.empty());
  EXPECT_EQ(heard.More(), "") << "the decision is on the way to the log";
  rig.CompleteAll();
  EXPECT_EQ(heard.More(), "decided:commit");
  rig.AnswerAll(AttemptResult::kDone);
  rig.Pass(Millis(1000));
  ASSERT_FALSE(rig.appends.empty());
  EXPECT_EQ(told.words.size(), 1U) << "its initiator may know";
  EXPECT_EQ(heard.More(), "") << "its end is on the way to the log";
  rig.CompleteAll();
  EXPECT_EQ(heard.More(), "ended:COMMITTED");
}

TEST(Teller, AnAbortSaysWhyAndWho) {
  Events events;
  ShardRig rig(To(events));
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kDecided, told));
  rig.CompleteAll();
  ASSERT_EQ(rig.sent.size(), 2U);
  rig.sent.erase(rig.sent.begin());
  rig.AnswerAll(AttemptResult::kRefused, "no money");
  rig.CompleteAll();
  const Events::Found found = events.Read(1, {}, 1);
  ASSERT_EQ(found.events.size(), 1U);
  EXPECT_EQ(found.events[0].kind, EventKind::kDecided);
  EXPECT_EQ(found.events[0].decision, core::Decision::kAbort);
  EXPECT_EQ(found.events[0].state, core::Phase::kAborting);
  EXPECT_EQ(found.events[0].service, "s2");
  EXPECT_NE(found.events[0].text.find("no money"), std::string_view::npos) << found.events[0].text;
}

TEST(Teller, WhoNeedsAPersonIsToldOnceAndWhenThatIsDurable) {
  Events events;
  Heard heard(events);
  ShardRig rig(To(events));
  ShardRig::Told told;
  (void)rig.MakeHazard(told);
  EXPECT_EQ(heard.More(), "began decided:commit") << "the refusal is in no record yet";
  rig.Pass(Millis(1000));
  ASSERT_FALSE(rig.appends.empty());
  EXPECT_EQ(heard.More(), "");
  rig.CompleteAll();
  EXPECT_EQ(heard.More(), "needs-person");
  const Events::Found found = events.Read(2, {}, 1);
  EXPECT_EQ(found.events.at(0).service, "s1");
  EXPECT_NE(found.events.at(0).text.find("cannot confirm"), std::string_view::npos);
  for (int i = 0; i < 3; ++i) {  // tried again, refused again
    rig.Pass(Millis(120'000));
    rig.CompleteAll();
    rig.AnswerAll(AttemptResult::kRefused, "still cannot");
    rig.CompleteAll();
  }
  EXPECT_EQ(heard.More(), "");
  rig.Do(OperatorRequest{.gid = "a",
                         .verb = OperatorVerb::kResolve,
                         .actor = {.who = "ann", .reason = "counted"},
                         .branch_id = "1",
                         .resolution = core::Decision::kAbort,
                         .done = told.Callback()});
  EXPECT_EQ(heard.More(), "");
  rig.CompleteAll();
  rig.Pass(Millis(1000));
  rig.CompleteAll();
  EXPECT_EQ(heard.More(), "resolve abort:ann:commit needs-nobody ended:MIXED");
}

TEST(Teller, WhatStillNeedsAPersonIsToldByEachStart) {
  Events events;
  ShardRig rig(To(events));
  ShardRig::Told told;
  const std::string spec = rig.MakeHazard(told);
  rig.Pass(Millis(1000));
  log::LiveRow row = ShardRig::RowOf(rig.appends.back().entries.back());
  row.spec = spec;
  rig.CompleteAll();
  Events later;
  Heard heard(later);
  Shard next(To(later), rig);
  rig.Start(next, {row}, ShardRig::Recovered(ShardRig::kEpochs));
  rig.mono += Millis(1000);
  next.EndTurn(rig.mono, rig.wall);
  ASSERT_FALSE(rig.appends.empty());
  EXPECT_EQ(heard.More(), "") << "that it has lived through a start is on the way to the log";
  while (!rig.appends.empty()) {
    const ShardRig::PendingAppend done = std::move(rig.appends.front());
    rig.appends.pop_front();
    next.Handle(AppendedRequest{done.batch, {OkStatus(), done.batch, 1, {}}}, rig.mono, rig.wall);
    next.EndTurn(rig.mono, rig.wall);
  }
  EXPECT_EQ(heard.More(), "needs-person");
}

// Two that came while a write was under way become durable with the next one, each under its name.
TEST(Teller, WhatPeopleDidIsToldWhenItIsOnRecordInItsOrder) {
  Events events;
  Heard heard(events);
  ShardRig rig(To(events));
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(ShardRig::Spec("a"), WaitFor::kAccepted, told));
  rig.CompleteAll();
  EXPECT_EQ(heard.More(), "began");
  rig.Do(By("ann", OperatorVerb::kSuspend, told));
  rig.Do(By("bob", OperatorVerb::kResume, told));
  rig.Do(By("cid", OperatorVerb::kAbort, told));
  EXPECT_EQ(heard.More(), "");
  ASSERT_FALSE(rig.appends.empty());
  rig.Complete();
  EXPECT_EQ(heard.More(), "suspend:ann:none");
  rig.Complete();
  EXPECT_EQ(heard.More(), "resume:bob:none abort:cid:none decided:abort");
}

TEST(Teller, ThereNeedBeNobodyToTell) {
  ShardRig rig;
  ShardRig::Told told;
  (void)rig.MakeHazard(told);
  rig.CompleteAll();
  rig.Pass(Millis(1000));
  rig.CompleteAll();
  EXPECT_TRUE(rig.fatal.ok());
}

}  // namespace
}  // namespace assent::engine
