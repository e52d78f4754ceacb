// Requests, one after the other, to a receiver that is well, slow, gone, or strange.

#include "coordinator/post/poster.h"

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <assent/thread_safety.h>

namespace assent::post {
namespace {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;

constexpr milliseconds kLong{30'000};

// Answers what it was told to, connection by connection, and closes each behind its last answer;
// behind the last of all it listens and says nothing.
class Receiver {
 public:
  explicit Receiver(std::vector<std::vector<std::string>> connections)
      : thread_([this, all = std::move(connections)] {
          for (const auto& answers : all) Serve(answers);
        }) {}
  ~Receiver() { thread_.join(); }

  Target target() const {
    return ParseUrl("http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + "/x")
        .value();
  }
  // The head of each request.
  std::vector<std::string> requests() {
    const MutexLock lock(mutex_);
    return requests_;
  }

 private:
  void Serve(const std::vector<std::string>& answers) {
    tcp::socket socket(context_);
    acceptor_.accept(socket);
    for (const std::string& answer : answers) {
      std::string head;
      const std::size_t end =
          boost::asio::read_until(socket, boost::asio::dynamic_buffer(head), "\r\n\r\nbody");
      {
        const MutexLock lock(mutex_);
        requests_.push_back(head.substr(0, end));
      }
      boost::system::error_code gone;  // who has read enough does not wait for the rest
      boost::asio::write(socket, boost::asio::buffer(answer), gone);
    }
  }

  boost::asio::io_context context_;
  tcp::acceptor acceptor_{context_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
  Mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

std::string Ok(const std::string& body = "", const std::string& headers = "") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers +
         "\r\n" + body;
}

const Poster::Headers kHeaders = {{"Content-Type", "text/plain"}, {"Own", "of ours"}};

TEST(Poster, SaysWhatItWasTold) {
  Receiver receiver(
      {{"HTTP/1.1 503 Not now\r\nRetry-After: 7\r\nContent-Type: text/x\r\n"
        "Content-Length: 3\r\n\r\nwhy"}});
  Poster poster(receiver.target(), Connections::kOneEach);
  const Answer answer = poster.Post(kHeaders, "body", kLong);
  EXPECT_EQ(answer.code, 503U);
  EXPECT_EQ(answer.failed, "it answers 503");
  EXPECT_EQ(answer.retry_after, "7");
  EXPECT_EQ(answer.content_type, "text/x");
  EXPECT_EQ(answer.body, "why");
  const std::string head = receiver.requests().at(0);
  EXPECT_EQ(head.rfind("POST /x HTTP/1.1\r\nHost: 127.0.0.1:", 0), 0U) << head;
  for (const char* line :
       {"Content-Type: text/plain", "Own: of ours", "Connection: close", "Content-Length: 4"})
    EXPECT_NE(head.find(line), std::string::npos) << line;
}

TEST(Poster, TakesAConnectionForEach) {
  Receiver receiver({{Ok()}, {Ok()}});
  Poster poster(receiver.target(), Connections::kOneEach);
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).failed, "");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).failed, "");
}

// The receiver has one connection to give: a second would never be answered.
TEST(Poster, KeepsAConnectionAlsoBehindARefusal) {
  Receiver receiver({{Ok("a"), "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", Ok("b"), Ok("c")}});
  Poster poster(receiver.target(), Connections::kKept);
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "a");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).code, 400U);
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "b");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "c");
  EXPECT_EQ(receiver.requests().at(0).find("Connection: close"), std::string::npos);
}

// The receiver closes a connection that is kept, as it may: nobody notices.
TEST(Poster, GoesOnWhereAKeptConnectionWasClosed) {
  Receiver receiver({{Ok("a")}, {Ok("b")}, {Ok("c")}});
  Poster poster(receiver.target(), Connections::kKept);
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "a");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "b");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "c");
  EXPECT_EQ(receiver.requests().size(), 3U);
}

// By one new connection, not for ever.
TEST(Poster, GivesUpWhereTheNewConnectionIsClosedAsWell) {
  Receiver receiver({{Ok("a")}, {}, {Ok("b")}});
  Poster poster(receiver.target(), Connections::kKept);
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "a");
  const Answer answer = poster.Post(kHeaders, "body", kLong);
  EXPECT_EQ(answer.code, 0U);
  EXPECT_NE(answer.failed, "");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "b");
}

