// Any coordinator's HTTP port takes any call: what is another's is handed on by the wire.

#include "tests/grpc/members.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/grpc/way.h"
#include "coordinator/http/desk.h"
#include "coordinator/http/json.h"
#include "tests/http/line.h"

namespace assent::test {
namespace {

using http::Answer;
using http::Json;

class HttpMembersTest : public Members {
 protected:
  struct Port {
    std::unique_ptr<service::Way> way;
    std::unique_ptr<http::Desk> desk;
    std::vector<std::shared_ptr<http::Pending>> pending;
  };

  ~HttpMembersTest() override {
    for (auto& port : ports_) {
      for (const auto& pending : port.pending) pending->Close();
    }
    for (auto& member : members_) member->Stop();
  }

  void Open(std::size_t count) {
    Start(count);
    for (auto& member : members_) {
      Port& port = ports_.emplace_back();
      port.way = door::MakeWay(*member->service, member->peers.get());
      port.desk = std::make_unique<http::Desk>(http::DeskOptions{
          .health = {.look = [] { return std::vector<http::Check>(); }}, .version = "1"});
      port.desk->Open({.service = *member->service, .way = port.way.get()});
    }
  }
  std::shared_ptr<http::Phone> Begin(std::size_t at, const std::string& method,
                                     const std::string& target, const std::string& body = {}) {
    auto phone = std::make_shared<http::Phone>();
    auto pending = ports_[at].desk->Take({.method = method,
                                          .target = target,
                                          .content_type = "application/json",
                                          .host = "localhost",
                                          .body = body},
                                         phone);
    if (pending) ports_[at].pending.push_back(std::move(pending));
    return phone;
  }
  std::pair<unsigned, Json> Ask(std::size_t at, const std::string& method,
                                const std::string& target, const std::string& body = {}) {
    const Answer answer = Begin(at, method, target, body)->answers.Take();
    return {answer.code, Json::parse(answer.body)};
  }
  static std::string Spec(const std::string& gid) {
    return R"({"gid": ")" + gid +
           R"(", "branches": [{"branchId": "b1", "protocol": "TCC", "service": "s", "action": "a"}]})";
  }

  std::vector<Port> ports_;
};

TEST_F(HttpMembersTest, ACallIsAnsweredByWhoeverHasTheTransaction) {
  Open(3);
  for (Slot slot = 0; slot < 3; ++slot) {
    const auto [code, reply] =
        Ask(0, "POST", "/v1/transactions?wait_for=WAIT_COMPLETED", Spec(GidIn(slot)));
    EXPECT_EQ(code, 200U) << reply;
    EXPECT_EQ(reply["outcome"], "COMMITTED");
  }
  for (std::size_t at = 0; at < 3; ++at) {
    EXPECT_EQ(members_[at]->engine->Stats().begun, 1U) << at;
    for (Slot slot = 0; slot < 3; ++slot)
      EXPECT_EQ(Ask(at, "GET", "/v1/transactions/" + GidIn(slot)).second["gid"], GidIn(slot));
  }
  // Without a gid it is drawn here, whoever asks.
  const auto [code, reply] = Ask(1, "POST", "/v1/transactions", Spec(""));
  EXPECT_EQ(code, 200U);
  EXPECT_EQ(SlotOf(reply["gid"].get<std::string>(), kSlotsCount) % 3, 1);
}

TEST_F(HttpMembersTest, EveryOperationTravelsAndFailuresComeBackAsTheyAre) {
  Open(2);
  const std::string gid = GidIn(1);
  const std::string path = "/v1/transactions/" + gid;
  const std::string ann = R"({"action": {"who": "ann", "reason": "r"}})";
  EXPECT_EQ(Ask(0, "POST", "/v1/transactions:begin", R"({"gid": ")" + gid + "\"}").first, 200U);
  const auto branch = Ask(0, "POST", path + "/branches",
                          R"({"branchId": "b", "protocol": "TCC", "service": "s", "action": "a"})");
  EXPECT_EQ(branch.second["state"], "EXECUTED");
  EXPECT_EQ(Ask(0, "POST", path + ":suspend", ann).first, 200U);
  EXPECT_EQ(Ask(0, "POST", path + ":resume", ann).first, 200U);
  EXPECT_EQ(Ask(0, "POST", path + ":commit", R"({"waitFor": "WAIT_COMPLETED"})").first, 200U);
  EXPECT_EQ(Ask(0, "POST", path + ":wait").first, 200U);
  const auto [code, status] = Ask(0, "POST", path + ":rollback");
  EXPECT_EQ(code, 400U);
  EXPECT_EQ(status["code"], 9);
  EXPECT_EQ(Ask(0, "GET", "/v1/transactions/" + GidIn(1, 7)).first, 404U);
  EXPECT_EQ(Ask(1, "GET", path).second["interventions"].size(), 2U) << "each deed once";
  EXPECT_EQ(members_[0]->engine->Stats().begun, 0U);
}

