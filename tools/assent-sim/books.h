#pragma once

// What really happened, seen from outside: what each participant's database holds, what is on the
// coordinator's disk, and who was told what. The simulator writes it down; the invariants read
// it; no code under test ever does.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/transaction.h"
#include "tools/assent-sim/options.h"

namespace assent::sim {

// What one branch is meant to do.
struct BranchPlan {
  core::Protocol protocol = core::Protocol::kTcc;
  std::uint32_t service = 0;
  std::uint32_t account = 0;
  std::int64_t amount = 0;  // what is taken from the account; negative: given to it
  bool refuse = false;
  bool read_only = false;
  bool pivot = false;
  bool check_back = false;     // of a pivot: its initiator does it by itself, if it does
  bool cannot_refuse = false;  // it may come after the pivot
  std::string payload;
};

enum class InitiatorForm : std::uint8_t { kSubmit, kInteractive };

struct TransactionPlan {
  std::string gid;
  core::TransactionSpec spec;           // what is submitted, or begun
  std::vector<core::BranchSpec> added;  // kInteractive: added one by one
  std::vector<BranchPlan> branches;
  InitiatorForm form = InitiatorForm::kSubmit;
  bool rolls_back = false;  // kInteractive, and what is checked back
  // What is checked back: from the acceptance to the local commit, and from when it was asked for
  // to the moment from which on who is asked says no.
  Time commits_after = 0;
  Time patience = 0;
  bool vanishes = false;
  bool repeats = false;
  bool other_content = false;
  Time starts_at = 0;

  bool checks_back() const { return !branches.empty() && branches[0].check_back; }
};

struct BranchBooks {
  // What it comes after, by the durable list of branches.
  std::vector<core::BranchIndex> after;
  // Durable in the participant's database.
  std::uint32_t forward = 0;  // how often its business effect happened
  std::uint32_t finish = 0;
  std::uint32_t undo = 0;
  bool read_only = false;
  bool refused = false;
  bool tombstone = false;
  bool holds = false;  // prepared or frozen
  std::uint64_t undo_order = 0;
  std::string result;     // of the first answer to the forward operation
  bool answered = false;  // that answer exists
  bool answered_twice_differently = false;
  bool acked_undurable = false;
  bool said_later = false;  // answered the forward operation "retry later"
  // In which it got into the durable list; by the serial of the row.
  std::map<std::uint64_t, std::uint64_t> listed_epochs;
  // Declared by a person.
  core::Decision resolved = core::Decision::kNone;
  // Of the last command sent to it.
  core::Operation last_sent = kNoOperation;
  Time last_sent_at = 0;
  std::uint64_t last_sent_life = 0;
  std::uint32_t last_attempt = 0;
  Time last_timeout = 0;
  std::uint32_t hasty = 0;  // sends closer to the one before than any backoff allows
};

struct TransactionBooks {
  const TransactionPlan* plan = nullptr;
  std::vector<BranchBooks> branches;
  // Heard by anybody outside: an initiator, a participant.
  bool heard_commit = false;
  bool heard_abort = false;
  // Ever durable.
  bool begun = false;
  std::size_t listed = 0;  // branches in the durable list
  Time asked_at = -1;      // when its initiator first asked for it
  bool recovered = false;  // a start that did not begin it has had it
  bool commit_durable = false;
  bool abort_durable = false;
  bool ended = false;
  core::Outcome outcome = core::Outcome::kUndecided;  // as recorded with the end
  bool forgotten = false;
  // An older copy of the log was put back, and had missed something of this: what it does from
  // there on is what the copy knew, and a person has to look. Only the rules marked in
  // invariants.cc still hold.
  bool restored = false;
  // ... and somebody had been told that it is committed, of which the copy knows nothing yet: only
  // a person may undo it.
  bool told_and_missed = false;
  // A person intervened in a way that may break atomicity, and says so.
  bool by_hand = false;
  bool hazard_seen = false;
  // Reasons for a send before its backoff was over.
  std::uint32_t wakers = 0;
  // The row that is durable at this instant, decoded; empty when there is none.
  std::uint64_t serial = 0;
  std::uint64_t durable_version = 0;
  std::optional<core::Transaction> durable;
  Time ended_at = 0;
  // A finished transaction has its gid: it cannot be filed as one, and its row stays where it is.
  bool collided = false;
  bool gid_taken = false;  // ... and until it gets there
  // An older transaction was said to wait for what this one has prepared: it may have had to give
  // way.
  bool in_the_way = false;
  bool touched = false;

  bool unfinished() const { return durable.has_value() && !(collided && durable->finished()); }
};

}  // namespace assent::sim
