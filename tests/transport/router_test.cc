#include <gtest/gtest.h>

#include <assent/limits.h>

#include "coordinator/transport/session_router.h"

namespace assent::transport {
namespace {

using core::AttemptResult;
using core::Operation;

const core::MonoTime kNow{std::chrono::seconds(1000)};

SessionHello Hello(const std::string& service, std::uint32_t in_flight = 0) {
  return {1, service, "i", {{"act", core::Protocol::kTcc}}, in_flight, "test"};
}

Command Try(const std::string& gid, const std::string& service = "s") {
  Command command;
  command.gid = gid;
  command.branch_id = "1";
  command.operation = Operation::kTry;
  command.service = service;
  command.action = "act";
  command.attempt = 1;
  command.timeout = core::Millis(1000);
  return command;
}

struct Rig {
  SessionRouter router;
  std::vector<SessionId> touched;
  bool first = false;

  explicit Rig(RouterLimits limits = {}) : router(limits) {}
  Status Attach(SessionId id, const SessionHello& hello) {
    return router.Attach(id, hello, "peer", core::WallTime{}, first);
  }
  std::vector<Reply> Send(const std::string& gid) {
    std::vector<Command> commands;
    commands.push_back(Try(gid));
    return router.Send(std::move(commands), kNow, touched);
  }
  std::vector<std::pair<std::uint64_t, Command>> Take(SessionId id) {
    return router.TakeOutbox(id, 100, 1 << 20);
  }
  std::vector<Reply> Answer(SessionId id, SessionReply reply) {
    std::vector<SessionReply> replies;
    replies.push_back(std::move(reply));
    return router.OnReplies(id, std::move(replies), kNow, touched);
  }
  static SessionReply Done(const std::string& gid, std::uint64_t command_id) {
    return {gid, "1", Operation::kTry, command_id, AttemptResult::kDone, "r", {}, core::Millis(0)};
  }
};

TEST(SessionRouter, WithoutAParticipantNothingIsSent) {
  Rig rig;
  const auto back = rig.Send("g");
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
  EXPECT_EQ(back[0].reason, "no participant s is connected");
}

TEST(SessionRouter, ACommandGoesOutAndItsAnswerComesBackOnce) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  EXPECT_TRUE(rig.first);
  EXPECT_TRUE(rig.Send("g").empty());
  const auto out = rig.Take(1);
  ASSERT_EQ(out.size(), 1U);
  const auto answers = rig.Answer(1, Rig::Done("g", out[0].first));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].bytes, "r");
  EXPECT_TRUE(rig.Answer(1, Rig::Done("g", out[0].first)).empty()) << "taken twice";
  EXPECT_EQ(rig.router.counters().stale_replies, 1U);
}

// A participant that answers about another gid, branch or operation than it was asked is not believed.
TEST(SessionRouter, ALieIsIgnored) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  EXPECT_TRUE(rig.Send("g").empty());
  const std::uint64_t id = rig.Take(1)[0].first;
  EXPECT_TRUE(rig.Answer(1, Rig::Done("other", id)).empty());
  SessionReply wrong_operation = Rig::Done("g", id);
  wrong_operation.operation = Operation::kConfirm;
  EXPECT_TRUE(rig.Answer(1, wrong_operation).empty());
  EXPECT_TRUE(rig.Answer(1, Rig::Done("g", 999)).empty()) << "never asked";
  EXPECT_EQ(rig.router.counters().mismatched_replies, 2U);
  EXPECT_EQ(rig.Answer(1, Rig::Done("g", id)).size(), 1U) << "the truth still counts";
}

TEST(SessionRouter, AnOversizedResultIsUnknown) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  EXPECT_TRUE(rig.Send("g").empty());
  SessionReply reply = Rig::Done("g", rig.Take(1)[0].first);
  reply.bytes.assign(limits::kMaxResultBytes + 1, 'x');
  const auto answers = rig.Answer(1, std::move(reply));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].result, AttemptResult::kUnknown);
  EXPECT_NE(answers[0].reason.find("limit is 262144"), std::string::npos);
}

