// Sessions on the production hub, over streams without a network.

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/transport/fake_carriers.h"

namespace assent::transport {
namespace {

std::string EndOf(const FakeStream& stream) {
  const std::optional<Status> end = stream.finished();
  return end ? std::string(CodeName(end->code())) + ": " + end->message() : "open";
}

TEST(Session, IsWelcomedAndAnswers) {
  Exchange exchange;
  const auto stream = exchange.Join("s");
  const auto welcome = stream->Frames();
  ASSERT_EQ(welcome.size(), 1U);
  EXPECT_EQ(welcome[0].welcome().coordinator_id(), 7U);
  EXPECT_EQ(welcome[0].welcome().cluster_version(), 0U) << "there is one coordinator";
  EXPECT_EQ(exchange.engine.Appeared(), std::vector<std::string>{"s"});
  exchange.Send(TryCommand("g"));
  const auto commands = stream->Commands();
  ASSERT_EQ(commands.size(), 1U);
  v1::ParticipantFrame answer;
  *answer.add_replies() = DoneReply(commands[0]);
  EXPECT_TRUE(stream->Say(answer));
  EXPECT_EQ(exchange.engine.Replies().at(0).result, core::AttemptResult::kDone);
  stream->sink->OnClosed();
  EXPECT_EQ(EndOf(*stream), "OK: ");
  EXPECT_EQ(exchange.witness.Lines(),
            (std::vector<std::string>{"s came from ipv4:10.0.0.1:5000",
                                      "s left: it hung up, or the connection broke"}));
  EXPECT_EQ(exchange.board.session_count(), 0U);
}

TEST(Session, TheWelcomeSaysThatThereAreSeveralCoordinators) {
  Exchange exchange;
  exchange.hub.SetClusterVersion(3);
  EXPECT_EQ(exchange.Join("s")->Frames()[0].welcome().cluster_version(), 3U);
}

// A clean stop was told like a crash.
TEST(Session, WhoSaidGoodbyeDidNotHangUp) {
  Exchange exchange;
  const auto stream = exchange.Join("s");
  v1::ParticipantFrame goodbye;
  goodbye.set_goodbye(true);
  EXPECT_TRUE(stream->Say(goodbye));
  stream->sink->OnClosed();
  EXPECT_EQ(exchange.witness.Lines().back(), "s left: it said goodbye");
}

// Whoever was turned away was told why, and nobody else.
TEST(Session, WhoIsTurnedAwayIsSeen) {
  Exchange exchange;
  exchange.board.AddDialled(nullptr, "dialled", Endpoint("a:1"), 1);
  exchange.Dial("ipv4:10.0.0.1:1")->Say(HelloFrame("dialled"));
  exchange.Dial("ipv4:10.0.0.1:2")->Say({});
  exchange.Dial("ipv4:10.0.0.1:3")->sink->OnClosed();
  exchange.Dial("ipv4:10.0.0.1:4");
  const auto lines = exchange.witness.Lines();
  ASSERT_EQ(lines.size(), 2U) << "who hung up was not turned away";
  EXPECT_EQ(lines[0].find("refused dialled of ipv4:10.0.0.1:1: service dialled is dialled"), 0U)
      << lines[0];
  EXPECT_EQ(lines[1], "refused  of ipv4:10.0.0.1:2: the first frame of a session must carry hello");
  exchange.hub.Close();
  EXPECT_TRUE(exchange.witness.Lines().empty()) << "at a stop everybody is told to dial again";
}

// The first frame that did not parse ended the stream with OK.
TEST(Session, AFirstFrameThatIsNoneIsNamed) {
  Exchange exchange;
  const auto garbage = exchange.Dial();
  garbage->SayBytes("\xff\xff");
  EXPECT_EQ(EndOf(*garbage),
            "INVALID_ARGUMENT: the frame is not a valid assent.v1.ParticipantFrame message");
  const auto latin = exchange.Dial();
  v1::ParticipantFrame hello = HelloFrame("s");
  hello.mutable_hello()->set_agent("caf?");
  std::string bytes = hello.SerializeAsString();
  bytes[bytes.find("caf?") + 3] = '\xe9';
  latin->SayBytes(bytes);
  EXPECT_EQ(EndOf(*latin),
            "INVALID_ARGUMENT: hello.agent is not UTF-8: texts are, bytes go into a payload");
  const auto silent = exchange.Dial();
  silent->Say({});
  EXPECT_EQ(EndOf(*silent), "FAILED_PRECONDITION: the first frame of a session must carry hello");
  EXPECT_EQ(exchange.hub.silent_count(), 0U);
}

// A reply whose reason was not UTF-8 lost the session, with every command on it.
TEST(Session, ABadReasonCostsOnlyItself) {
  Exchange exchange;
  const auto stream = exchange.Join("s");
  for (const char* gid : {"a", "b", "c"}) exchange.Send(TryCommand(gid));
  v1::ParticipantFrame answers;
  for (const auto& command : stream->Commands()) {
    *answers.add_replies() = DoneReply(command);
    if (command.gid() == "a") continue;
    v1::BranchReply& reply = *answers.mutable_replies()->rbegin();
    reply.set_kind(command.gid() == "b" ? v1::BranchReply::REFUSED : v1::BranchReply::RETRY_LATER);
    reply.set_reason("caf?");
  }
  std::string bytes = answers.SerializeAsString();
  for (std::size_t at = bytes.find("caf?"); at != std::string::npos; at = bytes.find("caf?"))
    bytes[at + 3] = '\xe9';
  EXPECT_TRUE(stream->SayBytes(bytes));
  EXPECT_EQ(EndOf(*stream), "open");
  const auto replies = exchange.engine.Replies();
  ASSERT_EQ(replies.size(), 3U);
  EXPECT_EQ(replies[0].result, core::AttemptResult::kDone);
  EXPECT_EQ(replies[1].result, core::AttemptResult::kRefused);
  EXPECT_EQ(replies[1].reason, "the reason is not UTF-8: caf?");
  EXPECT_EQ(replies[2].result, core::AttemptResult::kRetryLater);
  EXPECT_TRUE(stream->reading());
}

TEST(Session, AFrameThatIsNoneEndsItWithAWord) {
  Exchange exchange;
  const auto stream = exchange.Join("s");
  exchange.Send(TryCommand("g"));
  EXPECT_EQ(stream->Commands().size(), 1U);
  stream->SayBytes("\xff\xff");
  EXPECT_EQ(EndOf(*stream),
            "INVALID_ARGUMENT: the frame is not a valid assent.v1.ParticipantFrame message");
  EXPECT_EQ(exchange.engine.Replies().at(0).result, core::AttemptResult::kUnknown);
}

TEST(Session, AnOversizedResultCostsOnlyItself) {
  Exchange exchange;
  const auto stream = exchange.Join("s");
  exchange.Send(TryCommand("a"));
  exchange.Send(TryCommand("b"));
  v1::ParticipantFrame answers;
  for (const auto& command : stream->Commands()) *answers.add_replies() = DoneReply(command);
  answers.mutable_replies(0)->set_result(std::string(5U << 20, 'x'));
  EXPECT_GT(answers.ByteSizeLong(), limits::kMaxFrameBytes);
  EXPECT_TRUE(stream->Say(answers));
  const auto replies = exchange.engine.Replies();
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0].result, core::AttemptResult::kUnknown);
  EXPECT_EQ(replies[0].reason, "the result has 5242880 bytes, the limit is 262144");
  EXPECT_EQ(replies[1].result, core::AttemptResult::kDone);
  EXPECT_EQ(EndOf(*stream), "open");
}

