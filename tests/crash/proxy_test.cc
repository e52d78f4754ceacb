// The campaign's proxy does each thing that it is asked for, and stops doing it: otherwise the
// campaign would test less than it counts.

#include "tests/crash/campaign/proxy.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <poll.h>
#include <string>
#include <unistd.h>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/support/process.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using Kind = Trouble::Kind;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kLong{20'000};
constexpr milliseconds kQuiet{150};  // nothing came in so long: it is being held back

sockaddr_in At(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// A connection's end.
class End {
 public:
  explicit End(int fd) : fd_(fd) {}
  ~End() { close(fd_); }
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  void Say(const std::string& text) const {
    EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  bool Hears(milliseconds within) const {
    pollfd readable{fd_, POLLIN, 0};
    return poll(&readable, 1, static_cast<int>(within.count())) == 1;
  }
  // What comes next: bytes, "<end>", "<reset>" or "<nothing>".
  std::string Next(milliseconds within = kLong) const {
    if (!Hears(within)) return "<nothing>";
    char bytes[4096];
    const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
    if (got < 0) return errno == ECONNRESET ? "<reset>" : "<error>";
    return got == 0 ? "<end>" : std::string(bytes, static_cast<std::size_t>(got));
  }

 private:
  const int fd_;
};

class ProxyTest : public ::testing::Test {
 protected:
  ProxyTest() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = At(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    proxy_ = std::make_unique<Proxy>(std::vector<std::uint16_t>{ntohs(address.sin_port)});
  }
  ~ProxyTest() override { close(listener_); }

  std::unique_ptr<End> Dial() const {
    const std::string endpoint = proxy_->Endpoint(0);
    const sockaddr_in address = At(std::atoi(endpoint.substr(endpoint.find(':') + 1).c_str()));
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return std::make_unique<End>(fd);
  }
  void Connect() {
    client_ = Dial();
    server_ = std::make_unique<End>(accept(listener_, nullptr, nullptr));
    client_->Say("hello");
    EXPECT_EQ(server_->Next(), "hello");
    server_->Say("welcome");
    EXPECT_EQ(client_->Next(), "welcome");
  }

  const int listener_;
  std::unique_ptr<Proxy> proxy_;
  std::unique_ptr<End> client_;
  std::unique_ptr<End> server_;
};

TEST_F(ProxyTest, PassesEverythingOnWhileAllIsWell) {
  Connect();
  client_.reset();
  EXPECT_EQ(server_->Next(), "<end>");
}

TEST_F(ProxyTest, Delays) {
  Connect();
  proxy_->StrikeLink(0, {.kind = Kind::kDelay, .lasts = kLong, .delay = milliseconds(200)});
  // The strike is the loop's to take up: what is said before that passes at once.
  const auto delayed = [&] {
    const auto said = Steady::now();
    client_->Say("late");
    EXPECT_EQ(server_->Next(), "late");
    return Steady::now() - said >= milliseconds(200);
  };
  EXPECT_TRUE(test::WaitUntil(delayed, kLong));
  proxy_->Heal();
}

TEST_F(ProxyTest, CutsBothSidesAndRefusesWhileItLasts) {
  Connect();
  proxy_->StrikeLink(0, {.kind = Kind::kCut, .lasts = kLong});
  EXPECT_EQ(client_->Next(), "<reset>");
  EXPECT_EQ(server_->Next(), "<reset>");
  EXPECT_EQ(Dial()->Next(), "<reset>");
  proxy_->Heal();
  const auto taken = [&] { return Dial()->Next(milliseconds(50)) == "<nothing>"; };
  EXPECT_TRUE(test::WaitUntil(taken, kLong));
}

TEST_F(ProxyTest, HalfClosesOneWay) {
  Connect();
  proxy_->StrikeConnection(0, 7, {.kind = Kind::kHalfClose, .lasts = kLong, .upstream = true});
  EXPECT_EQ(server_->Next(), "<end>");
  server_->Say("still there");
  EXPECT_EQ(client_->Next(), "still there");
  client_->Say("lost");
  EXPECT_EQ(server_->Next(kQuiet), "<end>");
}

TEST_F(ProxyTest, SwallowsOneWayAndDeliversLate) {
  Connect();
  proxy_->StrikeLink(0, {.kind = Kind::kBlackHole, .lasts = kLong, .upstream = false});
  const auto swallowed = [&] {
    server_->Say("?");
    return client_->Next(kQuiet) == "<nothing>";
  };
  ASSERT_TRUE(test::WaitUntil(swallowed, kLong));
  client_->Say("this way is open");
  EXPECT_EQ(server_->Next(), "this way is open");
  proxy_->Heal();
  EXPECT_EQ(client_->Next(), "?");
}

TEST_F(ProxyTest, SwallowsAndThenResets) {
  Connect();
  proxy_->StrikeConnection(
      0, 0,
      {.kind = Kind::kBlackHole, .lasts = milliseconds(300), .upstream = true, .cut_after = true});
  EXPECT_EQ(client_->Next(), "<reset>");
  EXPECT_EQ(server_->Next(), "<reset>");
}

TEST_F(ProxyTest, Throttles) {
  Connect();
  constexpr std::size_t kBytes = 600;
  proxy_->StrikeLink(0, {.kind = Kind::kThrottle, .lasts = kLong, .bytes_per_second = 1000});
  const auto trickled = [&] {
    const auto said = Steady::now();
    client_->Say(std::string(kBytes, 'x'));
    std::size_t got = 0;
    std::size_t pieces = 0;
    for (; got < kBytes; ++pieces) got += server_->Next().size();
    return pieces > 3 && Steady::now() - said > milliseconds(200);
  };
  EXPECT_TRUE(test::WaitUntil(trickled, kLong));
}

TEST_F(ProxyTest, ResetsWhoeverDialsWhenNobodyListens) {
  const Proxy to_nobody({test::FreePort()});
  const std::string endpoint = to_nobody.Endpoint(0);
  const sockaddr_in address = At(std::atoi(endpoint.substr(endpoint.find(':') + 1).c_str()));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const End client(fd);
  ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(client.Next(), "<reset>");
}

}  // namespace
}  // namespace assent::crash
