#pragma once

// What the rooms know at one moment. Plain values.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/types.h"
#include "coordinator/engine/engine.h"
#include "coordinator/log/log.h"
#include "coordinator/transport/dispatcher.h"

namespace assent::metrics {

// Services that are shown because something waits for them.
inline constexpr std::size_t kMaxWaitedServicesCount = 100;

// What the operating system knows of this process.
struct Process {
  double cpu_seconds = 0;
  double started_unix_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_files = 0;
  std::uint64_t max_files = 0;
  std::uint64_t threads = 0;
};
Process ReadProcess();

// Events for people; all of them 0 without a receiver.
struct Webhook {
  std::uint64_t delivered = 0;
  std::uint64_t given_up = 0;
  std::uint64_t dropped = 0;
  std::uint64_t failed_tries = 0;
  std::uint64_t queued = 0;
};

// Spans; all of them 0 without a collector.
struct Tracing {
  std::uint64_t exported = 0;
  std::uint64_t queue_full = 0;
  std::uint64_t rejected = 0;
  std::uint64_t gave_up = 0;
  std::uint64_t failed_tries = 0;
  std::uint64_t queued = 0;
};

// Of rows of the log, as of the last whole walk over them.
struct Sealed {
  std::map<std::string, std::uint64_t> rows{};  // by key
  bool walking = false;
  std::uint64_t sealed_anew = 0;
  std::uint64_t unopened = 0;
};

// Of what is there when a start is done.
struct Served {
  engine::ShardStats shards{};
  log::Stats log{};
  std::vector<transport::ServiceFigures> services{};
  std::vector<engine::WaitingFor> waiting{};
  transport::DispatcherCounters dispatched{};
  std::uint64_t sessions = 0;
  std::uint64_t calls = 0;  // under way
  std::uint64_t pages = 0;
  std::uint64_t streams = 0;
  std::uint64_t unread_bytes = 0;
  std::uint64_t slots = 0;
  std::uint64_t members = 1;  // of the cluster, this one among them
  double recovery_seconds = 0;
  std::uint64_t recovered = 0;  // unfinished transactions that the start has found
  bool refusing = false;
  Webhook webhook{};
  Tracing tracing{};
  Sealed sealed{};
};

// When the first certificate expires of those that are served, or that others are held to.
struct Certificates {
  std::optional<std::chrono::system_clock::time_point> server{};      // none: there is no TLS
  std::optional<std::chrono::system_clock::time_point> client_ca{};   // none: nobody is asked
  std::optional<std::chrono::system_clock::time_point> webhook_ca{};  // none: there is no such file
  std::optional<std::chrono::system_clock::time_point> trace_ca{};    // likewise
};

// Who has shown what is none, or asked for what it may not.
struct Refused {
  std::uint64_t bad_tokens = 0;
  std::uint64_t bad_jwts = 0;
  std::uint64_t expired = 0;
  std::uint64_t denied = 0;
  std::uint64_t barred = 0;
  std::uint64_t barred_addresses = 0;  // now
};

// What was refused because one identity had as much as its rules allow: all identities together.
struct Limited {
  std::uint64_t requests = 0;
  std::uint64_t calls = 0;
  std::uint64_t streams = 0;
  std::uint64_t sessions = 0;
  std::uint64_t transactions = 0;
  std::uint64_t bytes = 0;  // of transactions
};

struct Snapshot {
  std::string version{};
  core::WallTime now{};
  Process process{};
  std::uint64_t http_connections = 0;
  std::map<unsigned, std::uint64_t> http_answers{};  // by code
  Certificates certificates{};
  Refused refused{};
  Limited limited{};
  const Served* served = nullptr;  // nullptr: it is starting
};

}  // namespace assent::metrics