// ---- Before Hello

TEST(Silent, StreamsAreFewAndNotForLong) {
  SessionHubOptions options;
  options.max_silent_count = 3;
  options.max_silent_per_address_count = 2;
  Exchange exchange(options);
  const auto first = exchange.Dial("ipv4:10.0.0.1:1");
  const auto second = exchange.Dial("ipv4:10.0.0.2:1");
  const auto one = exchange.Dial("ipv4:10.0.0.1:2");
  const auto two = exchange.Dial("ipv4:10.0.0.1:3");
  EXPECT_EQ(EndOf(*first),
            "RESOURCE_EXHAUSTED: 2 streams of ipv4:10.0.0.1 have not said hello yet, which is the "
            "limit, and this one had the longest time to: dial again");
  exchange.clock.millis += 9'999;
  const auto other = exchange.Dial("ipv4:10.0.0.3:1");
  EXPECT_EQ(EndOf(*second),
            "RESOURCE_EXHAUSTED: 3 streams have not said hello yet, which is the limit, and this "
            "one had the longest time to: dial again");
  EXPECT_TRUE(two->Say(HelloFrame("s")));
  exchange.hub.Tick();
  EXPECT_EQ(EndOf(*one), "open");
  exchange.clock.millis += 1;
  exchange.hub.Tick();
  EXPECT_EQ(EndOf(*one),
            "DEADLINE_EXCEEDED: no hello came within 10000 ms of the stream's opening");
  EXPECT_EQ(EndOf(*two), "open") << "it has said hello";
  EXPECT_EQ(EndOf(*other), "open") << "it has time left";
  EXPECT_EQ(exchange.hub.silent_count(), 1U);
  EXPECT_EQ(EndOf(*exchange.Dial("ipv4:10.0.0.1:4")), "open");
}

