// events: what is kept, and what happens; on through outages, restarts and members that come and
// go.

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fakes.h"
#include "tests/ctl/golden.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/event_view.h"
#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kHere[] = "127.0.0.1:7400";

v1::Event Event(const std::string& sequence, v1::EventKind kind, const std::string& gid,
                std::int64_t at_unix_ms = 1'799'999'999'000) {
  v1::Event event;
  event.set_sequence(sequence);
  event.set_kind(kind);
  event.set_gid(gid);
  event.set_at_unix_ms(at_unix_ms);
  event.set_sentence(Lower(v1::EventKind_Name(kind)));
  return event;
}

v1::EventsReply Reply(const std::string& position, std::initializer_list<v1::Event> events = {}) {
  v1::EventsReply reply;
  reply.set_position(position);
  for (const v1::Event& event : events) *reply.add_events() = event;
  return reply;
}

class EventsTest : public CommandTest {
 protected:
  EventsTest() {
    session.options.output = Output::kId;
    service.on_quiet = [this](milliseconds time) { console.uptime += time; };
    session.options.wait_timeout = seconds(60);  // ends what follows, in the fake's time
  }
  void Hear(const std::string& endpoint, const v1::EventsReply& reply) {
    service.events.heard.push_back(EventStreams::Heard{endpoint, reply, {}});
  }
  void HearEnd(const std::string& endpoint, const Status& status) {
    service.events.heard.push_back(EventStreams::Heard{endpoint, std::nullopt, status});
  }
  void HearNothing() { service.events.heard.push_back(std::nullopt); }
  static EventsCommand Follow(const std::string& after = "") {
    EventsCommand command;
    command.follow = true;
    command.request.set_after(after);
    return command;
  }
  static v1::ClusterView View(
      std::initializer_list<std::pair<const char*, std::uint64_t>> members) {
    v1::ClusterView view;
    for (const auto& [address, epoch] : members) {
      v1::ClusterMember& member = *view.add_members();
      member.set_address(address);
      member.set_epoch(epoch);
    }
    return view;
  }
  // What was asked of it, in the order of asking: "a after 7.1", "b from-start".
  std::string Opened() const {
    std::string text;
    for (const auto& [endpoint, request] : service.events.opened) {
      text += (text.empty() ? "" : "; ") + endpoint;
      if (!request.after().empty()) text += " after " + request.after();
      if (request.from_start()) text += " from-start";
      if (request.once()) text += " once";
    }
    return text;
  }
};

TEST_F(EventsTest, WhatIsKeptIsShownAndThatIsAll) {
  session.options.output = Output::kTable;
  service.cluster.push_back(v1::ClusterView());
  Hear(kHere, Reply("7.2", {Event("7.1", v1::BEGAN, "a"), Event("7.2", v1::SERVICE_AWAY, "")}));
  Hear(kHere, Reply("7.3", {Event("7.3", v1::ENDED, "a")}));
  HearEnd(kHere, {});
  EventsCommand command;
  command.request.set_service("payment");
  EXPECT_EQ(Exit::kDone, RunEvents(command, session));
  EXPECT_EQ(
      "SEQUENCE  TIME     KIND          GID  WHAT\n"
      "7.1       1 s ago  began         a    began\n"
      "7.2       1 s ago  service-away       service_away\n"
      "7.3       1 s ago  ended         a    ended\n",
      console.out);
  EXPECT_EQ("what happens from here on: --after 7.3\n", console.err);
  EXPECT_EQ("127.0.0.1:7400 from-start once", Opened());
  EXPECT_EQ("payment", service.events.opened[0].second.service());
}

TEST_F(EventsTest, NothingKeptIsSaid) {
  session.options.output = Output::kTable;
  service.cluster.push_back(v1::ClusterView());
  Hear(kHere, Reply("7.0"));
  HearEnd(kHere, {});
  EXPECT_EQ(Exit::kDone, RunEvents({}, session));
  EXPECT_EQ("", console.out);
  EXPECT_EQ("nothing is kept that matches\nwhat happens from here on: --after 7.0\n", console.err);
}

TEST_F(EventsTest, FollowsFromNowOnUntilItsTimeIsOver) {
  session.options.output = Output::kTable;
  service.cluster.push_back(v1::ClusterView());
  Hear(kHere, Reply("7.5"));
  Hear(kHere, Reply("7.6", {Event("7.6", v1::BEGAN, "a")}));
  EXPECT_EQ(Exit::kDone, RunEvents(Follow(), session));
  EXPECT_EQ("7.6  2027-01-15T07:59:59.000Z  began         a  began\n", console.out);
  EXPECT_EQ("", console.err);
  EXPECT_EQ(kHere, Opened());
}

