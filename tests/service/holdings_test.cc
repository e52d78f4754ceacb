// What callers make the coordinator hold, by number and by bytes.
#include "coordinator/service/holdings.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace assent::service {
namespace {

using Places = std::vector<std::unique_ptr<Holdings::Place>>;
constexpr std::size_t kMib = 1024 * 1024;

// On the connection "1.2.3.4:port"; without a port, one whose clients cannot be told apart.
Caller From(const std::string& peer) {
  return {.connection = peer, .address = peer.substr(0, peer.rfind(':'))};
}

// Enters as often as it may; the message of the first refusal.
std::string Fill(Holdings& holdings, Held what, const std::string& peer, Places& places) {
  for (;;) {
    auto place = holdings.Enter(what, From(peer));
    if (!place.ok()) return place.status().ToString();
    places.push_back(std::move(place).value());
  }
}

TEST(HoldingsTest, NumbersAreLimitedByConnectionByAddressAndInAll) {
  HoldingLimits limits;
  limits.streams = {.in_all = 10, .per_address = 6, .per_connection = 4};
  Holdings holdings(limits);
  Places places;
  EXPECT_EQ(Fill(holdings, Held::kStream, "10.0.0.1:1", places),
            "RESOURCE_EXHAUSTED: 4 streams are open on this connection, the limit: nothing was "
            "begun; wait for some to end, and try again");
  EXPECT_NE(Fill(holdings, Held::kStream, "10.0.0.1:2", places)
                .find("6 streams are open from this address"),
            std::string::npos);
  EXPECT_EQ(places.size(), 6U);
  EXPECT_NE(Fill(holdings, Held::kStream, "[::1]:1", places).find("on this connection"),
            std::string::npos);
  EXPECT_NE(Fill(holdings, Held::kStream, "unix", places).find("10 streams are open in all"),
            std::string::npos);
  EXPECT_TRUE(holdings.Enter(Held::kCall, From("unix")).ok());
  places.clear();
  // The clients of a Unix socket cannot be told apart: they have what an address has.
  EXPECT_NE(Fill(holdings, Held::kStream, "unix", places).find("6 streams"), std::string::npos);
}

TEST(HoldingsTest, WatchesOfOneTransactionAndSubmitsOfAllStreams) {
  HoldingLimits limits;
  limits.max_watches_per_transaction_count = 1;
  limits.max_streamed_submits_count = 1;
  Holdings holdings(limits);
  EXPECT_TRUE(holdings.EnterWatch("a").ok());
  EXPECT_EQ(holdings.EnterWatch("a").message().rfind("1 watches are open on this transaction", 0),
            0U);
  EXPECT_TRUE(holdings.EnterWatch("b").ok());
  holdings.LeaveWatch("a");
  EXPECT_TRUE(holdings.EnterWatch("a").ok());
  EXPECT_TRUE(holdings.EnterSubmit({}).ok());
  EXPECT_FALSE(holdings.EnterSubmit({}).ok());
  holdings.LeaveSubmit();
  EXPECT_TRUE(holdings.EnterSubmit({}).ok());
}

// The end of a call comes after its answer, and under load long after: who asked for one page after
// the other was told that he asked for too many at once.
TEST(HoldingsTest, APageThatIsGatheredIsACall) {
  HoldingLimits limits;
  limits.pages.per_connection = 2;
  Holdings holdings(limits);
  Places places;
  Fill(holdings, Held::kPage, "10.0.0.1:1", places);
  ASSERT_EQ(places.size(), 2U);
  for (const std::size_t bytes : {std::size_t{1}, kMib})
    EXPECT_TRUE(places[bytes / kMib]->HoldAnswer(bytes, [] {}).ok());
  EXPECT_EQ(holdings.Count(Held::kPage), 0U);
  EXPECT_EQ(holdings.Count(Held::kCall), 2U);
  EXPECT_NE(Fill(holdings, Held::kPage, "10.0.0.1:1", places).find("2 lists are under way"),
            std::string::npos);
  EXPECT_EQ(places.size(), 4U);
  places.clear();
  EXPECT_EQ(holdings.Count(Held::kPage) + holdings.Count(Held::kCall), 0U);
}

class UnreadTest : public testing::Test {
 protected:
  static HoldingLimits Limits(std::chrono::milliseconds patience) {
    HoldingLimits limits;
    limits.unread_bytes = {
        .in_all = 10 * kMib, .per_address = 8 * kMib, .per_connection = 4 * kMib};
    limits.unread_patience = patience;
    return limits;
  }
  Holdings::Place& Enter(Holdings& holdings, const std::string& peer) {
    places_.push_back(std::move(holdings.Enter(Held::kCall, From(peer))).value());
    return *places_.back();
  }
  Status Hold(Holdings::Place& place, std::size_t bytes) {
    return place.HoldAnswer(bytes, [this, &place] { given_up_.push_back(&place); });
  }

  Places places_;
  std::vector<Holdings::Place*> given_up_;
};

TEST_F(UnreadTest, BytesAreLimitedAndSmallAnswersAreFree) {
  Holdings holdings(Limits(std::chrono::hours(1)));
  Holdings::Place& one = Enter(holdings, "10.0.0.1:1");
  EXPECT_TRUE(Hold(one, 4 * kMib).ok());
  Holdings::Place& two = Enter(holdings, "10.0.0.1:1");
  EXPECT_TRUE(Hold(two, 4096).ok());
  EXPECT_EQ(Hold(two, 4097).ToString(),
            "RESOURCE_EXHAUSTED: the answer of 4097 bytes has no room: too much has been asked on "
            "this connection and its answer not been read; read, and ask again");
  EXPECT_TRUE(Hold(Enter(holdings, "10.0.0.1:2"), 4 * kMib).ok());
  EXPECT_NE(Hold(Enter(holdings, "10.0.0.1:3"), kMib).message().find("from this address"),
            std::string::npos);
  EXPECT_TRUE(Hold(Enter(holdings, "10.0.0.2:1"), 2 * kMib).ok());
  EXPECT_NE(Hold(Enter(holdings, "10.0.0.3:1"), kMib).message().find("asked and its"),
            std::string::npos);
  one.AnswerTaken();
  EXPECT_TRUE(Hold(two, 4 * kMib).ok());
  EXPECT_TRUE(given_up_.empty());
  places_.clear();
  EXPECT_EQ(holdings.unread_bytes(), 0U);
}

// Of those who let their answers lie, the one goes who has done it longest, and who is under the
// same limit.
TEST_F(UnreadTest, WhoHasNotReadForLongestMakesRoom) {
  Holdings holdings(Limits(std::chrono::milliseconds(0)));
  Holdings::Place& other = Enter(holdings, "10.0.0.2:1");
  EXPECT_TRUE(Hold(other, kMib).ok());
  Holdings::Place& one = Enter(holdings, "10.0.0.1:1");
  Holdings::Place& two = Enter(holdings, "10.0.0.1:1");
  EXPECT_TRUE(Hold(one, 2 * kMib).ok());
  EXPECT_TRUE(Hold(two, 2 * kMib).ok());
  EXPECT_TRUE(Hold(Enter(holdings, "10.0.0.1:1"), 2 * kMib).ok());
  EXPECT_EQ(given_up_, std::vector<Holdings::Place*>{&one});
  EXPECT_EQ(holdings.unread_bytes(), 5 * kMib);
  // What is larger than the limit has no room whoever goes.
  EXPECT_FALSE(Hold(Enter(holdings, "10.0.0.3:1"), 5 * kMib).ok());
  places_.clear();
}

}  // namespace
}  // namespace assent::service