TEST(SessionRouter, ALostStreamLeavesUnknownWhatWasWrittenAndNotSentWhatWasNot) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  EXPECT_TRUE(rig.Send("b").empty());
  const auto lost = rig.router.Detach(1);
  ASSERT_EQ(lost.size(), 2U);
  EXPECT_EQ(lost[0].result, AttemptResult::kUnknown);
  EXPECT_EQ(lost[1].result, AttemptResult::kNotSent);
}

TEST(SessionRouter, InstancesShareAndRoomIsRespected) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s", 1)).ok());
  ASSERT_TRUE(rig.Attach(2, Hello("s", 1)).ok());
  EXPECT_FALSE(rig.first);
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  EXPECT_TRUE(rig.Send("c").empty());
  const auto one = rig.Take(1);
  const auto two = rig.Take(2);
  ASSERT_EQ(one.size(), 1U);
  ASSERT_EQ(two.size(), 1U);
  ASSERT_EQ(rig.Answer(1, Rig::Done(one[0].second.gid, one[0].first)).size(), 1U);
  const auto more = rig.Take(1);
  ASSERT_EQ(more.size(), 1U) << "what waited for room goes when there is some";
  EXPECT_EQ(more[0].second.gid, "c");
}

TEST(SessionRouter, AFullQueueIsAnAnswer) {
  RouterLimits limits;
  limits.max_queued_count = 1;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Send("b").empty());
  const auto refused = rig.Send("c");
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].result, AttemptResult::kNotSent);
}

TEST(SessionRouter, AParticipantThatDropsCommandsDoesNotKeepTheirRoom) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s", 1)).ok());
  EXPECT_TRUE(rig.Send("a").empty());
  ASSERT_EQ(rig.Take(1).size(), 1U);
  EXPECT_TRUE(rig.Send("b").empty());
  EXPECT_TRUE(rig.Take(1).empty());
  rig.router.ExpireSlots(kNow + core::Millis(999), rig.touched);
  EXPECT_TRUE(rig.Take(1).empty());
  rig.router.ExpireSlots(kNow + core::Millis(1000), rig.touched);
  EXPECT_TRUE(rig.Take(1).empty()) << "b's own time is over as well: its sender asks again";
  EXPECT_TRUE(rig.Send("c").empty());
  EXPECT_EQ(rig.Take(1).size(), 1U);
}

TEST(SessionRouter, ADrainingSessionGetsNothingNew) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  rig.router.Drain(1);
  EXPECT_TRUE(rig.Send("a").empty());
  EXPECT_TRUE(rig.Take(1).empty());
  const auto back = rig.router.Detach(1);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].result, AttemptResult::kNotSent);
}

TEST(SessionRouter, BadHellosAreNamed) {
  Rig rig;
  SessionHello bad = Hello("s");
  bad.version = 2;
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.version is 2: this coordinator speaks version 1");
  EXPECT_EQ(rig.Attach(1, Hello("")).message(),
            "hello.service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]");
  EXPECT_EQ(rig.Attach(1, Hello("s\x1b[2J")).message(),
            "hello.service is \"s?[2J\": only [A-Za-z0-9._:/-] are allowed");
  EXPECT_EQ(rig.Attach(1, Hello(std::string(129, 'x'))).code(), Code::kInvalidArgument);
  bad = Hello("s");
  bad.actions = {{"a", core::Protocol::kTcc}, {"a", core::Protocol::kTcc}};
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.actions names tcc:a twice");
  bad.actions = {{"a", core::Protocol{}}};
  EXPECT_EQ(rig.Attach(1, bad).message(),
            "hello.actions: the protocol of a is unknown: it takes TWO_PHASE, TCC or SAGA");
  bad.actions = {{"a b", core::Protocol::kTcc}};
  EXPECT_EQ(rig.Attach(1, bad).message(),
            "hello.actions.name is \"a b\": only [A-Za-z0-9._:/-] are allowed");
  bad = Hello("s");
  bad.instance.assign(limits::kMaxInstanceNameBytes + 1, 'i');
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.instance has 129 bytes, the limit is 128");
  bad = Hello("s");
  bad.agent.assign(limits::kMaxAgentBytes + 1, 'a');
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.agent has 129 bytes, the limit is 128");
  bad = Hello("s");
  bad.actions.assign(limits::kMaxActionsPerParticipantCount + 1, {"a", core::Protocol::kTcc});
  EXPECT_EQ(rig.Attach(1, bad).message(), "hello.actions has 1025 entries, the limit is 1024");
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  SessionHello other = Hello("s");
  other.actions.emplace_back("more", core::Protocol::kSaga);
  EXPECT_EQ(rig.Attach(2, other).code(), Code::kFailedPrecondition) << "same name, other actions";
  EXPECT_EQ(rig.router.session_count(), 1U);
}

