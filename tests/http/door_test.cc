// The sockets, with everything behind them but a daemon: many callers at once, some of whom leave,
// and an end in the middle of it.

#include "coordinator/http/door.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <assent/thread_safety.h>

#include "coordinator/http/limits.h"
#include "tests/http/desk_rig.h"

namespace assent::http {
namespace {

// One caller. -1 where nobody listens any more.
class Socket {
 public:
  explicit Socket(std::uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{.tv_sec = 60, .tv_usec = 0};
    (void)::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ =
        ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Socket() { ::close(descriptor_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool connected() const { return connected_; }
  void Say(const std::string& text) const {
    (void)!::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
  }
  void Ask(const std::string& method, const std::string& target,
           const std::string& body = {}) const {
    Say(method + " " + target +
        " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  // Until `mark` has come, or the other side has closed.
  std::string Hear(const std::string& mark) {
    std::array<char, 4096> more{};
    while (heard_.find(mark) == std::string::npos) {
      const ssize_t bytes = ::recv(descriptor_, more.data(), more.size(), 0);
      if (bytes <= 0) break;
      heard_.append(more.data(), static_cast<std::size_t>(bytes));
    }
    return std::exchange(heard_, {});
  }

 private:
  const int descriptor_;
  bool connected_ = false;
  std::string heard_;
};

class DoorTest : public DeskRig {
 protected:
  DoorTest() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, any, size), 0);
    EXPECT_EQ(::listen(listener_, SOMAXCONN), 0);
    EXPECT_EQ(::getsockname(listener_, any, &size), 0);
    port_ = ntohs(address.sin_port);
    door_ = std::make_unique<Door>(DoorOptions{}, std::vector<int>{listener_}, desk_);
  }
  ~DoorTest() override {
    door_->Close();
    engine_->Stop();
    log_.reset();
    engine_.reset();  // what it held of callers leads to connections of the door
    door_.reset();
    ::close(listener_);
  }
  static std::string Spec(const std::string& gid) {
    return R"({"gid": ")" + gid +
           R"(", "deadlineMs": "600000", "branches": [{"protocol": "SAGA", "service": "s", "action": "a"}]})";
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::unique_ptr<Door> door_;
};

TEST_F(DoorTest, ARequestAndItsAnswer) {
  Socket caller(port_);
  caller.Ask("GET", "/livez");
  EXPECT_EQ(caller.Hear("alive\n").find("HTTP/1.1 200 OK\r\n"), 0U);
  caller.Ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", Spec("g"));
  AnswerNext();
  EXPECT_NE(caller.Hear("\"errorMessage\"").find("COMMITTED"), std::string::npos);
}

TEST_F(DoorTest, ManyCallersSomeOfWhomLeave) {
  std::atomic<bool> over = false;
  std::thread answering([&] {
    while (!over) {
      if (participants_.asked.size() > 0) AnswerNext();
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (int number = 0; number < 8; ++number) {
    callers.emplace_back([this, number] {
      for (int i = 0; i < 25; ++i) {
        const std::string gid = "g" + std::to_string(number) + "." + std::to_string(i);
        Socket caller(port_);
        caller.Ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", Spec(gid));
        if (i % 3 == 0) continue;  // leaves
        EXPECT_NE(caller.Hear("\"errorMessage\"").find("COMMITTED"), std::string::npos);
        caller.Ask("GET", "/v1/transactions/" + gid + ":watch");
        if (i % 3 == 1) continue;
        EXPECT_NE(caller.Hear("event: end").find("event: transaction"), std::string::npos);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  over = true;
  answering.join();
}

// A large body is read beside the connections: one that took long held up everybody's health check.
TEST_F(DoorTest, ALargeBodyHoldsUpNobody) {
  Mutex mutex;
  CondVar changed;
  bool looking = false;
  bool released = false;
  on_look_ = [&] {  // stands for a body that takes long
    const MutexLock lock(mutex);
    looking = true;
    changed.NotifyAll();
    while (!released) changed.Wait(mutex);
  };
  std::vector<std::unique_ptr<Socket>> large;
  for (int i = 0; i < 4; ++i) {  // more than there are threads
    large.push_back(std::make_unique<Socket>(port_));
    large.back()->Ask("GET", "/readyz", std::string(kLargeBytes + 1, ' '));
  }
  large.erase(large.begin() + 1);  // leaves
  {
    const MutexLock lock(mutex);
    while (!looking) changed.Wait(mutex);
  }
  for (int i = 0; i < 4; ++i) {
    Socket caller(port_);
    caller.Ask("GET", "/livez");
    EXPECT_EQ(caller.Hear("alive\n").find("HTTP/1.1 200 OK\r\n"), 0U);
  }
  {
    const MutexLock lock(mutex);
    released = true;
    changed.NotifyAll();
  }
  for (const auto& caller : large) EXPECT_EQ(caller->Hear("not ready\n").find("HTTP/1.1 503 "), 0U);
}

TEST_F(DoorTest, ALargeTransactionAndALargeAnswer) {
  const std::string payload(200'000, 'A');
  Socket caller(port_);
  caller.Ask(
      "POST", "/v1/transactions?wait_for=WAIT_ACCEPTED",
      R"({"gid": "g", "branches": [{"protocol": "SAGA", "service": "s", "action": "a", "payload": ")" +
          payload + "\"}]}");
  EXPECT_NE(caller.Hear("\"errorMessage\"").find("200 OK"), std::string::npos);
  caller.Ask("GET", "/v1/transactions/g?payloads=true");
  EXPECT_NE(caller.Hear("\"deadlineUnixMs\"").find(payload), std::string::npos);
}

TEST_F(DoorTest, OneHostAndOneExpectation) {
  const auto said = [this](const std::string& version, const std::string& fields) {
    Socket caller(port_);
    caller.Say("GET /livez HTTP/" + version + "\r\n" + fields + "\r\n");
    return caller.Hear("\r\n").substr(9, 3);
  };
  const std::string host = "Host: localhost\r\n";
  EXPECT_EQ(said("1.1", host), "200");
  EXPECT_EQ(said("1.1", ""), "400");
  EXPECT_EQ(said("1.1", host + host), "400");
  EXPECT_EQ(said("1.0", ""), "200");
  EXPECT_EQ(said("1.0", host + host), "400");
  EXPECT_EQ(said("1.1", host + "Expect: 100-Continue\r\n"), "200");
  EXPECT_EQ(said("1.1", host + "Expect: the-unexpected\r\n"), "417");
  EXPECT_EQ(said("1.0", host + "Expect: the-unexpected\r\n"), "200");
}

TEST_F(DoorTest, WhoWaitsIsToldThatItCloses) {
  std::vector<std::unique_ptr<Socket>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(std::make_unique<Socket>(port_));
    waiting.back()->Ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", Spec("g"));
  }
  Socket watching(port_);
  (void)participants_.asked.Take();
  watching.Ask("GET", "/v1/transactions/g:watch");
  EXPECT_NE(watching.Hear("event: transaction").find("200 OK"), std::string::npos);
  Socket idle(port_);
  idle.Ask("GET", "/livez");
  (void)idle.Hear("alive\n");
  std::thread late([this] {  // comes in the middle of it: an answer, an end, or nobody
    for (int i = 0; i < 50; ++i) {
      Socket caller(port_);
      if (caller.connected()) caller.Ask("GET", "/livez");
    }
  });
  door_->Close();
  late.join();
  std::size_t told = 0;
  for (const auto& caller : waiting) {
    const std::string said = caller->Hear("again");
    told += said.find("HTTP/1.1 503 ") == 0 ? 1 : 0;
  }
  EXPECT_GE(told, 1U);
  EXPECT_EQ(idle.Hear("anything"), "");
  (void)watching.Hear("a word that does not come");
}

}  // namespace
}  // namespace assent::http
