#pragma once

// Everything that a seed draws before the first event: how large the world is, how fast, and how it
// misbehaves. Swarm testing (A. Groce and others, 2012): most schedules leave most faults out, so
// that the rest can go far.

#include <cstdint>
#include <string>

namespace assent::sim {

// Simulated microseconds since the beginning of the schedule.
using Time = std::int64_t;
inline constexpr Time kMillisecond = 1000;
inline constexpr Time kSecond = 1000 * kMillisecond;
inline constexpr Time kHour = 3600 * kSecond;

enum class Workload : std::uint8_t { kTransfers, kTokens, kOrders };

struct Options {
  std::uint64_t seed = 0;

  // Sizes.
  Workload workload = Workload::kTransfers;
  std::uint32_t transactions = 2;
  std::uint32_t services = 2;
  std::uint32_t max_branches = 3;
  std::uint32_t accounts = 2;  // per service
  std::uint32_t shards = 1;
  std::uint32_t protocols = 7;  // bit 0: two-phase, bit 1: TCC, bit 2: Saga
  std::uint32_t unary_services = 0;
  std::uint32_t router_in_flight = 0;  // per session; 0: the default
  std::uint32_t router_queue = 0;      // commands queued per service; 0: the default

  // Permille, by transaction or branch.
  std::uint32_t interactive = 0;
  std::uint32_t single_branch = 0;
  std::uint32_t pivot = 0;
  std::uint32_t check_back = 0;  // of pivots that come first
  std::uint32_t declared_order = 0;
  std::uint32_t refuse = 0;
  std::uint32_t read_only = 0;
  std::uint32_t retry_later = 0;        // per execution
  std::uint32_t refuse_second = 0;      // phase two refused, per execution, until the world heals
  std::uint32_t scarce = 0;             // accounts too small for all
  std::uint32_t bounded_attempts = 0;   // max_attempts given
  std::uint32_t initiator_retries = 0;  // repeats although it was answered
  std::uint32_t initiator_vanishes = 0;
  std::uint32_t other_content = 0;

  // How long things take, in microseconds.
  Time net_max = 500;
  Time turn_max = 50;
  Time log_write_max = 50;
  Time log_sync_max = 300;
  Time group_max = 200;
  Time commit_max = 300;
  Time window = 50 * kMillisecond;  // how long the world misbehaves
  Time restart_max = 20 * kMillisecond;
  Time deadline = 2 * kSecond;
  Time attempt_timeout = 200 * kMillisecond;
  Time backoff = 5 * kMillisecond;
  Time max_backoff = 200 * kMillisecond;
  Time question_interval = kSecond;
  Time hub_tick = kSecond;
  Time keepalive = kSecond;  // until a side that was not told notices that its stream is dead

  // Faults: how many of each within the window, and how likely per message.
  std::uint32_t coordinator_deaths = 0;
  std::uint32_t participant_deaths = 0;
  std::uint32_t session_cuts = 0;
  std::uint32_t partitions = 0;
  std::uint32_t pauses = 0;
  std::uint32_t wall_jumps = 0;
  std::uint32_t log_full_spells = 0;
  std::uint32_t log_sync_failures = 0;
  std::uint32_t participant_full_spells = 0;
  std::uint32_t operator_acts = 0;
  std::uint32_t lie = 0;             // permille, per reply
  std::uint32_t slow_call = 0;       // permille: an execution that takes as long as the window
  std::uint32_t commit_unknown = 0;  // permille, per group
  std::uint32_t unary_loss = 0;
  std::uint32_t unary_words = 0;  // words in place of an answer
  std::uint32_t unary_duplicate = 0;
  std::uint32_t unary_hours = 0;   // permille: delayed by up to three hours
  std::uint32_t power_loss = 500;  // permille of coordinator deaths
  bool dead_service = false;  // one service never comes back: a named excuse for its transactions
  bool retire_rows = false;   // participants remove old barrier rows
  std::uint32_t participant_stops = 0;  // stands still, reads and answers nothing, and goes on
  bool restores = false;                // an older copy of the log is put back
  Time retention = 0;                   // finished transactions are kept for so long; 0: for ever
  std::uint32_t wall_leaps =
      0;  // the wall clock is ahead, or behind, by more than that, for a moment
  std::uint32_t lost_wals =
      0;  // the coordinator dies, and the log's WAL is gone until somebody finds it
  std::uint32_t taken_gids =
      0;  // a finished transaction turns out to have the gid of an unfinished one

  // How it treats its services, drawn from this; 0: nobody starts slowly, and nobody is left alone.
  std::uint32_t policies = 0;

  // Limits of the coordinator; 0: the default.
  std::uint32_t max_live = 0;   // transactions
  std::uint32_t log_queue = 0;  // entries
  Time lazy_write = 0;          // how long a record that gates nothing may wait

  // Several coordinators over one store.
  std::uint32_t coordinators = 1;
  std::uint32_t slots = 1;
  Time lease = kSecond;
  Time lock_timeout = 100 * kMillisecond;
  bool asynchronous = false;       // the standby is not waited for
  std::uint32_t store_cut = 0;     // permille, per request: its connection breaks around it
  std::uint32_t store_cuts = 0;    // all connections of one coordinator at once
  std::uint32_t store_blocks = 0;  // nothing passes between one coordinator and the store
  std::uint32_t store_outages = 0;
  std::uint32_t fail_overs = 0;
  std::uint32_t cancelled_waits = 0;  // for the standby, by a person
  std::uint32_t peer_blocks = 0;      // nothing passes between two coordinators
  std::uint32_t drains = 0;
  std::uint32_t moves = 0;           // a person moves a slot
  std::uint32_t old_rows = 0;        // of finished transactions, which come of age meanwhile
  std::uint32_t forward_cut = 0;     // permille: it is carried out, and its answer lost on the way
  std::uint32_t standby_gones = 0;   // for a while; who waits for it waits
  std::int64_t clocks_apart = 0;     // hours, from each coordinator to the next
  std::uint32_t unreached = 0;       // a participant reaches all coordinators but one
  std::uint32_t slot_damages = 0;    // a row of a slot cannot be read, until it is mended
  std::uint32_t store_restores = 0;  // an older state of the store is put back
  std::uint32_t all_die = 0;         // coordinators, at once

  bool business_checks = true;  // off: to show that a bug is found by nothing else

  bool faultless() const;
  std::string Describe() const;
};

// A schedule in a small world, thousands a second; otherwise a larger one.
enum class Form : std::uint8_t { kLite, kFull };
// `coordinators` 0: mostly one, sometimes several.
Options Draw(std::uint64_t seed, Form form, std::uint32_t coordinators = 0);

}  // namespace assent::sim
