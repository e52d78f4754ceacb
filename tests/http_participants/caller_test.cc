// The caller against peers that listen, answer, hang, lie and go away.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/post/signature.h"
#include "coordinator/transport/http/http_caller.h"
#include "coordinator/transport/http/message.h"
#include "coordinator/transport/unary_dialer.h"
#include "tests/http_participants/peer.h"
#include "tests/transport/fake_carriers.h"

namespace assent::transport {
namespace {

using test::HttpPeer;
using test::HttpRequest;

constexpr std::chrono::seconds kPatience(60);

// Whatever the sink is told.
class Sink final : public CallSink {
 public:
  void OnConnecting(std::size_t) override { Note("connecting"); }
  void OnConnected(std::size_t) override { Note("connected"); }
  void OnUnreachable(std::size_t, const std::string& words) override { Note(words); }
  void OnEnded(std::vector<CallEnd> ended) override {
    const MutexLock lock(mutex_);
    for (CallEnd& end : ended) ended_.emplace(end.call, std::move(end));
    changed_.NotifyAll();
  }

  // The latest news, once it has `part` in it.
  std::string WaitForNews(const std::string& part) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    const MutexLock lock(mutex_);
    while (news_.find(part) == std::string::npos && changed_.WaitUntil(mutex_, until)) {
    }
    return news_;
  }
  CallEnd WaitForEnd(std::uint64_t call) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    const MutexLock lock(mutex_);
    while (!ended_.contains(call) && changed_.WaitUntil(mutex_, until)) {
    }
    EXPECT_TRUE(ended_.contains(call)) << call;
    return std::move(ended_[call]);
  }
  std::size_t ended() const {
    const MutexLock lock(mutex_);
    return ended_.size();
  }

 private:
  void Note(const std::string& news) {
    const MutexLock lock(mutex_);
    news_ = news;
    changed_.NotifyAll();
  }
  mutable Mutex mutex_;
  CondVar changed_;
  std::string news_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::uint64_t, CallEnd> ended_ ASSENT_GUARDED_BY(mutex_);
};

std::string Http(const std::string& code, const std::string& type, const std::string& body,
                 const std::string& more = "") {
  return "HTTP/1.1 " + code + "\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + more + "\r\n" + body;
}
const char kDone[] = R"({"gid":"g","branchId":"1","operation":"TRY","kind":"DONE"})";
std::string Done() { return Http("200 OK", "application/json", kDone); }

class HttpCallerTest : public testing::Test {
 protected:
  void Open(const std::string& url, HttpCallerOptions options = {}) {
    caller_ = std::make_unique<HttpCaller>(std::move(options));
    caller_->Start(7, sink_);
    caller_->Add(0, Endpoint(url));
  }
  // Once somebody is there.
  void Call(std::uint64_t call, std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    ASSERT_EQ(sink_.WaitForNews("connected"), "connected");
    Command command = TryCommand("g");
    command.timeout = timeout;
    ASSERT_TRUE(caller_->Call(0, call, command));
  }
  CallEnd Ask(std::uint64_t call, std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    Call(call, timeout);
    return sink_.WaitForEnd(call);
  }

  Sink sink_;
  std::unique_ptr<HttpCaller> caller_;
};

TEST_F(HttpCallerTest, ACommandIsOnePostAndItsAnswerAReply) {
  std::string head;
  std::string body;
  HttpPeer peer([&](const HttpRequest& request) {
    head = request.head;
    body = request.body;
    return Done();
  });
  Open(peer.url("/a/path"), {.secrets = {{"s", "a secret of enough bytes"}}, .agent = "me/1"});
  ASSERT_EQ(sink_.WaitForNews("connected"), "connected");
  Command command = TryCommand("g");
  command.timeout = std::chrono::seconds(30);
  command.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  command.tracestate = "a=b";
  const std::string expected = http::BodyOf(command, 7);
  ASSERT_TRUE(caller_->Call(0, 5, command));
  const CallEnd end = sink_.WaitForEnd(5);
  EXPECT_TRUE(end.replied) << end.words;
  EXPECT_EQ(end.reply.kind(), v1::BranchReply::DONE);
  EXPECT_EQ(body, expected);
  EXPECT_EQ(head.substr(0, head.find("\r\n")), "POST /a/path HTTP/1.1");
  for (const char* line :
       {"\r\nContent-Type: application/json\r\n", "\r\nUser-Agent: me/1\r\n",
        "\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "\r\ntracestate: a=b\r\n",
        "\r\nAccept: application/assent-reply+json, application/json\r\n"})
    EXPECT_NE(head.find(line), std::string::npos) << line << head;
  EXPECT_EQ(head.find("Expect"), std::string::npos) << head;
  const std::size_t at = head.find("\r\nAssent-Signature: t=");
  ASSERT_NE(at, std::string::npos) << head;
  const std::string signature = head.substr(at + 20, head.find("\r\n", at + 2) - at - 20);
  const std::int64_t seconds = std::stoll(signature.substr(2));
  EXPECT_EQ(signature, post::Sign("a secret of enough bytes", seconds, body));
}

