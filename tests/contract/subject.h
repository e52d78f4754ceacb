#pragma once

// The command that is held to the contract, as a process: started, killed, started again. A shell
// runs it, in a process group of its own, all of which is killed, so that a wrapper (npm, mvn,
// docker run) leaves nobody behind. One thread.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <assent/status.h>

#include "tests/support/process.h"

namespace assent::contract {

class Subject {
 public:
  // An empty command: somebody else runs it, and nothing here can start or kill it.
  // `output_file` empty: what it writes can be read with Output() and is lost at the end.
  Subject(std::string command, std::map<std::string, std::string> env, std::string output_file);
  ~Subject();
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  bool ours() const { return !command_.empty(); }
  // How often it was started; the environment variable ASSENT_CONTRACT_START of the process says
  // the same.
  int starts() const { return starts_; }
  // Starts it if it does not run.
  Status Start();
  bool Running();
  void Kill();
  void Terminate();
  // The exit code; empty: it still runs.
  std::optional<int> WaitForExit(std::chrono::milliseconds timeout);
  // What it has written since the last start.
  std::string Output() const;
  // Set for the next Start.
  void SetEnv(const std::string& name, const std::string& value) { env_[name] = value; }

 private:
  void KillGroup();

  const std::string command_;
  std::map<std::string, std::string> env_;
  const std::string output_file_;
  std::unique_ptr<test::Process> process_;
  pid_t group_ = -1;
  int starts_ = 0;
};

}  // namespace assent::contract