TEST_F(HttpMembersTest, AnothersTransactionIsWatchedUntilItsEnd) {
  Open(2);
  const std::string gid = GidIn(1);
  members_[1]->participants.HoldBack(true);
  EXPECT_EQ(Ask(0, "POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", Spec(gid)).first, 200U);
  const auto watch = Begin(0, "GET", "/v1/transactions/" + gid + ":watch");
  const auto pending = ports_[0].pending.back();
  std::string event = watch->events.Take();
  EXPECT_NE(event.find("\"state\":\"ACTIVE\""), std::string::npos) << event;
  members_[1]->participants.HoldBack(false);
  while (event.find("\"state\":\"FINISHED\"") == std::string::npos) {
    pending->Taken();
    event = watch->events.Take();
  }
  pending->Taken();
  EXPECT_EQ(watch->events.Take().find("event: end\n"), 0U);
  EXPECT_EQ(Ask(0, "GET", "/v1/transactions/" + GidIn(1, 7) + ":watch").first, 404U);
}

TEST_F(HttpMembersTest, WhoLeavesAWatchEndsItThere) {
  Open(2);
  const std::string gid = GidIn(1);
  members_[1]->participants.HoldBack(true);
  EXPECT_EQ(Ask(0, "POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", Spec(gid)).first, 200U);
  // More than a transaction may have at once.
  for (int i = 0; i < 200;) {
    const auto watch = Begin(0, "GET", "/v1/transactions/" + gid + ":watch");
    ASSERT_TRUE(Eventually([&] { return watch->events.size() + watch->answers.size() > 0; }));
    // It may be told that there are too many as long as the other one has not heard of the end.
    if (watch->events.size() > 0) ++i;
    ports_[0].pending.back()->Close();
    ports_[0].pending.pop_back();
  }
  members_[1]->participants.HoldBack(false);
}

TEST_F(HttpMembersTest, WhoWaitsWhileTheTransactionMovesIsAnswered) {
  Open(2);
  ASSERT_TRUE(Standing(2));
  for (const std::size_t at : {0U, 1U}) {
    const Slot slot = at == 0 ? 0 : 2;  // the first member's, asked of itself and of the other
    const std::string gid = GidIn(slot);
    members_[0]->participants.HoldBack(true);
    const auto waiting = Begin(at, "POST", "/v1/transactions?wait_for=WAIT_COMPLETED", Spec(gid));
    ASSERT_TRUE(
        Eventually([&] { return Ask(1 - at, "GET", "/v1/transactions/" + gid).first == 200; }));
    Move(slot, 1);
    Show();
    const Answer answer = waiting->answers.Take();
    EXPECT_EQ(answer.code, 200U) << answer.body;
    EXPECT_EQ(Json::parse(answer.body)["outcome"], "COMMITTED");
    EXPECT_EQ(Ask(0, "GET", "/v1/transactions/" + gid).first, 200U);
  }
}

TEST_F(HttpMembersTest, ATimeThatIsOverAndAnOwnerThatHasGone) {
  Open(2);
  ASSERT_TRUE(Standing(2));
  members_[1]->participants.HoldBack(true);
  const auto waiting = Begin(0, "POST", "/v1/transactions?timeout_ms=3600000", Spec(GidIn(1)));
  ASSERT_TRUE(Eventually([&] { return members_[1]->engine->Stats().begun == 1; }));
  const auto pending = ports_[0].pending.back();
  pending->TimedOut();
  EXPECT_EQ(waiting->answers.Take().code, 504U);
  members_[1]->participants.HoldBack(false);
  members_[1]->Stop();
  // An operator's deed is not asked for twice.
  const auto [code, status] = Ask(0, "POST", "/v1/transactions/" + GidIn(1) + ":suspend",
                                  R"({"action": {"who": "ann", "reason": "r"}})");
  EXPECT_EQ(code, 503U) << status;
}

}  // namespace
}  // namespace assent::test
