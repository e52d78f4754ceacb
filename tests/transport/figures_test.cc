// What is counted of each service.

#include <gtest/gtest.h>

#include "tests/transport/dispatcher_rig.h"

namespace assent::transport {
namespace {

using core::AttemptResult;
using core::Operation;

std::uint64_t Calls(const Rig& rig, const std::string& service, AttemptResult result) {
  for (const ServiceFigures& figures : rig.dispatcher.Figures()) {
    if (figures.service == service)
      return figures
          .calls[static_cast<std::size_t>(Operation::kTry)][static_cast<std::size_t>(result)];
  }
  return 0;
}

TEST(ServiceFigures, CountWhatCameOfWhatHadLeft) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  for (const char* gid : {"done", "late", "lost", "waits"}) (void)rig.Send(gid);
  const auto out = rig.Take(1, 3);
  ASSERT_EQ(out.size(), 3U);
  (void)rig.Answer(1, Rig::Done("done", out[0].command_id));
  (void)rig.Answer(1, Rig::Done("done", out[0].command_id));  // not believed, not counted
  EXPECT_EQ(Calls(rig, "s", AttemptResult::kDone), 1U);
  SessionReply no = Rig::Done("late", out[1].command_id);
  no.result = AttemptResult::kRefused;
  (void)rig.Answer(1, no);
  EXPECT_EQ(Calls(rig, "s", AttemptResult::kRefused), 1U);
  (void)rig.Detach(1);  // one was out; the other had not left
  EXPECT_EQ(Calls(rig, "s", AttemptResult::kUnknown), 1U);
  EXPECT_EQ(Calls(rig, "s", AttemptResult::kNotSent), 0U);

  // What a service has done stays when it goes.
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("s")).ok());
  (void)rig.Send("expires");
  ASSERT_EQ(rig.Take(2).size(), 1U);
  (void)rig.Pass(core::Millis(1000));
  EXPECT_EQ(Calls(rig, "s", AttemptResult::kUnknown), 2U);
  EXPECT_EQ(Calls(rig, "s", AttemptResult::kDone), 1U);
}

TEST(ServiceFigures, SayWhatIsThere) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("t")).ok());
  (void)rig.Send("a");
  Command again = Rig::Try("b");
  again.attempt = 2;
  (void)rig.Send(again);
  const auto all = rig.dispatcher.Figures();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].service, "s");
  EXPECT_EQ(all[0].instances, 1U);
  EXPECT_EQ(all[0].in_flight, 1U);
  EXPECT_EQ(all[0].queued, 1U);
  EXPECT_EQ(all[0].retries, 1U);
  EXPECT_EQ(all[1].in_flight, 0U);
  rig.dispatcher.Drain(2, rig.effects);
  EXPECT_EQ(rig.dispatcher.Figures()[1].instances, 0U);
}

TEST(ServiceFigures, ATargetThatIsNotReachedIsNoInstance) {
  Rig rig;
  rig.Dial(1, "host:1", /*max_in_flight=*/4);
  EXPECT_EQ(rig.dispatcher.Figures().at(0).instances, 0U);
  EXPECT_TRUE(rig.Reach(1, Reach::kReady));
  EXPECT_EQ(rig.dispatcher.Figures().at(0).instances, 1U);
}

// Whoever dials in may call itself anything.
TEST(ServiceFigures, ThoseBeyondTheLimitAreCountedTogether) {
  DispatcherLimits limits;
  limits.max_counted_services_count = 2;
  Rig rig(limits);
  for (InstanceId id = 1; id <= 5; ++id) {
    const std::string service = "s" + std::to_string(id);
    ASSERT_TRUE(rig.Attach(id, Rig::Hello(service)).ok());
    (void)rig.Send(Rig::Try("g" + service, service));
    (void)rig.Answer(id, Rig::Done("g" + service, rig.Take(id).at(0).command_id));
  }
  const auto all = rig.dispatcher.Figures();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].service, "");
  EXPECT_EQ(all[0].instances, 3U);
  EXPECT_EQ(Calls(rig, "", AttemptResult::kDone), 3U);
  EXPECT_EQ(Calls(rig, "s2", AttemptResult::kDone), 1U);
}

}  // namespace
}  // namespace assent::transport
