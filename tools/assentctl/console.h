#pragma once

// Everything outside the program but the coordinator: streams, files, clocks. The real one is in
// console.cc, tests have their own.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::ctl {

// The terminal, taken for pages that are drawn again and again, until the end of its life.
class Page {
 public:
  virtual ~Page() = default;
  // A key that is pressed within the time; Ctrl-C is one.
  virtual std::optional<char> ReadKey(std::chrono::milliseconds time) = 0;
  // 0: unknown.
  virtual std::size_t Rows() const = 0;
};

class Console {
 public:
  virtual ~Console() = default;
  // Results, on stdout.
  virtual void Out(std::string_view text) = 0;
  // Progress, prompts and errors, on stderr.
  virtual void Err(std::string_view text) = 0;
  // A line of stdin without its end; nothing at end of file.
  virtual std::optional<std::string> ReadLine() = 0;
  // A whole file; "-" is stdin.
  virtual Result<std::string> ReadFile(const std::string& path) = 0;
  virtual std::int64_t NowUnixMs() = 0;
  // A clock that never jumps, from an arbitrary origin; what waits are counted on.
  virtual std::chrono::milliseconds Uptime() = 0;
  // False: stop instead of going on.
  virtual bool Sleep(std::chrono::milliseconds time) = 0;
  // Of stdin and stdout, which must be a terminal.
  virtual std::unique_ptr<Page> TakePage() = 0;
};

// What is known of the surroundings when the program starts.
struct Surroundings {
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  std::size_t columns = 0;     // of the terminal on stdout; 0: unknown
  bool colors_welcome = true;  // NO_COLOR is unset or empty, and the terminal is not a dumb one
  std::string who;             // user@host
};

// The process's own streams and clocks. Ends the program's use of stdout with FlushOut().
class ProcessConsole final : public Console {
 public:
  void Out(std::string_view text) override;
  void Err(std::string_view text) override;
  std::optional<std::string> ReadLine() override;
  Result<std::string> ReadFile(const std::string& path) override;
  std::int64_t NowUnixMs() override;
  std::chrono::milliseconds Uptime() override;
  bool Sleep(std::chrono::milliseconds time) override;
  std::unique_ptr<Page> TakePage() override;

  // Whether everything written so far has left the process.
  bool FlushOut();
};

Surroundings ProcessSurroundings();

}  // namespace assent::ctl
