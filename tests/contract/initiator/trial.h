#pragma once

// One run of an initiator's command against a script, and what it concluded. One thread.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/initiator/script.h"
#include "tests/contract/verdict.h"

namespace assent::contract {

struct InitiatorOptions {
  std::string listen;
  std::string start;
  std::vector<std::string> rules;  // empty: all
  std::string output_file;
  std::chrono::milliseconds patience;
};

class Trial {
 public:
  Trial(const InitiatorOptions& options, std::string rule, Findings& findings)
      : give_up(options.patience), options_(options), rule_(std::move(rule)), findings_(findings) {}
  ~Trial();

  // Before Run.
  std::string call = "submit";  // ASSENT_CONTRACT_CALL: "submit", "stream", "interactive"
  // ASSENT_CONTRACT_GIVE_UP_MS.
  std::chrono::milliseconds give_up;
  Script script = [](const Visit&) { return Reaction{}; };
  // A transaction to be asked for, and what may be concluded of it: some of "committed", "aborted",
  // "failed", "unknown", "not-begun".
  std::string Gid(std::set<std::string> conclusions);
  // Makes the members, and starts them.
  bool Listen(std::size_t members = 1);

  Book& book() { return book_; }
  ScriptedCluster& cluster() { return *cluster_; }
  std::chrono::milliseconds patience() const { return options_.patience; }
  Findings& findings() { return findings_; }

  // Runs the command to its end; `meanwhile` beside it, on this thread. Then looks at what it
  // concluded, and whether it is so.
  void Run(const std::function<void()>& meanwhile = {});
  // In `meanwhile`.
  bool WaitFor(const std::function<bool()>& condition);

 private:
  void Look(const std::string& output);

  const InitiatorOptions& options_;
  const std::string rule_;
  Findings& findings_;
  Book book_;
  std::unique_ptr<ScriptedCluster> cluster_;
  std::vector<std::pair<std::string, std::set<std::string>>> gids_;
};

}  // namespace assent::contract
