#pragma once

// Where the daemon's log goes and what a line looks like. Made once, by main, before any other thread.

#include <memory>
#include <string>

namespace spdlog {
class formatter;
}

namespace assent::daemon {

// One line per event: text, or one JSON object, valid whatever the message holds.
std::unique_ptr<spdlog::formatter> LogFormatter(bool json);

// While it lives the default logger writes to stderr, and gRPC's own complaints come out of it too, as events.
class Logging {
 public:
  Logging(const std::string& level, bool json);
  ~Logging();
  Logging(const Logging&) = delete;
  Logging& operator=(const Logging&) = delete;
};

}  // namespace assent::daemon
