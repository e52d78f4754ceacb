#pragma once

// Where the daemon's log goes and what a line looks like. Made once, by main, before any other
// thread.
//
// Nothing that a peer causes may wait for whoever reads the log: every line goes through an Output,
// and what libraries print (gRPC, protobuf) goes the same way, cut, one line each, and so many a
// second at most.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <assent/thread_safety.h>

namespace spdlog {
class formatter;
}

namespace assent::daemon {

class Output;

struct LibraryLogLimits {
  std::size_t max_lines_per_second_count = 10;
  std::size_t max_burst_lines_count = 50;
  std::size_t max_library_line_bytes = 512;
};

// How many lines of libraries are let through: a bucket that fills again with time. Any thread.
class LibraryLogMeter {
 public:
  explicit constexpr LibraryLogMeter(LibraryLogLimits limits)
      : limits_(limits), room_(static_cast<double>(limits.max_burst_lines_count)) {}

  // Whether one more may be said at `now`. If so, `left_out` is how many have not been since the
  // last one that was.
  bool Admit(std::chrono::steady_clock::time_point now, std::uint64_t& left_out);
  // How many have not been said, to be said now.
  std::uint64_t TakeLeftOut();

 private:
  const LibraryLogLimits limits_;
  Mutex mutex_;
  double room_ ASSENT_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point filled_at_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t left_out_ ASSENT_GUARDED_BY(mutex_) = 0;
};

// On one line, without what a terminal would obey, and not longer than `max_bytes`.
std::string OneLine(std::string_view said, std::size_t max_bytes);

// One line per event: text, or one JSON object, valid whatever the message holds.
std::unique_ptr<spdlog::formatter> LogFormatter(bool json);

// While it lives the default logger writes to stderr, and the complaints of libraries come out of
// it too, as events.
class Logging {
 public:
  Logging(const std::string& level, bool json);
  // Waits a bounded time for the last lines.
  ~Logging();
  Logging(const Logging&) = delete;
  Logging& operator=(const Logging&) = delete;

  // Says how many lines of libraries were left out. Call about once a second.
  void Tick();
  // A text on stderr that is no event: the last words of a start that failed.
  void Say(const std::string& text);

 private:
  std::shared_ptr<Output> output_;
};

}  // namespace assent::daemon
