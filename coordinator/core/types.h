#pragma once

// The words of the protocols, as plain values. Nothing here does anything.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/operation.h>
#include <assent/states.h>
#include <assent/trace.h>

namespace assent::core {

using Millis = std::chrono::milliseconds;
using Micros = std::chrono::microseconds;
// For intervals; never persisted. Microseconds, because attempts report their latency.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Micros>;
// For people and for persisted deadlines.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Millis>;
inline constexpr MonoTime kNever = MonoTime::max();
// Of a store (log.h): nothing that it acknowledged can be missing.
inline constexpr std::uint64_t kFirstStoreGeneration = 1;

// What core is told about the moment of an event: it has no clock and no randomness of its own.
struct Now {
  MonoTime mono;
  WallTime wall;
  std::uint64_t entropy = 0;  // one fresh draw per event, used for jitter only
};

using BranchIndex = std::uint16_t;

// The words that the wire and the SDK share; a branch's legal moves are in protocol.h.
using assent::AttemptResult;
using assent::BranchState;
using assent::Decision;
using assent::IsFinal;
using assent::Name;
using assent::Operation;
using assent::Ordering;
using assent::Outcome;
using assent::Protocol;
using Phase = assent::TransactionState;

using StringPairs = std::vector<std::pair<std::string, std::string>>;

struct RetryPolicy {
  Millis initial_backoff{0};
  Millis max_backoff{0};
  std::uint32_t max_attempts = 0;  // of the forward operation; 0: until the deadline
};

// One participant's part, as asked for. Immutable once normalised (spec.h).
struct BranchSpec {
  std::string id;
  Protocol protocol = Protocol::kTcc;
  std::string service;
  std::string action;
  std::string payload;
  std::vector<BranchIndex> after;
  bool pivot = false;
  // Of a pivot: the initiator's own local transaction, which is only asked about. It may have
  // committed at any moment since the acceptance.
  bool check_back = false;
  bool receive_results = false;
  RetryPolicy retry;
  Millis attempt_timeout{0};
  StringPairs headers;
  // Input to Normalise only: `after` by id. Emptied by it.
  std::vector<std::string> after_ids;
};

struct TransactionSpec {
  std::string gid;
  std::vector<BranchSpec> branches;
  Ordering ordering = Ordering::kDefault;
  Millis deadline{0};
  StringPairs labels;
  // Branches come one by one, until Seal.
  bool open = false;
  // Of the request that began it, not of what was asked: who asks for the same again may come with
  // another, or none. nullptr: none.
  std::shared_ptr<const TraceContext> trace{};
  // Likewise: who is proven to have begun it. nullptr: nobody had to.
  std::shared_ptr<const std::string> initiator{};
};

struct Attempt {
  Operation operation = kNoOperation;
  std::uint32_t number = 0;
  WallTime started;
  Micros latency{0};
  AttemptResult result = AttemptResult::kInFlight;
  std::string error;
};

// What a person did.
struct Intervention {
  WallTime at;
  std::string verb;
  std::string branch_id;
  std::string who;
  std::string reason;
};

}  // namespace assent::core
