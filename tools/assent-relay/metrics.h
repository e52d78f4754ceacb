#pragma once

// What the relay counts, in Prometheus' text format, and the port that shows it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <assent/outbox.h>
#include <assent/status.h>

namespace assent::relay {

std::string MetricsText(const RelayStats& stats);

// One caller at a time, each with a bounded time and a bounded request: for a scraper and for
// whoever looks whether the process lives. Anything else belongs behind a proxy.
class MetricsPort {
 public:
  using MakeText = std::function<std::string()>;
  // `address`: "host:port", by number; port 0: any.
  static Result<std::unique_ptr<MetricsPort>> Listen(const std::string& address, MakeText text);
  ~MetricsPort();
  MetricsPort(const MetricsPort&) = delete;
  MetricsPort& operator=(const MetricsPort&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  MetricsPort(int socket, std::uint16_t port, MakeText text);
  void Loop() const;
  void Answer(int caller) const;

  const int socket_;
  const std::uint16_t port_;
  const MakeText text_;
  int stop_[2] = {-1, -1};  // a pipe: its other end is closed to end the loop
  std::thread thread_;
};

}  // namespace assent::relay
