// Who has the port that a start wants.
#include "coordinator/daemon/port_owner.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "coordinator/daemon/listener.h"
#include "tests/support/process.h"

namespace assent::daemon {
namespace {

// "Another assentd may be running" was all that was said, though the kernel knows.
TEST(PortOwner, WhoeverHasThePortIsNamed) {
  for (const std::string host : {"127.0.0.1", "[::1]"}) {
    auto first = Listener::Open(host + ":0", {});
    if (!first.ok() && host == "[::1]") continue;  // no IPv6 here
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    ASSERT_TRUE((*first)->Listen().ok());
    const auto second = Listener::Open((*first)->address(), {});
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.status().message().find("process " + std::to_string(::getpid()) + " ("),
              std::string::npos)
        << second.status().message();
    EXPECT_NE(second.status().message().find(") listens there. "), std::string::npos);
  }
}

// Another user's processes do not show what they have open.
TEST(PortOwner, WhatIsNotShownIsNotGuessed) {
  const test::TempDir proc;
  EXPECT_EQ(OwnerOfPort(7400, proc.path()), "");
  std::filesystem::create_directories(proc.path() + "/net");
  std::filesystem::create_directories(proc.path() + "/17/fd");
  std::ofstream(proc.path() + "/17/comm") << "assentd\n";
  std::ofstream(proc.path() + "/net/tcp")
      << "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
         "   0: 0100007F:1CE8 0100007F:1CE9 01 00000000:00000000 00:00000000 00000000 0 0 4710 1\n"
         "   1: 0100007F:1CE8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n"
         "torn\n";
  EXPECT_EQ(OwnerOfPort(7400, proc.path()), "");
  std::filesystem::create_symlink("socket:[4710]", proc.path() + "/17/fd/3");
  EXPECT_EQ(OwnerOfPort(7400, proc.path()), "") << "it has a connection there, and listens not";
  std::filesystem::create_symlink("socket:[4711]", proc.path() + "/17/fd/4");
  EXPECT_EQ(OwnerOfPort(7400, proc.path()), "process 17 (assentd)");
  EXPECT_EQ(OwnerOfPort(7401, proc.path()), "");
}

}  // namespace
}  // namespace assent::daemon