TEST(Silent, AConnectionThatSaysNothingKeepsNobodyOut) {
  Exchange exchange;
  const auto honest = exchange.Dial("ipv4:10.0.0.1:2");
  std::vector<std::shared_ptr<FakeStream>> mute;
  for (int i = 0; i < 1000; ++i) mute.push_back(exchange.Dial("ipv4:10.0.0.1:1"));
  EXPECT_EQ(EndOf(*mute[0]),
            "RESOURCE_EXHAUSTED: 8 streams of ipv4:10.0.0.1:1 have not said hello yet, which is "
            "the limit, and this one had the longest time to: dial again");
  EXPECT_NE(EndOf(*mute[991]), "open");
  EXPECT_EQ(EndOf(*mute[992]), "open");
  EXPECT_EQ(exchange.hub.silent_count(), 9U);
  EXPECT_TRUE(honest->Say(HelloFrame("s"))) << "it gives way to none of another connection";
  EXPECT_EQ(exchange.hub.silent_count(), 8U);
}

TEST(Silent, OfAUnixSocketManyMayComeTogetherAndTheOldestGivesWay) {
  Exchange exchange;
  std::vector<std::shared_ptr<FakeStream>> mute;
  for (int i = 0; i < 64; ++i) mute.push_back(exchange.Dial("unix:"));
  EXPECT_EQ(EndOf(*mute[0]), "open");
  const auto honest = exchange.Dial("unix:");
  EXPECT_NE(EndOf(*mute[0]), "open");
  EXPECT_EQ(EndOf(*mute[1]), "open");
  EXPECT_TRUE(honest->Say(HelloFrame("s")));
  EXPECT_EQ(EndOf(*honest), "open");
  EXPECT_EQ(exchange.hub.silent_count(), 63U);
}

// Who speaks is not silent, and gives way to nobody while it is asked in.
TEST(Silent, WhoHasSaidHelloStays) {
  SessionHubOptions options;
  options.max_silent_count = 1;
  Exchange exchange(options);
  const auto honest = exchange.Join("s");
  for (int i = 0; i < 10; ++i) exchange.Dial();
  EXPECT_EQ(EndOf(*honest), "open");
  EXPECT_EQ(exchange.hub.silent_count(), 1U);
}

