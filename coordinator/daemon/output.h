#pragma once

// Lines on their way to a descriptor that may be slow, full, or never read. Who says something
// never waits for it: a line is queued, and a thread of its own writes. What finds no room is
// dropped and counted, and the count is said as soon as there is room again.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include <assent/thread_safety.h>

namespace assent::daemon {

struct OutputOptions {
  // What waits to be written; beyond either, lines are dropped.
  std::size_t max_queued_lines_count = 8192;
  std::size_t max_queued_line_bytes = 1024 * 1024;
  // How long the end, or a Flush, waits for a reader.
  std::chrono::milliseconds patience{500};
};

class Output {
 public:
  // The line that says how many are missing. Called by any thread; must not write to this output.
  using Notice = std::function<std::string(std::uint64_t dropped)>;

  // `fd` outlives this, stays open, and is not made non-blocking: others may share what is behind
  // it.
  Output(int fd, OutputOptions options, Notice notice);
  // Waits for what is queued, at most for `patience`.
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Queues a line, with its '\n'. Never blocks on the descriptor. Any thread.
  void Put(std::string_view line);
  // Returns when all that was put before is written, or after `patience`.
  void Flush();

 private:
  void Run();
  bool Write(std::string_view text);
  void Queue(std::string line) ASSENT_REQUIRES(mutex_);
  // Where lines are missing, a line says so.
  void TakeNotice() ASSENT_REQUIRES(mutex_);

  const OutputOptions options_;
  const Notice notice_;
  int fd_ = -1;  // to write to; a description of our own where that is possible
  bool own_fd_ = false;
  bool is_socket_ = false;

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> lines_ ASSENT_GUARDED_BY(mutex_);
  std::size_t queued_bytes_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t dropped_ ASSENT_GUARDED_BY(mutex_) = 0;  // not said yet
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;
  // Once stopping_.
  std::chrono::steady_clock::time_point give_up_at_ ASSENT_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace assent::daemon
