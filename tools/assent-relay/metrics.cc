#include "tools/assent-relay/metrics.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <assent/address.h>

namespace assent::relay {
namespace {

constexpr std::size_t kMaxRequestBytes = 8 * 1024;
constexpr timeval kPatience{2, 0};
constexpr int kBacklogCount = 16;

class Page {
 public:
  template <typename Number>
  void Gauge(const char* name, const char* help, Number value) {
    Add(name, "gauge", help, std::to_string(value));
  }
  void Counter(const char* name, const char* help, std::uint64_t value) {
    Add(name, "counter", help, std::to_string(value));
  }
  std::string Take() { return std::move(text_); }

 private:
  void Add(const std::string& name, const char* type, const char* help, const std::string& value) {
    text_ += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n" + name + " " +
             value + "\n";
  }
  std::string text_;
};

std::string Response(const char* status, const char* type, const std::string& body) {
  return std::string("HTTP/1.1 ") + status + "\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
         body;
}

}  // namespace

std::string MetricsText(const RelayStats& stats) {
  Page page;
  if (stats.is_counted) {
    page.Gauge("assent_relay_rows_waiting",
               "Rows of the outbox that are to be handed over, counted up to 100,000.",
               stats.table.waiting);
    page.Gauge("assent_relay_rows_parked", "Rows of the outbox that wait for a person.",
               stats.table.parked);
    page.Gauge("assent_relay_rows_unknown", "Rows of a kind that this relay does not know.",
               stats.table.unknown);
    page.Gauge("assent_relay_oldest_age_seconds", "Age of the oldest row that waits.",
               static_cast<double>(stats.table.oldest_age.count()) / 1000.0);
  }
  page.Gauge("assent_relay_in_flight", "Rows that were handed over and are not settled.",
             stats.in_flight);
  page.Gauge("assent_relay_in_trouble", "1: the database or the coordinator fails just now.",
             stats.last_error.empty() ? 0 : 1);
  page.Counter("assent_relay_handed_over_total", "Rows that the coordinator has answered.",
               stats.handed_over);
  page.Counter("assent_relay_failures_total", "Attempts that had no answer.", stats.failed);
  page.Counter("assent_relay_parked_total", "Rows that were parked.", stats.parked);
  page.Counter("assent_relay_turns_total", "Turns that took at least one row.", stats.turns);
  page.Counter("assent_relay_database_errors_total", "Calls of the database that failed.",
               stats.database_errors);
  return page.Take();
}

Result<std::unique_ptr<MetricsPort>> MetricsPort::Listen(const std::string& address,
                                                         MakeText text) {
  const auto wrong = [&address](const std::string& why) {
    return InvalidArgument("--metrics-listen " + address + ": " + why);
  };
  const std::size_t colon = address.rfind(':');
  sockaddr_in where{};
  where.sin_family = AF_INET;
  const std::string host = address.substr(0, colon);
  if (colon == std::string::npos || inet_pton(AF_INET, host.c_str(), &where.sin_addr) != 1)
    return wrong("it is an address and a port, such as 127.0.0.1:9474");
  char* end = nullptr;
  const long port = std::strtol(address.c_str() + colon + 1, &end, 10);  // NOLINT: its type
  if (end == address.c_str() + colon + 1 || *end != '\0' || port < 0 || port > 65535)
    return wrong("the port is none");
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return wrong(std::strerror(errno));
  const int yes = 1;
  (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  socklen_t size = sizeof(where);
  auto* const raw = reinterpret_cast<sockaddr*>(&where);
  if (bind(listener, raw, size) != 0 || listen(listener, kBacklogCount) != 0 ||
      getsockname(listener, raw, &size) != 0) {
    Status status = wrong(std::strerror(errno));
    close(listener);
    return status;
  }
  return std::unique_ptr<MetricsPort>(
      new MetricsPort(listener, ntohs(where.sin_port), std::move(text)));
}

MetricsPort::MetricsPort(int socket, std::uint16_t port, MakeText text)
    : socket_(socket), port_(port), text_(std::move(text)) {
  ASSENT_CHECK(pipe(stop_) == 0);
  thread_ = std::thread([this] { Loop(); });
}

MetricsPort::~MetricsPort() {
  close(stop_[1]);
  thread_.join();
  close(stop_[0]);
  close(socket_);
}

void MetricsPort::Loop() const {
  while (true) {
    std::array<pollfd, 2> fds = {{{socket_, POLLIN, 0}, {stop_[0], POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    const int caller = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (caller < 0) continue;
    (void)setsockopt(caller, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    (void)setsockopt(caller, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
    Answer(caller);
    close(caller);
  }
}

void MetricsPort::Answer(int caller) const {
  std::string request;
  std::array<char, 1024> bytes{};
  while (request.find("\r\n\r\n") == std::string::npos) {
    const ssize_t got = recv(caller, bytes.data(), bytes.size(), 0);
    if (got <= 0 || request.size() > kMaxRequestBytes) return;
    request.append(bytes.data(), static_cast<std::size_t>(got));
  }
  std::string answer;
  if (request.starts_with("GET /metrics ")) {
    answer = Response("200 OK", "text/plain; version=0.0.4; charset=utf-8", text_());
  } else if (request.starts_with("GET /healthz ")) {
    answer = Response("200 OK", "text/plain", "ok\n");
  } else {
    answer = Response("404 Not Found", "text/plain", "here are /metrics and /healthz\n");
  }
  for (std::size_t at = 0; at < answer.size();) {
    const ssize_t sent = send(caller, answer.data() + at, answer.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += static_cast<std::size_t>(sent);
  }
  // The rest of what it says is read, or the answer could be lost with it.
  (void)shutdown(caller, SHUT_WR);
  while (recv(caller, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace assent::relay