TEST_F(HttpCallerTest, AServiceWithoutASecretIsCalledWithoutASignature) {
  std::string head;
  HttpPeer peer([&](const HttpRequest& request) {
    head = request.head;
    return Done();
  });
  Open(peer.url(), {.secrets = {{"other", "a secret of enough bytes"}}});
  EXPECT_TRUE(Ask(1).replied);
  EXPECT_EQ(head.find("Assent-Signature"), std::string::npos) << head;
}

TEST_F(HttpCallerTest, AConnectionIsKept) {
  HttpPeer peer([](const HttpRequest&) { return Done(); });
  Open(peer.url());
  for (std::uint64_t call = 1; call <= 20; ++call) EXPECT_TRUE(Ask(call).replied);
  EXPECT_EQ(peer.used(), 1U);
  EXPECT_EQ(peer.requests(), 20U);
}

// A proxy in the environment would be told every payload.
TEST_F(HttpCallerTest, TheEnvironmentNamesNoProxy) {
  ASSERT_EQ(::setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
  ASSERT_EQ(::setenv("all_proxy", "http://127.0.0.1:1", 1), 0);
  HttpPeer peer([](const HttpRequest&) { return Done(); });
  Open(peer.url());
  EXPECT_TRUE(Ask(1).replied);
  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
}

TEST_F(HttpCallerTest, ARedirectIsNotFollowed) {
  HttpPeer other([](const HttpRequest&) { return Done(); });
  HttpPeer peer([&](const HttpRequest&) {
    return Http("307 Temporary Redirect", "text/plain", "", "Location: " + other.url() + "\r\n");
  });
  Open(peer.url());
  const CallEnd end = Ask(1);
  EXPECT_FALSE(end.replied);
  EXPECT_EQ(end.words, "HTTP 307");
  EXPECT_EQ(other.accepted(), 0U);
}

TEST_F(HttpCallerTest, RetryAfterIsHandedOn) {
  HttpPeer peer([&](const HttpRequest&) {
    return Http("503 Busy", "text/plain", "busy", "Retry-After: 4\r\n");
  });
  Open(peer.url());
  const CallEnd end = Ask(1);
  EXPECT_EQ(end.retry_after, std::chrono::seconds(4));
  EXPECT_EQ(end.words, "HTTP 503: busy");
}

TEST_F(HttpCallerTest, AnAnswerIsReadUpToItsBoundsAndNoFurther) {
  std::string answer;
  HttpPeer peer([&](const HttpRequest&) { return answer; });
  Open(peer.url());
  const std::string fits(http::kMaxReplyBytes, ' ');
  answer = Http("500 x", "text/plain", fits);
  EXPECT_EQ(Ask(1).words.substr(0, 8), "HTTP 500");
  answer = Http("500 x", "text/plain", fits + " ");
  EXPECT_EQ(Ask(2).words, "the answer has more than 1048576 bytes");
  answer = Http("200 OK", "application/json", kDone,
                "X: " + std::string(http::kMaxReplyHeaderBytes, 'x') + "\r\n");
  EXPECT_EQ(Ask(3).words, "the answer has more than 65536 bytes");
  answer = Done();
  EXPECT_TRUE(Ask(4).replied);
}

// Whatever comes first, a cut answer is none.
TEST_F(HttpCallerTest, AConnectionThatEndsInTheMiddleLeavesTheOutcomeUnknown) {
  std::atomic<int> turn = 0;
  HttpPeer peer([&](const HttpRequest&) -> std::string {
    if (turn == 0) return "";
    return Done();
  });
  Open(peer.url());
  const CallEnd end = Ask(1);
  EXPECT_FALSE(end.replied);
  EXPECT_FALSE(end.not_sent.has_value());
  EXPECT_NE(end.words.find("the connection was lost before it answered"), std::string::npos)
      << end.words;
  turn = 1;
  EXPECT_TRUE(Ask(2).replied);
}

TEST_F(HttpCallerTest, NoAnswerInTimeIsUnknownAndCostsNobodyElse) {
  std::atomic<bool> hold = true;
  HttpPeer peer([&](const HttpRequest& request) {
    while (hold && request.body.find("\"gid\":\"slow\"") != std::string::npos)
      std::this_thread::yield();
    return Done();
  });
  Open(peer.url());
  ASSERT_EQ(sink_.WaitForNews("connected"), "connected");
  Command slow = TryCommand("slow");
  slow.timeout = std::chrono::milliseconds(300);
  ASSERT_TRUE(caller_->Call(0, 1, slow));
  EXPECT_TRUE(Ask(2).replied);
  const CallEnd end = sink_.WaitForEnd(1);
  EXPECT_EQ(end.words, "there was no answer in its time");
  EXPECT_TRUE(Ask(3).replied);
  hold = false;
}

// The port was there when it was looked for, and has gone: nothing has left, and the command is
// given back as it was.
TEST_F(HttpCallerTest, WhatFindsNobodyIsGivenBack) {
  auto peer = std::make_unique<HttpPeer>([](const HttpRequest&) { return Done(); });
  const std::uint16_t port = peer->port();
  Open(peer->url());
  ASSERT_EQ(sink_.WaitForNews("connected"), "connected");
  peer.reset();
  Command command = TryCommand("g");
  command.payload = "bytes";
  command.timeout = std::chrono::seconds(30);
  ASSERT_TRUE(caller_->Call(0, 1, command));
  const CallEnd end = sink_.WaitForEnd(1);
  ASSERT_TRUE(end.not_sent.has_value()) << end.words;
  EXPECT_EQ(end.not_sent->gid, "g");
  EXPECT_EQ(end.not_sent->payload, "bytes");
  EXPECT_NE(sink_.WaitForNews("refused").find("cannot connect to http://127.0.0.1:"),
            std::string::npos);
  command = TryCommand("again");
  EXPECT_FALSE(caller_->Call(0, 2, command));
  EXPECT_EQ(command.gid, "again");
  HttpPeer again([](const HttpRequest&) { return Done(); }, port);
  EXPECT_TRUE(Ask(3).replied);
}

TEST_F(HttpCallerTest, AStopEndsEachCallAndLosesNone) {
  std::atomic<bool> hold = true;
  HttpPeer peer([&](const HttpRequest&) {
    while (hold) std::this_thread::yield();
    return Done();
  });
  Open(peer.url());
  constexpr std::size_t kCalls = 20;
  for (std::uint64_t call = 1; call <= kCalls; ++call) Call(call);
  caller_->Stop();
  EXPECT_EQ(sink_.ended(), kCalls);
  Command late = TryCommand("late");
  EXPECT_FALSE(caller_->Call(0, 99, late));
  EXPECT_EQ(late.gid, "late");
  hold = false;
}

TEST_F(HttpCallerTest, ManyThreadsMayCall) {
  HttpPeer peer([](const HttpRequest&) { return Done(); });
  Open(peer.url());
  ASSERT_EQ(sink_.WaitForNews("connected"), "connected");
  std::vector<std::thread> threads;
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kEach = 50;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        Command command = TryCommand("g");
        command.timeout = std::chrono::seconds(30);
        EXPECT_TRUE(caller_->Call(0, t * kEach + i, command));
      }
    });
  }
  for (std::thread& one : threads) one.join();
  for (std::uint64_t call = 0; call < kThreads * kEach; ++call)
    EXPECT_TRUE(sink_.WaitForEnd(call).replied);
}

// What was given back waits as if it had never been taken, and who is absent is told with the
// cause.
TEST(HttpDialer, WhatWasGivenBackWasCertainlyNotSent) {
  auto peer = std::make_unique<HttpPeer>([](const HttpRequest&) { return Done(); });
  const std::string url = peer->url();
  struct Exchange rig;
  HttpCaller caller({});
  UnaryDialer dialer(caller, rig.board, {10});
  dialer.Set("s", {Endpoint(url)});
  dialer.Open(7);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (rig.witness.Lines().empty() && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  peer.reset();
  rig.Send(TryCommand("g"));
  std::vector<Reply> replies;
  while (replies.empty() && std::chrono::steady_clock::now() < until)
    replies = rig.engine.Replies();
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].result, core::AttemptResult::kNotSent);
  EXPECT_TRUE(replies[0].service_absent);
  EXPECT_NE(replies[0].reason.find("cannot connect to " + url), std::string::npos)
      << replies[0].reason;
}

}  // namespace
}  // namespace assent::transport
