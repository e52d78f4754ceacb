#pragma once

// A process that we start, listen to, and stop; and what the kernel says about it.

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/types.h>

namespace assent::bench {

// Ends the program with a message: a measurement without its processes is none.
[[noreturn]] void Die(const std::string& message);

// The folder that this program, and assentd, lie in.
std::string BinFolder();
// A port of loopback that is free now.
std::string FreeAddress();
// The port of "127.0.0.1:4711".
std::uint16_t PortOf(const std::string& endpoint);

// A child whose standard output we read. It dies with us.
class Child {
 public:
  // Its errors go to the end of `error_file`.
  Child(std::vector<std::string> argv, const std::string& error_file);
  ~Child() { Stop(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The next line that contains `text`; ends the program if the child ends before.
  std::string WaitLine(const std::string& text);
  // SIGTERM, then its last line of JSON, or an empty text; SIGKILL after five seconds.
  std::string StopAndRead();
  void Stop() { (void)StopAndRead(); }
  void Kill();     // SIGKILL
  void WaitEnd();  // until it ends by itself
  pid_t pid() const { return pid_; }

 private:
  bool ReadLine(std::string& line);

  std::string name_;
  pid_t pid_ = -1;
  FILE* output_ = nullptr;
};

// Of a child, with SIGTERM blocked: says what it saw, then stays until it is told to go, since what
// it used is read from outside.
void SayAndStay(const nlohmann::json& seen);

// What a process has used so far.
struct Usage {
  double cpu_seconds = 0;  // user and system
  std::uint64_t peak_kib = 0;
  std::uint64_t resident_kib = 0;
  std::uint64_t written_bytes = 0;  // by write calls to files; sockets are not among them
};
Usage UsageOf(pid_t pid);
Usage& operator+=(Usage& sum, const Usage& one);

// What has passed through the loopback sockets whose own end is `port`, or whose other end is one
// of `to`; both directions, as TCP counts it.
struct Traffic {
  std::uint64_t bytes = 0;
  std::uint64_t segments = 0;  // with data
};
Traffic& operator+=(Traffic& sum, const Traffic& one);
Traffic TrafficOf(std::uint16_t port, const std::vector<std::uint16_t>& to);

}  // namespace assent::bench
