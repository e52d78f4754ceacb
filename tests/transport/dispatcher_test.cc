// Commands and sessions: who gets what, what comes back, what is never believed.

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/transport/dispatcher_rig.h"

namespace assent::transport {
namespace {

using core::AttemptResult;
using core::Operation;

TEST(Dispatcher, WithoutAParticipantNothingIsSent) {
  Rig rig;
  const auto back = rig.Send("g");
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
  EXPECT_EQ(back[0].reason, "no participant s is connected, nor was any since the start");
  EXPECT_TRUE(back[0].service_absent);
}

// Whoever is gone was there: his name is spelt right.
TEST(Dispatcher, WhoWasHereSinceTheStartIsToldFromWhoNeverWas) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  rig.Detach(1);
  EXPECT_EQ(rig.Send("g").at(0).reason, "no participant s is connected");
}

// Of more names than are kept nothing is claimed.
TEST(Dispatcher, WithMoreNamesThanHaveFiguresNobodyIsSaidToBeNew) {
  DispatcherLimits limits;
  limits.max_counted_services_count = 1;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("other")).ok());
  EXPECT_EQ(rig.Send("g").at(0).reason, "no participant s is connected");
}

TEST(Dispatcher, ACommandGoesOutAndItsAnswerComesBackOnce) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_EQ(rig.Appeared(), std::vector<std::string>{"s"});
  EXPECT_TRUE(rig.Send("g").empty());
  const auto out = rig.Take(1);
  ASSERT_EQ(out.size(), 1U);
  const auto answers = rig.Answer(1, Rig::Done("g", out[0].command_id));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].bytes, "r");
  EXPECT_TRUE(rig.Answer(1, Rig::Done("g", out[0].command_id)).empty()) << "taken twice";
  EXPECT_EQ(rig.dispatcher.counters().stale_replies, 1U);
}

// A participant that answers about another gid, branch or operation than it was asked is not
// believed.
TEST(Dispatcher, ALieIsIgnored) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("g").empty());
  const std::uint64_t id = rig.Take(1)[0].command_id;
  EXPECT_TRUE(rig.Answer(1, Rig::Done("other", id)).empty());
  SessionReply wrong_operation = Rig::Done("g", id);
  wrong_operation.operation = Operation::kConfirm;
  EXPECT_TRUE(rig.Answer(1, wrong_operation).empty());
  EXPECT_TRUE(rig.Answer(1, Rig::Done("g", 999)).empty()) << "never asked";
  EXPECT_EQ(rig.dispatcher.counters().mismatched_replies, 2U);
  EXPECT_EQ(rig.Answer(1, Rig::Done("g", id)).size(), 1U) << "the truth still counts";
}

TEST(Dispatcher, AnOversizedResultIsUnknown) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("g").empty());
  SessionReply reply = Rig::Done("g", rig.Take(1)[0].command_id);
  reply.bytes.assign(limits::kMaxResultBytes + 1, 'x');
  const auto answers = rig.Answer(1, std::move(reply));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].result, AttemptResult::kUnknown);
  EXPECT_NE(answers[0].reason.find("limit is 262144"), std::string::npos);
}

TEST(Dispatcher, ALostStreamLeavesUnknownWhatWasWrittenAndNotSentWhatWasNot) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  EXPECT_TRUE(rig.Send("b").empty());
  const auto lost = rig.Detach(1);
  ASSERT_EQ(lost.size(), 2U);
  EXPECT_EQ(lost[0].result, AttemptResult::kUnknown);
  EXPECT_EQ(lost[1].result, AttemptResult::kNotSent);
}

TEST(Dispatcher, InstancesShareAndRoomIsRespected) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("s", 1)).ok());
  EXPECT_EQ(rig.Appeared().size(), 1U) << "the first of them";
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  EXPECT_TRUE(rig.Send("c").empty());
  const auto one = rig.Take(1);
  const auto two = rig.Take(2);
  ASSERT_EQ(one.size(), 1U);
  ASSERT_EQ(two.size(), 1U);
  ASSERT_EQ(rig.Answer(1, Rig::Done(one[0].command.gid, one[0].command_id)).size(), 1U);
  const auto more = rig.Take(1);
  ASSERT_EQ(more.size(), 1U) << "what waited for room goes when there is some";
  EXPECT_EQ(more[0].command.gid, "c");
}

TEST(Dispatcher, AFullQueueIsAnAnswer) {
  DispatcherLimits limits;
  limits.max_queued_count = 1;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  const auto refused = rig.Send("c");
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].result, AttemptResult::kNotSent);
}

TEST(Dispatcher, AParticipantThatDropsCommandsDoesNotKeepTheirRoom) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  EXPECT_TRUE(rig.Pass(core::Millis(500)).empty());
  EXPECT_TRUE(rig.Send("b").empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_TRUE(rig.Pass(core::Millis(499)).empty());
  EXPECT_TRUE(rig.Take(1).empty());
  EXPECT_TRUE(rig.Pass(core::Millis(1)).empty()) << "of what is out and expired nothing is said";
  EXPECT_EQ(rig.Take(1).size(), 1U);
}

