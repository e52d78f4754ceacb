#pragma once

// The processes of one measurement: started, watched, stopped. Everything runs on loopback TCP in a folder of its own.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tools/assent-bench/histogram.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {

// What one process used, from /proc, at the end of the measured time.
struct Usage {
  double cpu_seconds = 0;  // user and system
  std::uint64_t peak_kib = 0;
  std::uint64_t written_bytes = 0;  // by write calls, sockets included
};

struct Measurement {
  std::uint64_t committed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;
  std::string first_failure;
  double seconds = 0;
  Histogram latency;
  std::map<std::string, Usage> usage;  // "coordinator", "participants", "initiators"
  double log_records = 0;              // per transaction; 0 for the floor
  double group_size = 0;               // records per commit
  std::uint64_t log_commits = 0;

  double throughput() const {
    return seconds > 0 ? static_cast<double>(committed + aborted) / seconds : 0;
  }
};

// Runs the load once against assentd, or against the floor. `folder` holds the data; empty: a temporary one.
// Ends the program with a message when a process cannot be started.
Measurement Measure(const Load& load, bool floor, const std::string& folder);

}  // namespace assent::bench
