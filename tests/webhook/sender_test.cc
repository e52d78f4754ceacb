// The bounds of the queue, and what is signed.

#include "coordinator/webhook/sender.h"

#include <atomic>
#include <chrono>
#include <string>
#include <unistd.h>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include "coordinator/post/signature.h"
#include "coordinator/post/target.h"
#include "coordinator/webhook/message.h"

namespace assent::webhook {
namespace {

// A port at which connections are made by the kernel and nobody ever answers.
class Silent {
 public:
  Silent() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~Silent() { ::close(socket_); }
  void Listen() const { EXPECT_EQ(::listen(socket_, 16), 0); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/x"; }

 private:
  int socket_;
  int port_ = 0;
};

SenderOptions To(const Silent& receiver) {
  SenderOptions options;
  options.target = post::ParseUrl(receiver.url()).value();
  options.secret = "a secret of enough bytes";
  return options;
}

Event Some(const std::string& gid) {
  return {.kind = "stuck",
          .gid = gid,
          .branches = {{"1", "shop", "pay"}},
          .why = "because",
          .since = "",
          .unix_ms = 1'700'000'000'001};
}

template <typename Condition>
void Until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    ::sched_yield();
  }
}

// One is with the receiver, two wait; the others are dropped, counted, and said once. They are not
// even made. A stop does not wait for who never answers.
TEST(Sender, DropsWhatDoesNotFit) {
  const Silent receiver;
  receiver.Listen();
  SenderOptions options = To(receiver);
  options.max_queued_count = 2;
  std::atomic<int> said = 0;
  options.on_trouble = [&](Trouble trouble, const std::string&) {
    if (trouble == Trouble::kFull) ++said;
  };
  Sender sender(std::move(options));
  sender.Open({});
  sender.Tell([] { return Some("a"); });
  Until([&] { return sender.Figures().queued == 0; });
  int made = 0;
  for (int i = 0; i < 5; ++i) {
    sender.Tell([&made] {
      ++made;
      return Some("b");
    });
  }
  EXPECT_EQ(made, 2);
  EXPECT_EQ(sender.Figures().queued, 2U);
  EXPECT_EQ(sender.Figures().dropped, 3U);
  EXPECT_EQ(said, 1);
  EXPECT_EQ(sender.Close(), 3U);
}

TEST(Sender, GivesUpInTheEnd) {
  const Silent nobody;  // does not listen
  SenderOptions options = To(nobody);
  options.first_pause = std::chrono::milliseconds(0);
  std::atomic<int> away = 0, given_up = 0;
  options.on_trouble = [&](Trouble trouble, const std::string& what) {
    if (trouble == Trouble::kAway) ++away;
    if (trouble == Trouble::kGivenUp) {
      EXPECT_EQ(what, "a");
      ++given_up;
    }
  };
  Sender sender(std::move(options));
  sender.Tell([] { return Some("a"); });  // told before it is known who tells: it waits
  sender.Tell([] { return Some("b"); });
  EXPECT_EQ(sender.Figures().queued, 2U);
  sender.Open({});
  Until([&] { return sender.Figures().given_up == 2; });
  EXPECT_EQ(sender.Figures().failed_tries, 2U * kMaxTriesCount);
  EXPECT_EQ(sender.Figures().queued, 0U);
  EXPECT_EQ(away, 1);
  EXPECT_EQ(given_up, 1);
  EXPECT_EQ(sender.Close(), 0U);
}

TEST(Sender, IsClosedAlsoIfItNeverOpened) {
  const Silent receiver;
  Sender sender(To(receiver));
  sender.Tell([] { return Some("a"); });
  EXPECT_EQ(sender.Close(), 1U);
  sender.Tell([] { return Some("b"); });
  EXPECT_EQ(sender.Figures().queued, 0U);
}

// RFC 4231 has no case of this form: made with `printf '%s' '1700000000.{"a":1}' | openssl dgst
// -sha256 -hmac 'a secret of enough bytes'`.
TEST(Message, Signature) {
  EXPECT_EQ(post::Sign("a secret of enough bytes", 1'700'000'000, R"({"a":1})"),
            "t=1700000000,v1=8d2d377de07a9ad78ddc6fb9d8e41c860479759a043508bcc5b56bb3f174fcf5");
}

// When, where and in which words it is told makes no other event of it; what it is about does.
TEST(Message, TheSameEventHasTheSameId) {
  const std::string id = IdOf(Some("a"));
  EXPECT_EQ(id.size(), 32U);
  Event later = Some("a");
  later.unix_ms += 1;
  later.why = "another";
  EXPECT_EQ(IdOf(later), id);
  EXPECT_NE(IdOf(Some("b")), id);
  for (const auto& change : std::vector<void (*)(Event&)>{
           [](Event& event) { event.kind = "hazard"; }, [](Event& event) { event.since = "1"; },
           [](Event& event) { event.branches[0].id = "2"; }}) {
    Event other = Some("a");
    change(other);
    EXPECT_NE(IdOf(other), id);
  }
}

TEST(Message, Body) {
  Event event = Some("a:b");
  event.why = "bytes that are no text: \xff, and a \" quote";
  const auto body = nlohmann::json::parse(Body(event, "7", {"45", "north", "http://h:1"}));
  EXPECT_EQ(body["why"], "bytes that are no text: ?, and a \" quote");
  EXPECT_EQ(body["time"], "2023-11-14T22:13:20.001Z");
  EXPECT_EQ(body["coordinator"], "45");
  EXPECT_EQ(body["node"], "north");
  EXPECT_EQ(body["console"], "http://h:1/#/transactions/a%3Ab");
}

}  // namespace
}  // namespace assent::webhook
