// An initiator that speaks HTTP: a connection for each transaction under way, kept alive, on one
// thread. It is the same for assentd and for plain echo.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "tools/assent-bench/child.h"
#include "tools/assent-bench/options.h"
#include "tools/assent-bench/tally.h"

namespace assent::bench {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;
using Tcp = net::ip::tcp;
using Error = boost::system::error_code;
using Clock = Tally::Clock;

// All but the gid, which comes in between.
struct Letter {
  explicit Letter(const Load& load) {
    nlohmann::json branches = nlohmann::json::array();
    std::string payload;  // base64 of as many p
    for (int i = 0; i + 3 <= load.payload_bytes; i += 3) payload += "cHBw";
    if (load.payload_bytes % 3 > 0) payload += load.payload_bytes % 3 == 1 ? "cA==" : "cHA=";
    for (int i = 0; i < load.branches; ++i) {
      branches.push_back({{"protocol", "TCC"},
                          {"service", ServiceName(load, i % load.participants)},
                          {"action", "act"},
                          {"payload", payload}});
    }
    after = "\",\"branches\":" + branches.dump() + "}";
    wait = load.wait == "accepted"    ? "WAIT_ACCEPTED"
           : load.wait == "completed" ? "WAIT_COMPLETED"
                                      : "WAIT_DECIDED";
  }
  std::string Request(std::uint64_t number) const {
    // As long as those of the SDK.
    char gid[40];
    std::snprintf(gid, sizeof gid, "%016llx%016llx", static_cast<unsigned long long>(getpid()),
                  static_cast<unsigned long long>(number));
    const std::string body = "{\"gid\":\"" + std::string(gid) + after;
    return "POST /v1/transactions?wait_for=" + wait +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  std::string after;
  std::string wait;
};

struct Crew {
  const Letter& letter;
  Tally& tally;
  std::uint64_t number = 0;
};

// One transaction after the other, until the time is over.
class Caller {
 public:
  Caller(net::io_context& context, const Tcp::endpoint& to, Crew& crew)
      : socket_(context), crew_(crew) {
    socket_.connect(to);
    socket_.set_option(Tcp::no_delay(true));
  }
  void Next() {
    began_ = Clock::now();
    if (began_ >= crew_.tally.end()) return;
    request_ = crew_.letter.Request(++crew_.number);
    net::async_write(socket_, net::buffer(request_), [this](const Error& failed, std::size_t) {
      if (failed) return Failed(failed);
      parser_.emplace();
      http::async_read(socket_, buffer_, *parser_, [this](const Error& error, std::size_t) {
        error ? Failed(error) : Answered(parser_->get());
      });
    });
  }

 private:
  void Failed(const Error& error) {
    crew_.tally.Add(began_, Unavailable(error.message()));  // and is out of it
  }
  void Answered(const http::response<http::string_body>& answer) {
    if (answer.result_int() != 200) {
      crew_.tally.Add(began_, answer.result_int() == 429 ? ResourceExhausted(answer.body())
                                                         : Unavailable(answer.body()));
      return Next();
    }
    Report report;
    // Of plain echo it is the request.
    const bool aborted = answer.body().find("\"ABORTED\"") != std::string::npos;
    report.outcome = aborted ? Outcome::kAborted : Outcome::kCommitted;
    crew_.tally.Add(began_, report);
    Next();
  }

  Tcp::socket socket_;
  Crew& crew_;
  std::string request_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::response_parser<http::string_body>> parser_;
  Clock::time_point began_;
};

}  // namespace

int RunRestInitiator(const Load& load, const std::string& address) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  net::io_context context(1);
  const auto from = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(load.warmup_seconds));
  Tally tally(from, from + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(load.seconds)));
  const Letter letter(load);
  Crew crew{.letter = letter, .tally = tally};
  const Tcp::endpoint to(net::ip::address_v4::loopback(), PortOf(address));
  std::deque<Caller> callers;
  for (int i = 0; i < load.in_flight; ++i) callers.emplace_back(context, to, crew);
  for (Caller& caller : callers) caller.Next();
  net::steady_timer herald(context, tally.begin());
  herald.async_wait([](const Error&) {
    std::printf("measuring\n");
    std::fflush(stdout);
  });
  context.run();
  SayAndStay(tally.ToJson());
  return 0;
}

}  // namespace assent::bench
