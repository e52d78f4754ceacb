// SIGTERM while everything is in motion: the daemon ends well, whoever is still sending what.

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <assent/client.h>

#include "tests/support/process.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Found by the campaign: the dialer of unary participants was destroyed while the shards still ran,
// and a shard that sent something just then ended with SIGSEGV instead of 0. Here a few shards
// never stop sending, to a service that nobody offers, and many others sleep, so that stopping them
// one after the other takes a while; and what is freed is not left as it was.
TEST(Stop, UnderRetriesEndsWell) {
  const test::TempDir dir;
  const std::string endpoint = "127.0.0.1:" + std::to_string(test::FreePort());
  test::Process daemon({.argv = {test::BinDir() + "/assentd", "--http-listen", "none", "--listen",
                                 endpoint, "--data", dir / "data", "--shards", "12",
                                 "--drain-seconds", "0", "--reserve-mib", "0"},
                        .env = {{"MALLOC_PERTURB_", "165"}, {"MALLOC_CONF", "junk:true"}}});
  ASSERT_TRUE(daemon.Start().ok());
  ASSERT_TRUE(daemon.WaitForOutput("listening", seconds(20))) << daemon.Output();
  {
    const Client client({.endpoint = endpoint});
    for (int i = 0; i < 6; ++i) {
      Transaction transaction;
      transaction.Deadline(seconds(600))
          .Saga("nobody", "act", {},
                {.retry = {.initial_backoff = milliseconds(1), .max_backoff = milliseconds(1)}});
      ASSERT_TRUE(client.Submit(transaction, {.wait = WaitFor::kAccepted}).ok());
    }
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(daemon.Stop(), 0) << daemon.Output();
    ASSERT_TRUE(daemon.Start().ok());
    ASSERT_TRUE(daemon.WaitForOutput("listening", seconds(20))) << daemon.Output();
  }
}

// A stop took all of --drain-seconds while anything waited for a participant that was away, though
// nobody gained by it.
TEST(Stop, WaitsForNobodyWhoIsAway) {
  const test::TempDir dir;
  const std::string endpoint = "127.0.0.1:" + std::to_string(test::FreePort());
  test::Process daemon(
      {.argv = {test::BinDir() + "/assentd", "--http-listen", "none", "--listen", endpoint,
                "--data", dir / "data", "--drain-seconds", "3600", "--reserve-mib", "0"}});
  ASSERT_TRUE(daemon.Start().ok());
  ASSERT_TRUE(daemon.WaitForOutput("listening", seconds(20))) << daemon.Output();
  {
    const Client client({.endpoint = endpoint});
    Transaction transaction;
    transaction.Gid("waits").Deadline(seconds(3600)).Tcc("nobody", "act");
    ASSERT_TRUE(client.Submit(transaction, {.wait = WaitFor::kAccepted}).ok());
  }
  EXPECT_EQ(daemon.Stop(), 0) << daemon.Output();
  EXPECT_THAT(daemon.Output(), testing::HasSubstr("phase=rest_waits transactions=1"));
  ASSERT_TRUE(daemon.Start().ok());
  ASSERT_TRUE(daemon.WaitForOutput("listening", seconds(20))) << daemon.Output();
  const auto goes_on = Client({.endpoint = endpoint}).Get("waits");
  ASSERT_TRUE(goes_on.ok()) << goes_on.status().ToString();
  EXPECT_EQ(goes_on->outcome, Outcome::kUndecided);
}

}  // namespace
}  // namespace assent::crash
