#pragma once

// The processes of one measurement: started, watched, stopped. Everything runs on loopback TCP in a
// folder of its own.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/assent-bench/child.h"
#include "tools/assent-bench/histogram.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {

enum class Kind { kEngine, kFloor };

struct Measurement {
  std::uint64_t committed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;
  std::uint64_t refused = 0;  // for want of room; not among the failed
  std::string first_failure;
  double seconds = 0;
  Histogram latency;          // of those that were accepted
  Histogram refusal;          // how long a refusal took
  double longest_gap_ms = 0;  // between two transactions that ended

  // "participants", "initiators", "postgresql" if it is on this machine, and "coordinator"; or
  // "coordinator 1" and so on, if there are several.
  std::map<std::string, Usage> usage;
  std::uint64_t peak_kib_each = 0;  // of the largest participant or initiator
  // Within the measured time, for each transaction that ended.
  double tcp_bytes = 0;
  double tcp_segments = 0;
  double log_records = 0;
  double log_commits = 0;
  double group_size = 0;  // records per commit
  std::uint64_t commits = 0;
  std::uint64_t ended = 0;  // transactions of the whole run
  // Over the whole run, for each transaction that ended.
  double messages = 0;                     // commands and their replies, requests and their replies
  std::map<std::string, double> syscalls;  // of the coordinator, when counted
  std::uint64_t checkpoints = 0;           // of the log, within the measured time
  std::uint64_t file_bytes = 0;            // of the coordinator's folder, at most
  double local_group = 0;                  // order: operations per local commit

  Usage coordinators() const {
    Usage sum;
    for (const auto& [name, one] : usage) {
      if (name.starts_with("coordinator")) sum += one;
    }
    return sum;
  }
  double throughput() const {
    return seconds > 0 ? static_cast<double>(committed + aborted) / seconds : 0;
  }
};

// Runs the load once against assentd, or against the floor. `folder` holds the data; empty: a
// temporary one, removed afterwards unless something failed. Ends the program with a message when a
// process cannot be started.
Measurement Measure(const Load& load, Kind kind, const std::string& folder);

// A folder that goes with its owner.
class Folder {
 public:
  explicit Folder(const std::string& wanted);
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }
  void Keep() { temporary_ = false; }

 private:
  std::string path_;
  bool temporary_ = false;
};

// The command line of assentd over `folder`.
std::vector<std::string> DaemonCommand(const Load& load, const std::string& folder);
// Waits for its card, and gives the endpoint; or the address of its HTTP port, which stands below.
std::string WaitListening(Child& coordinator, const char* line = "listening");

// Until so many coordinators have their share of the log. Ends the program if they do not get it.
void WaitShared(const std::string& endpoint, int coordinators, const std::string& tls_folder);

// What the coordinator says of itself, and of those with which it shares the log; keeps its
// connection.
struct ServerInfo {
  std::uint64_t begun = 0;
  std::uint64_t active = 0;
  std::uint64_t retained = 0;
  std::uint64_t records = 0;
  std::uint64_t commits = 0;
};
class Asker {
 public:
  explicit Asker(const std::string& endpoint, const std::string& tls_folder = "");
  ~Asker();
  ServerInfo Ask() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// On a terminal: "title, 3 of 10 s", overwritten; to be called now and then.
void ShowProgress(const std::string& title, double seconds, double of_seconds);
void EndProgress();

}  // namespace assent::bench
