#include "coordinator/security/strangers.h"

#include <gtest/gtest.h>

namespace assent::security {
namespace {

TEST(Strangers, AreThoseThatWereAddedUntilOneOfTheirCallsIsAdmittedOrTheyEnd) {
  Strangers strangers;
  const std::uint64_t one = strangers.Add("ipv4:10.0.0.7:1");
  const std::uint64_t two = strangers.Add("ipv4:10.0.0.7:2");
  const std::uint64_t three = strangers.Add("ipv4:10.0.0.7:3");
  strangers.Ended("ipv4:10.0.0.7:1", one);
  strangers.Admitted("ipv4:10.0.0.7:3");
  EXPECT_FALSE(strangers.Has("ipv4:10.0.0.7:1", one));
  EXPECT_TRUE(strangers.Has("ipv4:10.0.0.7:2", two));
  EXPECT_FALSE(strangers.Has("ipv4:10.0.0.7:3", three));
}

// gRPC does not tell the connections of a user apart.
TEST(Strangers, OfOneNameAllAreKnownOrNone) {
  Strangers strangers;
  const std::uint64_t since = strangers.Add("unix:1000");
  EXPECT_EQ(strangers.Add("unix:1000"), since);
  strangers.Ended("unix:1000", since);
  EXPECT_TRUE(strangers.Has("unix:1000", since)) << "the other one";
  strangers.Admitted("unix:1000");
  EXPECT_FALSE(strangers.Has("unix:1000", since));
}

// Once a connection that came later made strangers of those that were known.
TEST(Strangers, WhoIsKnownStaysKnownWhenAnotherOfHisNameComes) {
  Strangers strangers;
  const std::uint64_t known = strangers.Add("unix:1000");
  strangers.Admitted("unix:1000");
  const std::uint64_t later = strangers.Add("unix:1000");
  EXPECT_FALSE(strangers.Has("unix:1000", known));
  strangers.Ended("unix:1000", known);
  EXPECT_TRUE(strangers.Has("unix:1000", later));
}

// A call is admitted of a connection that was never one, or has ended: once each such left its name
// behind for good.
TEST(Strangers, NothingIsKeptOfOthers) {
  Strangers strangers;
  strangers.Admitted("unix:1000");
  EXPECT_FALSE(strangers.Has("unix:1000", 0));
  const std::uint64_t one = strangers.Add("ipv4:10.0.0.7:1");
  strangers.Ended("ipv4:10.0.0.7:1", one);
  strangers.Ended("ipv4:10.0.0.7:1", one);
  const std::uint64_t another = strangers.Add("ipv4:10.0.0.7:1");
  EXPECT_TRUE(strangers.Has("ipv4:10.0.0.7:1", another)) << "from the same port";
}

}  // namespace
}  // namespace assent::security
