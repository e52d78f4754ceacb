#pragma once

// What the HTTP port takes and how long it waits, each with its unit last in its name.
// docs/limits.md lists them, tests/http steps over them.

#include <cstddef>
#include <cstdint>

namespace assent::http {

// Of a request, from its first line to the empty one.
inline constexpr std::size_t kMaxHeaderBytes = 16 * 1024;
inline constexpr std::size_t kMaxTargetBytes = 8 * 1024;
// What the largest requests take, their payloads in base64: a whole transaction, a branch, any
// other one.
inline constexpr std::size_t kMaxBodyBytes = 6 * 1024 * 1024;
inline constexpr std::size_t kMaxBranchBodyBytes = 2 * 1024 * 1024;
inline constexpr std::size_t kMaxOtherBodyBytes = 64 * 1024;
// Of a list in a request that has no limit of the wire.
inline constexpr std::size_t kMaxListedCount = 1000;
// Bodies that are coming in, together; smaller ones than the second are covered by the number of
// connections.
inline constexpr std::size_t kMaxAllBodiesBytes = 256 * 1024 * 1024;
inline constexpr std::size_t kUncountedBodyBytes = 16 * 1024;
// What is larger is read, or made into JSON, where it holds up nobody's health check.
inline constexpr std::size_t kLargeBytes = 32 * 1024;

inline constexpr std::int64_t kMaxHandshakeMs = 10'000;  // of TLS, from the connection on
inline constexpr std::int64_t kMaxIdleMs = 75'000;       // between two requests of a connection
inline constexpr std::int64_t kMaxHeaderMs = 10'000;     // from the first byte of a request
inline constexpr std::int64_t kMaxBodyMs = 60'000;
inline constexpr std::int64_t kMaxWriteMs = 30'000;  // without any byte of an answer being taken
inline constexpr std::int64_t kMaxLingerMs = 1'000;  // after the last answer of a connection
inline constexpr std::int64_t kMaxWaitMs = 3'600'000;
// Without `timeout_ms`: who only looks, and a deed that is over when it is on record.
inline constexpr std::int64_t kMaxLookMs = 5'000;
inline constexpr std::int64_t kMaxDeedMs = 30'000;
inline constexpr std::int64_t kHeartbeatMs = 15'000;  // of an event stream on which nothing happens

// How long a browser that came by TLS comes so alone.
inline constexpr std::int64_t kAlwaysTlsSeconds = 30 * 86'400;

// A write to the log that /readyz asks for; a younger answer is told to others as well.
inline constexpr std::int64_t kMaxLogWriteMs = 2'000;
inline constexpr std::int64_t kLogWriteAgeMs = 1'000;

// What `Retry-After` says.
inline constexpr std::int64_t kRetryAfterSeconds = 1;
// Connections beyond the limit that are told so; more are closed without a word.
inline constexpr std::size_t kMaxRefusedConnectionsCount = 64;
inline constexpr std::size_t kHttpThreadsCount = 2;
// Between two looks what is late, and who has left while it waits.
inline constexpr std::int64_t kClockMs = 250;

}  // namespace assent::http
