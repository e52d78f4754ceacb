// When a name is looked for, and servers that are none. dns_test.py asks a real one.
#include "coordinator/discovery/dns/resolver.h"

#include <gtest/gtest.h>

namespace assent::discovery::dns {
namespace {

using std::chrono::milliseconds;

TEST(Resolver, LooksByTheTtlWithinItsBounds) {
  EXPECT_EQ(IntervalOf(0), milliseconds(kUncachedLookIntervalMs));
  EXPECT_EQ(IntervalOf(1), milliseconds(kMinLookIntervalMs));
  EXPECT_EQ(IntervalOf(60), milliseconds(60'000));
  EXPECT_EQ(IntervalOf(301), milliseconds(kMaxLookIntervalMs));
  EXPECT_EQ(IntervalOf(0xffffffff), milliseconds(kMaxLookIntervalMs));
}

TEST(Resolver, ServersThatAreNoneAreRefused) {
  EXPECT_EQ(Resolver::Open({"ns.internal"}, {}, {}).status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(Resolver::Open({"127.0.0.1:53,[::1]:5353"}, {}, {}).ok());
}

}  // namespace
}  // namespace assent::discovery::dns
