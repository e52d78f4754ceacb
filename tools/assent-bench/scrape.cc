// What a page of metrics costs whoever asks for it, and everybody else, with many transactions in
// flight.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "tools/assent-bench/report.h"
#include "tools/assent-bench/side.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

// Far more often than a Prometheus does.
constexpr std::chrono::milliseconds kPeriod{100};

struct Pages {
  std::vector<double> ms;
  std::size_t bytes = 0;  // of the latest
};

// Asks again and again until it is destroyed, on one connection, as Prometheus does.
class Scraper {
 public:
  // Outlived by `pages`, which is the thread's meanwhile.
  Scraper(const std::string& address, Pages& pages)
      : thread_([this, address, &pages] {
          net::io_context context;
          net::ip::tcp::socket socket(context);
          socket.connect({net::ip::address_v4::loopback(), PortOf(address)});
          for (auto next = Clock::now(); !stop_; next += kPeriod) {
            const auto began = Clock::now();
            pages.bytes = Ask(socket);
            pages.ms.push_back(
                std::chrono::duration<double, std::milli>(Clock::now() - began).count());
            PassUntil(std::min(next + kPeriod, Clock::now() + kPeriod));
          }
        }) {}
  ~Scraper() {
    stop_ = true;
    thread_.join();
  }

 private:
  static std::size_t Ask(net::ip::tcp::socket& socket) {
    http::request<http::empty_body> request{http::verb::get, "/metrics", 11};
    request.set(http::field::host, "localhost");
    http::write(socket, request);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> answer;
    http::read(socket, buffer, answer);
    if (answer.result_int() != 200) Die("/metrics answers " + std::to_string(answer.result_int()));
    return answer.body().size();
  }

  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

struct Case {
  const char* name;
  bool scraped;
  std::vector<double> p50{}, p99{};
};

void Print(const nlohmann::json& out) {
  const nlohmann::json& page = out["page"];
  std::printf(
      "%llu transactions in flight: a page of %llu bytes, %.1f ms in the median, %.1f at "
      "most (%llu pages)\n",
      out["in_flight"].get<unsigned long long>(), page["bytes"].get<unsigned long long>(),
      page["median_ms"].get<double>(), page["highest_ms"].get<double>(),
      page["count"].get<unsigned long long>());
  for (const char* name : {"not_scraped", "scraped"}) {
    std::printf("%.0f a second beside them, %-12s p50 %.2f ms, p99 %.2f ms\n",
                out["rate"].get<double>(), name, out[name]["p50_ms"].get<double>(),
                out[name]["p99_ms"].get<double>());
  }
}

}  // namespace

int Scrape(const Load& wanted, std::uint64_t transactions, int rounds, bool json) {
  Load load = wanted;
  load.http = true;
  if (load.rate <= 0) load.rate = 500;
  load.daemon_arguments.push_back("--max-transactions=10000000");
  Side side(load);
  const std::uint64_t waiting = side.BeginAbsent(transactions);
  if (waiting < transactions) Die("only " + std::to_string(waiting) + " are in flight");
  Pages pages;
  std::vector<Case> cases{{"not_scraped", false}, {"scraped", true}};
  for (int round = 0; round < rounds; ++round) {
    for (Case& one : cases) {
      ShowProgress(one.name, round, rounds);
      std::unique_ptr<Scraper> scraper;
      if (one.scraped) scraper = std::make_unique<Scraper>(side.http(), pages);
      const auto latency = Histogram::FromJson(side.Initiate(load).at("latency"));
      one.p50.push_back(static_cast<double>(latency.Percentile(0.5)) / 1000);
      one.p99.push_back(static_cast<double>(latency.Percentile(0.99)) / 1000);
    }
  }
  EndProgress();
  nlohmann::json out{{"in_flight", waiting},
                     {"rate", load.rate},
                     {"rounds", rounds},
                     {"page",
                      {{"count", pages.ms.size()},
                       {"bytes", pages.bytes},
                       {"median_ms", Median(pages.ms)},
                       {"highest_ms", *std::max_element(pages.ms.begin(), pages.ms.end())}}}};
  for (const Case& one : cases)
    out[one.name] = {{"p50_ms", Median(one.p50)}, {"p99_ms", Median(one.p99)}};
  if (json) {
    std::cout << out.dump() << "\n";
  } else {
    Print(out);
  }
  return 0;
}

}  // namespace assent::bench
