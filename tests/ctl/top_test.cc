// top: an overview that is drawn again and again, and leaves the terminal as it was.

#include <algorithm>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/ctl/fakes.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/top_view.h"

namespace assent::ctl {
namespace {

class TopTest : public CommandTest {
 protected:
  // One look: so many were begun until then.
  void Look(std::uint64_t begun, std::uint64_t waiting = 1001) {
    v1::ServerInfo info;
    info.set_version("0.1.0");
    info.set_started_unix_ms(1'799'996'400'000);
    info.set_begun(begun);
    info.set_committed(begun / 2);
    info.set_active(waiting);
    info.set_needs_operator(12);
    service.info.push_back(info);
    v1::ListCausesReply causes;
    if (waiting > 0) {
      v1::Cause& cause = *causes.add_causes();
      cause.set_key("c0123456789");
      cause.set_sentence("payment: not connected");
      cause.set_count(waiting);
      cause.set_oldest_unix_ms(1'799'999'700'000);
      causes.set_total(waiting);
    }
    service.causes.push_back(causes);
    v1::ListParticipantsReply participants;
    participants.add_participants()->set_service("books");
    participants.mutable_participants(0)->add_instances()->set_connected_unix_ms(1);
    participants.add_participants()->set_service("payment");
    participants.mutable_participants(1)->set_waiting(waiting);
    service.participants.push_back(participants);
  }
  void Terminal() {
    session.surroundings.in_is_terminal = true;
    session.surroundings.out_is_terminal = true;
  }
};

TEST_F(TopTest, OnceSaysWhatHappensInASecond) {
  Look(1000);
  Look(1512);
  EXPECT_EQ(Exit::kDone, RunTop({.once = true}, session));
  EXPECT_EQ(
      "assentd 0.1.0 at 127.0.0.1:7400, up 1 h\n"
      "begun 512/s         committed 256/s         aborted 0/s\n"
      "active 1,001        committing 0            aborting 0   oldest 5 min 1 s\n"
      "12 need a human\n"
      "\n"
      "COUNT  OLDEST     KEY          WHY\n"
      "1,001  5 min 1 s  c0123456789  payment: not connected\n"
      "\n"
      "SERVICE  INSTANCES  IN FLIGHT  QUEUED  WAITING\n"
      "payment  none       0          0       1001\n"
      "books    1          0          0       0\n",
      console.out);
  console.out.clear();
  session.options.output = Output::kJson;
  Look(1000);
  Look(1512);
  EXPECT_EQ(Exit::kDone, RunTop({.once = true}, session));
  const auto json = nlohmann::json::parse(console.out);
  EXPECT_EQ(json["begun_per_second"], 512.0);
  EXPECT_EQ(json["causes"]["causes"][0]["count"], 1001);
}

TEST_F(TopTest, AKeyLeavesAndTheTerminalIsAsItWas) {
  Terminal();
  for (const char key : {'q', '\x03', '\x1b'}) {
    console.out.clear();
    console.keys = {std::nullopt, 'x', key};
    for (int i = 0; i < 4; ++i) Look(1000);
    EXPECT_EQ(Exit::kDone, RunTop({}, session));
    EXPECT_EQ(0U, console.out.find("(page)"));
    EXPECT_EQ(console.out.size() - 6, console.out.find("(left)"));
    EXPECT_NE(std::string::npos, console.out.find("every 2 s; q leaves"));
  }
}

TEST_F(TopTest, WhoIsAwayIsWaitedForOnceItWasThere) {
  Terminal();
  console.keys = {std::nullopt, std::nullopt, 'q'};
  Look(1000);
  Look(1000);
  service.info.push_back(Unavailable("went away"));
  Look(10, 0);
  EXPECT_EQ(Exit::kDone, RunTop({}, session));
  EXPECT_NE(std::string::npos, console.out.find("assentctl: went away\n"));
  EXPECT_NE(std::string::npos, console.out.find("nothing unfinished")) << "it counts from nothing";
  service.info.push_back(Unavailable("cannot connect"));
  EXPECT_EQ(Exit::kCannotConnect, RunTop({}, session));
}

TEST_F(TopTest, WithoutATerminalOnlyOnce) {
  EXPECT_EQ(Exit::kUsage, RunTop({}, session));
  EXPECT_NE(std::string::npos, console.err.find("--once"));
}

TEST_F(TopTest, ASmallTerminalHasRoomForAFewOfEach) {
  Sighting seen;
  for (int i = 0; i < 50; ++i) {
    v1::Cause& cause = *seen.causes.add_causes();
    cause.set_sentence("cause " + std::to_string(i));
    cause.set_count(1);
    seen.participants.add_participants()->set_service("s" + std::to_string(i));
  }
  seen.participants.mutable_participants(49)->set_queued(1);
  const std::string page = RenderTop(seen, seen, "x", Style(), 24);
  EXPECT_LE(std::count(page.begin(), page.end(), '\n'), 22);
  EXPECT_NE(std::string::npos, page.find("cause 4\n"));
  EXPECT_EQ(std::string::npos, page.find("cause 5\n"));
  EXPECT_NE(std::string::npos, page.find("... and 45 rows\n"));
  EXPECT_NE(std::string::npos, page.find("s49")) << "what waits comes first";
}

}  // namespace
}  // namespace assent::ctl