TEST(Dispatcher, ADrainingSessionGetsNothingNewAndItsOutboxGoesElsewhere) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  ASSERT_TRUE(rig.Attach(2, Rig::Hello("s", 2)).ok());
  for (const char* gid : {"a", "b", "c", "d"}) EXPECT_TRUE(rig.Send(gid).empty());
  rig.dispatcher.Drain(1, rig.effects);
  EXPECT_TRUE(rig.Take(1).empty());
  ASSERT_EQ(rig.Take(2).size(), 2U);
  rig.dispatcher.Drain(2, rig.effects);
  const auto back = rig.Replies();
  ASSERT_EQ(back.size(), 2U) << "two for which there was no room, and nobody is left to wait for";
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
  EXPECT_TRUE(back[0].service_absent);
  EXPECT_TRUE(rig.Send("e")[0].service_absent);
  rig.Appeared();
  ASSERT_TRUE(rig.Attach(3, Rig::Hello("s")).ok());
  EXPECT_EQ(rig.Appeared(), std::vector<std::string>{"s"});
}

TEST(Dispatcher, BadHellosAreNamed) {
  Rig rig;
  SessionHello bad = Rig::Hello("s");
  bad.version = 2;
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.version is 2: this coordinator speaks version 1");
  EXPECT_EQ(rig.Attach(1, Rig::Hello("")).message(),
            "hello.service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]");
  EXPECT_EQ(rig.Attach(1, Rig::Hello("s\x1b[2J")).message(),
            "hello.service is \"s?[2J\": only [A-Za-z0-9._:/-] are allowed");
  EXPECT_EQ(rig.Attach(1, Rig::Hello(std::string(129, 'x'))).code(), Code::kInvalidArgument);
  bad = Rig::Hello("s");
  bad.actions = {{"a", core::Protocol::kTcc}, {"a", core::Protocol::kTcc}};
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.actions names tcc:a twice");
  bad.actions = {{"a", core::Protocol{}}};
  EXPECT_EQ(rig.Attach(1, bad).message(),
            "hello.actions: the protocol of a is unknown: it takes TWO_PHASE, TCC or SAGA");
  bad.actions = {{"a b", core::Protocol::kTcc}};
  EXPECT_EQ(rig.Attach(1, bad).message(),
            "hello.actions.name is \"a b\": only [A-Za-z0-9._:/-] are allowed");
  bad = Rig::Hello("s");
  bad.instance.assign(limits::kMaxInstanceNameBytes + 1, 'i');
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.instance has 129 bytes, the limit is 128");
  bad = Rig::Hello("s");
  bad.agent.assign(limits::kMaxAgentBytes + 1, 'a');
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.agent has 129 bytes, the limit is 128");
  bad = Rig::Hello("s");
  bad.actions.assign(limits::kMaxActionsPerParticipantCount + 1, {"a", core::Protocol::kTcc});
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.actions has 1025 entries, the limit is 1024");
  EXPECT_EQ(rig.dispatcher.session_count(), 0U);
}

TEST(Dispatcher, AnActionThatNobodyOffersIsRefusedOnlyBeforeItCouldHaveHappened) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  const auto send = [&](Operation operation, std::uint32_t attempt) {
    Command command = Rig::Try("g");
    command.action = "nope";
    command.operation = operation;
    command.attempt = attempt;
    return rig.Send(std::move(command))[0];
  };
  EXPECT_EQ(send(Operation::kTry, 1).result, AttemptResult::kRefused);
  EXPECT_EQ(send(Operation::kTry, 1).reason,
            "participant s has no action tcc:nope; it offers tcc:act");
  EXPECT_EQ(send(Operation::kTry, 2).result, AttemptResult::kNotSent);
  EXPECT_EQ(send(Operation::kCancel, 1).result, AttemptResult::kNotSent);
}

TEST(Dispatcher, TooManySessionsAreRefused) {
  DispatcherLimits limits;
  limits.max_sessions_count = 1;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  EXPECT_EQ(rig.Attach(2, Rig::Hello("t")).code(), Code::kResourceExhausted);
}

// A frame over the participant's limit ends its stream; the commands come again, in the same frame,
// for ever.
TEST(Dispatcher, AFrameIsBoundedByAllThatIsInIt) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  for (int i = 0; i < 4; ++i) {
    Command command = Rig::Try("g" + std::to_string(i));
    command.payload = std::string(100, 'p');
    command.headers = {{"h", std::string(200, 'h')}};
    command.results = {{"0", std::string(300, 'r')}};
    EXPECT_TRUE(rig.Send(std::move(command)).empty());
  }
  EXPECT_EQ(rig.Take(1, 100, 2000).size(), 2U) << "two are under 2000 bytes, three are over";
  EXPECT_EQ(rig.Take(1, 100, 10).size(), 1U) << "one that is too large goes alone";
  EXPECT_EQ(rig.Take(1, 100, 2000).size(), 1U);
}

// One byte of a broken character in a proto string, and no client can read the transaction or a
// list that it is in.
TEST(Dispatcher, AReasonIsCutBetweenCharacters) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Rig::Hello("s")).ok());
  rig.Send("g");
  SessionReply reply = Rig::Done("g", rig.Take(1)[0].command_id);
  reply.result = AttemptResult::kRefused;
  reply.reason = "a";
  for (int i = 0; i < 600; ++i) reply.reason += "\xc3\xa9";
  const auto answers = rig.Answer(1, reply);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].reason.size(), limits::kMaxReasonBytes - 1);
}

}  // namespace
}  // namespace assent::transport