TEST(Silent, AFirstFrameIsSmall) {
  Exchange exchange;
  const auto stream = exchange.Dial();
  v1::ParticipantFrame hello = HelloFrame("s");
  hello.add_replies()->set_result(std::string(300'000, 'x'));
  const std::string size = std::to_string(hello.ByteSizeLong());
  stream->Say(hello);
  EXPECT_EQ(EndOf(*stream),
            "INVALID_ARGUMENT: the first frame has " + size + " bytes, the limit is 262144");
}

// ---- Neighbours

// One session that stopped reading, with tens of thousands of commands due, once stalled everybody
// for minutes.
TEST(Session, OneThatStopsReadingCostsOthersNothing) {
  Exchange exchange;
  const auto stuck = exchange.Join("stuck", 65'536);
  const auto well = exchange.Join("well");
  well->Commands();
  constexpr int kDue = 40'000;
  for (int i = 0; i < kDue; ++i) exchange.Send(TryCommand("g" + std::to_string(i), "stuck"));
  exchange.engine.Replies();
  const std::uint64_t before = exchange.board.counters().steps;
  exchange.clock.millis += 1000;
  exchange.Send(TryCommand("probe", "well"));
  const auto commands = well->Commands();
  ASSERT_EQ(commands.size(), 1U);
  EXPECT_LT(exchange.board.counters().steps - before, 500U) << "what a neighbour's send may cost";
  exchange.board.Tick();
  EXPECT_EQ(exchange.engine.Replies().size(), static_cast<std::size_t>(kDue))
      << "all of it was waiting: nothing had been read since the welcome";
  EXPECT_LT(exchange.board.counters().steps - before, 5U * kDue);
  stuck->sink->OnClosed();
}

TEST(Session, WhoAsksAndDoesNotReadIsAskedToWait) {
  SessionHubOptions options;
  options.max_open_questions_count = 300;
  options.max_all_open_questions_count = 400;
  Exchange exchange(options);
  exchange.engine.hold_answers = true;
  v1::ParticipantFrame questions;
  for (int i = 0; i < 200; ++i) questions.add_queries()->set_gid("g");
  const auto one = exchange.Join("a");
  const auto two = exchange.Join("b");
  const auto three = exchange.Join("c");
  EXPECT_TRUE(one->Say(questions));
  EXPECT_TRUE(one->Say(questions));
  EXPECT_FALSE(one->reading()) << "400 of its own";
  EXPECT_TRUE(three->reading());
  EXPECT_TRUE(two->Say(questions));
  EXPECT_FALSE(two->reading()) << "all together are too many, and it has some";
  EXPECT_TRUE(three->Say({})) << "whoever has none open may speak";
  EXPECT_TRUE(three->reading());
  one->sink->OnClosed();
  EXPECT_TRUE(three->Say(questions));
  EXPECT_FALSE(three->reading());
}

// ---- Dialled

struct Dialled : Exchange {
  FakeCaller caller;
  UnaryDialer dialer{caller, board, {10}};
  Dialled() {
    dialer.Set("s", {Endpoint("a:1"), Endpoint("b:1")});
    dialer.Open(7);
  }
};

// A reply about another branch was taken for this one's in none of our tests.
TEST(Dialer, AReplyAboutSomethingElseIsNone) {
  Dialled rig;
  rig.caller.Link(0, true);
  const std::vector<std::function<void(v1::BranchReply&)>> lies = {
      [](auto& r) { r.set_gid("other"); }, [](auto& r) { r.set_branch_id("2"); },
      [](auto& r) { r.set_operation(v1::CANCEL); }};
  for (const auto& lie : lies) {
    rig.Send(TryCommand("g"));
    const auto calls = rig.caller.Calls();
    ASSERT_EQ(calls.size(), 1U);
    rig.caller.Answer(calls[0], lie);
    const auto replies = rig.engine.Replies();
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].result, core::AttemptResult::kUnknown);
    EXPECT_EQ(replies[0].reason, "answered about another gid, branch or operation");
  }
  rig.Send(TryCommand("g"));
  rig.caller.Answer(rig.caller.Calls().at(0));
  EXPECT_EQ(rig.engine.Replies().at(0).result, core::AttemptResult::kDone);
}

TEST(Dialer, WhatCouldNotBeHandedOnGoesToTheOther) {
  Dialled rig;
  rig.caller.Link(0, true);
  rig.caller.Link(1, true);
  rig.caller.Unlink(0);
  rig.Send(TryCommand("a"));
  rig.Send(TryCommand("b"));
  const auto calls = rig.caller.Calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].target, rig.caller.Nth(1));
  EXPECT_EQ(calls[1].target, rig.caller.Nth(1));
  rig.caller.Link(1, false);
  rig.caller.Link(0, false);
  rig.Send(TryCommand("c"));
  const auto back = rig.engine.Replies();
  ASSERT_EQ(back.size(), 1U);
  EXPECT_TRUE(back[0].service_absent);
  EXPECT_EQ(back[0].reason, "cannot connect: refused");
  EXPECT_EQ(rig.witness.Lines().back(), "s unreachable: cannot connect: refused");
}

// One that never was there had "left", and one that had left did so twice.
TEST(Dialer, OnlyWhoWasThereHasLeft) {
  Dialled rig;
  rig.caller.Link(0, false);
  rig.caller.Link(1, true);
  rig.caller.sink->OnConnecting(rig.caller.Nth(1));
  rig.caller.Link(1, false);
  EXPECT_EQ(rig.witness.Lines(),
            (std::vector<std::string>{"s unreachable: cannot connect: refused", "s came from b:1",
                                      "s left: the connection was lost",
                                      "s unreachable: cannot connect: refused"}));
}

TEST(Dialer, ABadReasonCostsNothing) {
  Dialled rig;
  rig.caller.Link(0, true);
  rig.Send(TryCommand("g"));
  const auto call = rig.caller.Calls().at(0);
  v1::BranchReply reply;
  reply.set_gid("g");
  reply.set_branch_id("1");
  reply.set_operation(v1::TRY);
  reply.set_kind(v1::BranchReply::REFUSED);
  reply.set_reason("caf?");
  CallEnd end;
  end.target = call.target;
  end.call = call.call;
  end.malformed = reply.SerializeAsString();
  end.malformed.back() = '\xe9';
  rig.caller.End(std::move(end));
  const Reply told = rig.engine.Replies().at(0);
  EXPECT_EQ(told.result, core::AttemptResult::kRefused);
  EXPECT_EQ(told.reason, "the reason is not UTF-8: caf?");
}

}  // namespace
}  // namespace assent::transport
