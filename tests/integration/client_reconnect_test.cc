// A coordinator that comes (back) up is noticed at once by a client that is calling. A real daemon
// in a process of its own: a server in this one would do the client's polling, and hide what this
// is about.

#include <chrono>
#include <future>
#include <string>

#include <gtest/gtest.h>

#include <assent/client.h>

#include "tests/support/process.h"

namespace assent::test {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using Clock = std::chrono::steady_clock;

class ClientReconnect : public ::testing::Test {
 protected:
  // A call that is under way while the daemon is down, and ends soon after it is up.
  void CallMeetsTheStart() {
    auto answer =
        std::async(std::launch::async, [this] { return client_.Get("nobody", {.timeout = 30s}); });
    ASSERT_EQ(answer.wait_for(300ms), std::future_status::timeout);
    ASSERT_TRUE(daemon_.Start().ok());
    ASSERT_TRUE(daemon_.WaitForOutput("listening", 30s)) << daemon_.Output();
    const auto up = Clock::now();
    const Status status = answer.get().status();
    EXPECT_EQ(status.code(), Code::kNotFound) << status.ToString();
    EXPECT_LT(Clock::now() - up, 3s);
  }

  TempDir dir_;
  const std::string endpoint_ = "127.0.0.1:" + std::to_string(FreePort());
  Process daemon_{{.argv = {BinDir() + "/assentd", "--http-listen", "none", "--listen", endpoint_,
                            "--data", dir_ / "data"}}};
  const Client client_{{.endpoint = endpoint_}};
};

// The client used to sleep between attempts, and gRPC connects only while somebody waits for it: a
// coordinator that was there after 0.3 s was found at gRPC's own next look, after 5 s, or never
// ("connection refused", for ten seconds).
TEST_F(ClientReconnect, FindsACoordinatorThatStartsLate) { CallMeetsTheStart(); }

TEST_F(ClientReconnect, FindsACoordinatorThatIsBack) {
  CallMeetsTheStart();
  daemon_.Kill();
  CallMeetsTheStart();
}

}  // namespace
}  // namespace assent::test