// It was taken for a refusal, and what came behind it for more than an answer.
TEST(Poster, WhatComesBeforeAnAnswerIsNone) {
  const std::string hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nRetry-After: 9\r\n\r\n";
  Receiver receiver({{"HTTP/1.1 100 Continue\r\n\r\n" + hints + hints + Ok("a"), hints + Ok("b")},
                     {hints},
                     {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"}});
  Poster poster(receiver.target(), Connections::kKept);
  const Answer answer = poster.Post(kHeaders, "body", kLong);
  EXPECT_EQ(answer.code, 200U);
  EXPECT_EQ(answer.failed, "");
  EXPECT_EQ(answer.retry_after, "");
  EXPECT_EQ(answer.body, "a");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "b");
  Poster other(receiver.target(), Connections::kOneEach);
  EXPECT_EQ(other.Post(kHeaders, "body", kLong).failed.rfind("there is no answer: ", 0), 0U);
  EXPECT_EQ(other.Post(kHeaders, "body", kLong).failed, "it answers 101");
}

// What is more than an answer, or says that it is the last, ends the connection and is no failure.
TEST(Poster, KeepsNoConnectionOfAnAnswerThatDoesNotEnd) {
  const std::string large(kMaxAnswerBytes + 1, 'x');
  Receiver receiver({{Ok(large)},
                     {Ok(large.substr(1))},
                     {Ok("a", "Connection: close\r\n")},
                     {Ok("b") + "more"},
                     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"},
                     {Ok("c")}});
  Poster poster(receiver.target(), Connections::kKept);
  const Answer too_large = poster.Post(kHeaders, "body", kLong);
  EXPECT_EQ(too_large.failed, "");
  EXPECT_EQ(too_large.code, 200U);
  EXPECT_EQ(too_large.body, "");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body.size(), kMaxAnswerBytes);
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "a");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "b");
  const Answer cut = poster.Post(kHeaders, "body", kLong);
  EXPECT_EQ(cut.failed, "");
  EXPECT_EQ(cut.body, "");
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).body, "c");
}

TEST(Poster, WaitsNoLongerThanItsPatience) {
  Receiver receiver({});
  Poster poster(receiver.target(), Connections::kKept);
  EXPECT_EQ(poster.Post(kHeaders, "body", milliseconds(50)).failed, "there is no answer in time");
  EXPECT_EQ(poster.Post(kHeaders, "body", milliseconds(50)).failed, "there is no answer in time");
}

TEST(Poster, IsStoppedFromAnotherThread) {
  Receiver receiver({});
  Poster poster(receiver.target(), Connections::kKept);
  std::thread stopper([&] { poster.Stop(); });
  EXPECT_NE(poster.Post(kHeaders, "body", kLong).failed, "");
  stopper.join();
  EXPECT_EQ(poster.Post(kHeaders, "body", kLong).failed, "it is stopping");
}

TEST(Poster, SaysThatNobodyIsThere) {
  Poster poster(ParseUrl("http://127.0.0.1:1/").value(), Connections::kKept);
  const Answer answer = poster.Post(kHeaders, "body", kLong);
  EXPECT_EQ(answer.code, 0U);
  EXPECT_EQ(answer.failed.rfind("it cannot be reached: ", 0), 0U) << answer.failed;
}

TEST(Target, Url) {
  const auto target = ParseUrl("http://[::1]:80/a/b").value();
  EXPECT_EQ(target.host, "::1");
  EXPECT_EQ(target.port, "80");
  EXPECT_EQ(target.path, "/a/b");
  EXPECT_EQ(target.authority, "[::1]:80");
  EXPECT_EQ(ParseUrl("http://a:1").value().path, "/");
  EXPECT_FALSE(target.secure);
  for (const char* url : {"", "http://", "https://", "ftp://a:1/", "http://a/", "http://u@a:1/",
                          "https://u@a/", "https://a:/", "https://[::1/", "http://a:1/?q",
                          "http://a:1/#f", "http://a:1/\n", "http://a:0/", "HTTPS://a:1/"})
    EXPECT_FALSE(ParseUrl(url).ok()) << url;
  EXPECT_TRUE(ParseUrl("http://a:1/" + std::string(kMaxPathBytes - 1, 'x')).ok());
  EXPECT_FALSE(ParseUrl("http://a:1/" + std::string(kMaxPathBytes, 'x')).ok());
}

TEST(Target, SecureUrl) {
  const auto target = ParseUrl("https://a.b:8443/c").value();
  EXPECT_TRUE(target.secure);
  EXPECT_EQ(target.host, "a.b");
  EXPECT_EQ(target.port, "8443");
  EXPECT_EQ(target.path, "/c");
  const auto by_default = ParseUrl("https://[::1]").value();
  EXPECT_EQ(by_default.host, "::1");
  EXPECT_EQ(by_default.port, "443");
  EXPECT_EQ(by_default.authority, "[::1]");
  EXPECT_EQ(by_default.path, "/");
}

// Never in the clear, where nobody has said whom to trust; and the other way round.
TEST(Poster, PostsNothingIfWhomToTrustIsNotKnown) {
  Poster secure(ParseUrl("https://127.0.0.1:1/").value(), Connections::kKept);
  EXPECT_EQ(secure.Post(kHeaders, "body", kLong).failed,
            "it is not known whom to trust for 127.0.0.1:1");
  Poster plain(ParseUrl("http://127.0.0.1:1/").value(), Connections::kKept,
               [] { return tls::DialMaterialPtr(); });
  EXPECT_EQ(plain.Post(kHeaders, "body", kLong).failed,
            "it is not known whom to trust for 127.0.0.1:1");
}

}  // namespace
}  // namespace assent::post
