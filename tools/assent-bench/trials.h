#pragma once

// Measurements that are not a load: each starts its own processes, prints what it found, and
// returns the exit code.

#include <cstdint>
#include <string>

#include "tools/assent-bench/options.h"

namespace assent::bench {

// The coordinator's processor time over load.seconds with so many silent sessions.
int Idle(const Load& load, int sessions, bool json);

// Begins `transactions` transactions whose participants never answer, says what each takes in the
// coordinator's memory, kills it with SIGKILL, and starts it again three times, beside SQLite
// reading the same rows.
int HoldAndRestart(const Load& load, std::uint64_t transactions, const std::string& folder,
                   bool json);

// Two coordinators with the same healthy load, in turn, `rounds` times; at one of them
// `transactions` wait for a participant that is not there. What those do to the others, and what it
// costs to list them.
int BesideAbsent(const Load& load, std::uint64_t transactions, int rounds, bool json);

// A healthy load beside `transactions` that wait for a participant that is not there, with /metrics
// asked for ten times a second and without, in turn, `rounds` times: how long a page takes, and
// what that does to the load.
int Scrape(const Load& load, std::uint64_t transactions, int rounds, bool json);

// `load.count` transactions published into SQLite and relayed, and as many submitted directly and
// accepted, in turn, `rounds` times.
int BesideOutbox(const Load& load, int rounds, bool json);

// `load.count` transactions wait for a service, which comes: with the policy that begins it small,
// and without, in turn, `rounds` times.
int ReturnOfMany(const Load& load, int rounds, bool json);

// Appends finished transactions to the log in `folder`/data through the log's own interface, in
// large groups.
int Fill(const Load& load, std::uint64_t transactions, const std::string& folder, bool json);

// Groups of 1, 32 and 128 rows into load.log, with the fence and without it, load.seconds for each
// size, `rounds` times behind one that does not count.
int Append(const Load& load, int rounds, bool json);

}  // namespace assent::bench
