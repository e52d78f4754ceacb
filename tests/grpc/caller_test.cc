#include <gtest/gtest.h>

#include "coordinator/grpc/call.h"

namespace assent::door {
namespace {

TEST(CallerTest, IsNamedByConnectionAndByHost) {
  EXPECT_EQ(CallerOf("ipv4:127.0.0.1:53412").connection, "ipv4:127.0.0.1:53412");
  EXPECT_EQ(CallerOf("ipv4:127.0.0.1:53412").address, "ipv4:127.0.0.1");
  EXPECT_EQ(CallerOf("ipv6:%5B::1%5D:53412").address, "ipv6:%5B::1%5D");
  EXPECT_EQ(CallerOf("unix:").connection, CallerOf("unix:").address) << "all clients are one";
  EXPECT_EQ(CallerOf("unix:").name, "") << "nobody has proven anything";
}

}  // namespace
}  // namespace assent::door
