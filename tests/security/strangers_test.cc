#include "coordinator/security/strangers.h"

#include <gtest/gtest.h>

namespace assent::security {
namespace {

TEST(Strangers, AreThoseThatWereAddedUntilOneOfTheirCallsIsAdmittedOrTheyEnd) {
  Strangers strangers;
  strangers.Add("ipv4:10.0.0.7:1");
  strangers.Add("ipv4:10.0.0.7:2");
  strangers.Ended("ipv4:10.0.0.7:1");
  EXPECT_FALSE(strangers.Has("ipv4:10.0.0.7:1"));
  EXPECT_TRUE(strangers.Has("ipv4:10.0.0.7:2"));
}

// gRPC does not tell the connections of a user apart.
TEST(Strangers, OfOneNameAllAreKnownOrNone) {
  Strangers strangers;
  strangers.Add("unix:1000");
  strangers.Add("unix:1000");
  strangers.Ended("unix:1000");
  EXPECT_TRUE(strangers.Has("unix:1000")) << "the other one";
  strangers.Admitted("unix:1000");
  EXPECT_FALSE(strangers.Has("unix:1000"));
}

// A call is admitted of a connection that was never one, or has ended: once each such left its name
// behind for good.
TEST(Strangers, NothingIsKeptOfOthers) {
  Strangers strangers;
  strangers.Admitted("unix:1000");
  strangers.Admitted("ipv6:%5Bfe80::1%25eth0%5D:40112");
  EXPECT_FALSE(strangers.Has("unix:1000"));
  strangers.Add("ipv4:10.0.0.7:1");
  strangers.Ended("ipv4:10.0.0.7:1");
  strangers.Ended("ipv4:10.0.0.7:1");
  strangers.Add("ipv4:10.0.0.7:1");
  EXPECT_TRUE(strangers.Has("ipv4:10.0.0.7:1")) << "another one, from the same port";
}

}  // namespace
}  // namespace assent::security