TEST_F(EventsTest, ALostConnectionGoesOnBehindTheLastOne) {
  service.cluster.push_back(v1::ClusterView());
  Hear(kHere, Reply("7.5"));
  Hear(kHere, Reply("7.6", {Event("7.6", v1::BEGAN, "a")}));
  HearEnd(kHere, Unavailable("127.0.0.1:7400 went away: reset"));
  HearNothing();
  HearEnd(kHere, Unavailable("127.0.0.1:7400 went away: refused"));
  HearNothing();
  Hear(kHere, Reply("7.7", {Event("7.7", v1::ENDED, "a")}));
  EXPECT_EQ(Exit::kDone, RunEvents(Follow(), session));
  EXPECT_EQ("a\na\n", console.out);
  EXPECT_EQ(
      "assentctl: 127.0.0.1:7400 went away: reset; trying again\n"
      "assentctl: connected to 127.0.0.1:7400 again\n",
      console.err);
  EXPECT_EQ("127.0.0.1:7400; 127.0.0.1:7400 after 7.6; 127.0.0.1:7400 after 7.6", Opened());
}

TEST_F(EventsTest, WhatARestartHasLostIsSaid) {
  service.cluster.push_back(v1::ClusterView());
  v1::EventsReply reply = Reply("8.2", {Event("8.2", v1::BEGAN, "b")});
  reply.mutable_missed()->set_after("7.6");
  reply.mutable_missed()->set_other_start(true);
  Hear(kHere, reply);
  HearEnd(kHere, Unavailable("gone"));
  HearNothing();
  v1::EventsReply slow = Reply("8.900");
  slow.mutable_missed()->set_after("8.2");
  slow.mutable_missed()->set_through("8.800");
  Hear(kHere, slow);
  EXPECT_EQ(Exit::kDone, RunEvents(Follow("7.6"), session));
  EXPECT_EQ(
      "assentctl: 127.0.0.1:7400 was started again: what happened after 7.6 and was not told is "
      "missed (its transactions are not: assentctl list)\n"
      "assentctl: gone; trying again\n"
      "assentctl: connected to 127.0.0.1:7400 again\n"
      "assentctl: 127.0.0.1:7400 has not kept all of what happened after 8.2; missed up to 8.800\n",
      console.err);
  EXPECT_EQ("127.0.0.1:7400 after 7.6; 127.0.0.1:7400 after 8.2", Opened())
      << "of the start that is over it says no more";
}

TEST_F(EventsTest, AnOutageThatLastsEndsIt) {
  session.options.wait_timeout = seconds(600);
  service.cluster.push_back(v1::ClusterView());
  Hear(kHere, Reply("7.5"));
  for (int i = 0; i < 31; ++i) {
    HearEnd(kHere, Unavailable("127.0.0.1:7400 went away: refused"));
    for (int j = 0; j < 5; ++j) HearNothing();
  }
  EXPECT_EQ(Exit::kCannotConnect, RunEvents(Follow(), session));
  service.events.heard.clear();
  EXPECT_GE(console.uptime, seconds(30));
}

TEST_F(EventsTest, WhoWasNeverThereIsNotWaitedFor) {
  service.cluster.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kCannotConnect, RunEvents(Follow(), session));
  service.cluster.push_back(v1::ClusterView());
  HearEnd(kHere, InvalidArgument("after has 7.9: the latest event is 7.2"));
  EXPECT_EQ(Exit::kUsage, RunEvents(Follow("7.9"), session));
  service.cluster.push_back(v1::ClusterView());
  HearEnd(kHere, Status(Code::kUnimplemented, "unknown method Events"));
  EXPECT_EQ(Exit::kOther, RunEvents({}, session));
}

