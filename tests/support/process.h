#pragma once

// Real processes for integration and crash tests: start, wait for a line, stop, kill -9, look at
// what they wrote.
//
//   TempDir dir;
//   Process daemon({.argv = {BinDir() + "/assentd", "--listen", endpoint, "--data", dir.path()}});
//   ASSERT_TRUE(daemon.Start().ok());
//   ASSERT_TRUE(daemon.WaitForOutput("ready", 10s)) << daemon.Output();
//   daemon.Kill();                                   // kill -9, reaped on return
//   ASSERT_TRUE(daemon.Start().ok());                // the same command again
//
// A process dies with the thread that started it (PR_SET_PDEATHSIG), so a crashed or timed-out test
// leaves nothing behind: start from the test's own thread, or from one that lives as long. Nothing
// here is thread-safe but Kill, which a killer thread may call while another one waits for the
// test's work; Start and the waits belong to one thread at a time.

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::test {

struct ProcessOptions {
  std::vector<std::string> argv = {};           // argv[0]: a path, or a name looked up in PATH
  std::map<std::string, std::string> env = {};  // added to this process's own
  std::string directory = {};                   // working directory; empty: this one's
  // Where stdout and stderr go, appended over restarts. Empty: a file of its own, removed with the
  // Process.
  std::string output_file = {};
};

class Process {
 public:
  explicit Process(ProcessOptions options);
  // kill -9, if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Starts it (again). kFailedPrecondition: it runs. A program that cannot be executed is seen as
  // exit code 127.
  Status Start();
  // Changes the command line of the next Start.
  void SetArgv(std::vector<std::string> argv) { options_.argv = std::move(argv); }

  // Sends a signal; false when nothing runs.
  bool Signal(int signal_number);
  // kill -9; returns when the process is gone. Also of a stopped one.
  void Kill();
  // SIGTERM, then waits; kill -9 when it takes longer. The exit code, as from WaitForExit.
  std::optional<int> Stop(std::chrono::milliseconds timeout = std::chrono::seconds(15));

  // The exit code, or 128 + the signal that ended it; empty when it still runs at the end of the
  // time.
  std::optional<int> WaitForExit(std::chrono::milliseconds timeout);
  // Until the process is stopped by SIGSTOP (its own or ours). False: it ended, or did not stop in
  // time.
  bool WaitStopped(std::chrono::milliseconds timeout);
  bool Running();
  pid_t pid() const;

  // Everything written since the last Start; since the first with `all`.
  std::string Output(bool all = false) const;
  // Until Output() contains `text`. False: the process ended without, or did not write it in time.
  bool WaitForOutput(std::string_view text, std::chrono::milliseconds timeout);

 private:
  // Takes one change of state, if there is one (or when there is one, without WNOHANG).
  void Reap(int flags) ASSENT_REQUIRES(mutex_);

  ProcessOptions options_;
  bool own_output_ = false;
  std::int64_t output_begin_ = 0;
  mutable Mutex mutex_;
  pid_t pid_ ASSENT_GUARDED_BY(mutex_) = -1;  // -1: nothing runs
  bool stopped_ ASSENT_GUARDED_BY(mutex_) = false;
  std::optional<int> exit_code_ ASSENT_GUARDED_BY(mutex_);
};

// What a program that ran to its end left behind.
struct Finished {
  std::optional<int> exit_code;  // empty: killed at the end of the time
  std::string output;            // stdout and stderr
  double seconds = 0;
};
Finished RunToEnd(ProcessOptions options, std::chrono::milliseconds timeout);

// A directory that goes away with its owner (kept, and its name printed, when ASSENT_KEEP is set).
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

// A random TCP port of 127.0.0.1 that nobody uses now and the kernel gives to nobody by itself, for
// programs that must come back to the same one. Programs that need not should listen on port 0.
std::uint16_t FreePort();

// Looks every few milliseconds until `condition` holds or the time is over; the condition's last
// value.
bool WaitUntil(const std::function<bool()>& condition, std::chrono::milliseconds timeout);

// build/<preset>/bin and the root of the sources: from ASSENT_BIN_DIR and ASSENT_SOURCE_DIR, which
// ctest sets, or from where the test's own binary lies.
std::string BinDir();
std::string SourceDir();

}  // namespace assent::test