TEST(SessionRouter, AnActionThatNobodyOffersIsRefusedOnlyBeforeItCouldHaveHappened) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  const auto send = [&](Operation operation, std::uint32_t attempt) {
    std::vector<Command> commands;
    commands.push_back(Try("g"));
    commands[0].action = "nope";
    commands[0].operation = operation;
    commands[0].attempt = attempt;
    return rig.router.Send(std::move(commands), kNow, rig.touched)[0];
  };
  EXPECT_EQ(send(Operation::kTry, 1).result, AttemptResult::kRefused);
  EXPECT_EQ(send(Operation::kTry, 1).reason,
            "participant s has no action tcc:nope; it offers tcc:act");
  EXPECT_EQ(send(Operation::kTry, 2).result, AttemptResult::kNotSent);
  EXPECT_EQ(send(Operation::kCancel, 1).result, AttemptResult::kNotSent);
}

TEST(SessionRouter, TooManySessionsAreRefused) {
  RouterLimits limits;
  limits.max_sessions_count = 1;
  Rig rig(limits);
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  EXPECT_EQ(rig.Attach(2, Hello("t")).code(), Code::kResourceExhausted);
}

// A frame over the participant's limit ends its stream; the commands come again, in the same frame, for ever.
TEST(SessionRouter, AFrameIsBoundedByAllThatIsInIt) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  for (int i = 0; i < 4; ++i) {
    std::vector<Command> commands;
    commands.push_back(Try("g" + std::to_string(i)));
    commands[0].payload = std::string(100, 'p');
    commands[0].headers = {{"h", std::string(200, 'h')}};
    commands[0].results = {{"0", std::string(300, 'r')}};
    EXPECT_TRUE(rig.router.Send(std::move(commands), kNow, rig.touched).empty());
  }
  EXPECT_EQ(rig.router.TakeOutbox(1, 100, 2000).size(), 2U)
      << "two are under 2000 bytes, three are over";
  EXPECT_EQ(rig.router.TakeOutbox(1, 100, 10).size(), 1U) << "one that is too large goes alone";
  EXPECT_EQ(rig.router.TakeOutbox(1, 100, 2000).size(), 1U);
}

// One byte of a broken character in a proto string, and no client can read the transaction or a list that it is in.
TEST(SessionRouter, AReasonIsCutBetweenCharacters) {
  Rig rig;
  ASSERT_TRUE(rig.Attach(1, Hello("s")).ok());
  rig.Send("g");
  SessionReply reply = Rig::Done("g", rig.Take(1)[0].first);
  reply.result = AttemptResult::kRefused;
  reply.reason = "a";
  for (int i = 0; i < 600; ++i) reply.reason += "\xc3\xa9";
  const auto answers = rig.Answer(1, reply);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].reason.size(), limits::kMaxReasonBytes - 1);
}

}  // namespace
}  // namespace assent::transport