TEST_F(EventsTest, OfAClusterEachLineSaysWhereAllStand) {
  session.options.output = Output::kJsonl;
  service.cluster.push_back(View({{"a:1", 7}, {"b:1", 9}}));
  Hear("a:1", Reply("7.5"));
  Hear("b:1", Reply("9.44", {Event("9.44", v1::BEGAN, "x")}));
  Hear("a:1", Reply("7.6", {Event("7.6", v1::BEGAN, "y")}));
  session.options.wait_timeout = milliseconds(1'000);
  EXPECT_EQ(Exit::kDone, RunEvents(Follow("7.4,9.43"), session));
  EXPECT_EQ("a:1 after 7.4; b:1 after 9.43", Opened());
  EXPECT_NE(std::string::npos, console.out.find(R"("sequence":"9.44,7.5")")) << console.out;
  EXPECT_NE(std::string::npos, console.out.find(R"("sequence":"7.6,9.44")")) << console.out;
}

TEST_F(EventsTest, AMemberThatComesIsFollowedFromItsBeginningAndOneThatHasEndedIsSaid) {
  service.cluster.push_back(View({{"a:1", 7}, {"b:1", 9}}));
  Hear("a:1", Reply("7.5"));
  Hear("b:1", Reply("9.40"));
  HearEnd("b:1", Unavailable("b:1 went away: reset"));
  HearNothing();
  for (int i = 0; i < 12; ++i) HearNothing();
  service.cluster.push_back(View({{"a:1", 7}, {"c:1", 11}}));
  session.options.wait_timeout = milliseconds(3'500);
  EXPECT_EQ(Exit::kDone, RunEvents(Follow(), session));
  EXPECT_EQ("a:1; b:1", Opened().substr(0, 8));
  EXPECT_EQ("c:1 from-start", Opened().substr(Opened().rfind("; ") + 2));
  EXPECT_EQ(
      "assentctl: b:1 went away: reset; trying again\n"
      "assentctl: a coordinator has ended: what happened there after 9.40 and was not told is "
      "missed (its transactions are not: assentctl list)\n",
      console.err);
  service.events.heard.clear();
}

TEST_F(EventsTest, WhatAClusterKeepsIsInTheOrderOfItsClocks) {
  session.options.output = Output::kJson;
  service.cluster.push_back(View({{"a:1", 7}, {"b:1", 9}, {"c:1", 11}}));
  Hear("a:1", Reply("7.6", {Event("7.5", v1::BEGAN, "late", 3'000),
                            Event("7.6", v1::ENDED, "late", 4'000)}));
  HearEnd("a:1", {});
  Hear("b:1", Reply("9.44", {Event("9.44", v1::BEGAN, "early", 2'000)}));
  HearEnd("b:1", {});
  HearEnd("c:1", Unavailable("c:1 went away: refused"));
  EXPECT_EQ(Exit::kDone, RunEvents({}, session));
  const auto json = nlohmann::json::parse(console.out);
  ASSERT_EQ(json["events"].size(), 3U);
  EXPECT_EQ(json["events"][0]["sequence"], "9.44,7.4");
  EXPECT_EQ(json["events"][1]["sequence"], "7.5,9.44");
  EXPECT_EQ(json["events"][2]["sequence"], "7.6,9.44");
  EXPECT_EQ(json["position"], "7.6,9.44");
  EXPECT_EQ("assentctl: c:1 went away: refused: what happened there is not shown\n", console.err);
}

TEST(Positions, AreReadAndWritten) {
  EXPECT_EQ(WritePositions({{7, 1}, {9, 2}}), "7.1,9.2");
  EXPECT_EQ(WritePositions({{7, 1}, {9, 2}}, 9), "9.2,7.1");
  EXPECT_EQ(WritePositions({}), "");
  EXPECT_EQ(*ReadPositions("9.2,7.1"), (Positions{{7, 1}, {9, 2}}));
  for (const char* wrong : {"", "7", "7.", "7.x", "7.1,", "7.1;9.2", " 7.1"})
    EXPECT_EQ(ReadPositions(wrong).status().code(), Code::kInvalidArgument) << wrong;
}

TEST(EventsGolden, EveryForm) {
  const auto reply = ReadMessage<v1::EventsReply>("events.textproto");
  const std::vector<v1::Event> events(reply.events().begin(), reply.events().end());
  const std::pair<const char*, Output> forms[] = {
      {"table", Output::kTable}, {"wide", Output::kWide}, {"json", Output::kJson},
      {"jsonl", Output::kJsonl}, {"yaml", Output::kYaml}, {"id", Output::kId}};
  for (const auto& [suffix, output] : forms) {
    SCOPED_TRACE(suffix);
    Style style;
    style.output = output;
    style.now_unix_ms = 1'800'000'000'000;
    ExpectGolden(std::string("events.") + suffix, RenderEvents(events, reply.position(), style));
    std::string lines;
    for (const v1::Event& event : events) lines += RenderEvent(event, style);
    ExpectGolden(std::string("events.follow_") + suffix, lines);
  }
}

}  // namespace
}  // namespace assent::ctl
