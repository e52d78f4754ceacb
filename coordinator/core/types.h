#pragma once

// The words of the protocols, as plain values. Nothing here does anything.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assent::core {

using Millis = std::chrono::milliseconds;
using Micros = std::chrono::microseconds;
// For intervals; never persisted. Microseconds, because attempts report their latency.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Micros>;
// For people and for persisted deadlines.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Millis>;
inline constexpr MonoTime kNever = MonoTime::max();

// What core is told about the moment of an event: it has no clock and no randomness of its own.
struct Now {
  MonoTime mono;
  WallTime wall;
  std::uint64_t entropy = 0;  // one fresh draw per event, used for jitter only
};

using BranchIndex = std::uint16_t;

enum class Protocol : std::uint8_t { kTwoPhase = 1, kTcc = 2, kSaga = 3 };

// kNone: nothing is to be asked (a Saga step has no finishing operation).
enum class Operation : std::uint8_t {
  kNone = 0,
  kPrepare = 1,
  kCommit = 2,
  kRollback = 3,
  kTry = 4,
  kConfirm = 5,
  kCancel = 6,
  kAction = 7,
  kCompensate = 8,
};

// The logged verdict; kNone until there is one. Written once.
enum class Decision : std::uint8_t { kNone = 0, kCommit = 1, kAbort = 2 };

// What the initiator is told. kMixed and kHazard name trouble; the branches say where.
enum class Outcome : std::uint8_t {
  kNone = 0,
  kCommitted = 1,
  kAborted = 2,
  kMixed = 3,
  kHazard = 4
};

// Where a transaction stands.
//
//   kActive ──commit──► kCommitting ──all finished──► kFinished
//      └─────abort────► kAborting   ──all undone────► kFinished
enum class Phase : std::uint8_t { kActive = 1, kCommitting = 2, kAborting = 3, kFinished = 4 };

// Where a branch stands; the legal moves are in protocol.h.
enum class BranchState : std::uint8_t {
  kWaiting = 1,    // not started
  kExecuting = 2,  // PREPARE, TRY or ACTION is due or on its way
  kExecuted = 3,   // it succeeded
  kReadOnly = 4,   // it succeeded, wrote nothing, and is out of phase two; final
  kRefused = 5,    // it said no; final
  kFinishing = 6,  // COMMIT or CONFIRM is due or on its way
  kDone = 7,       // final
  kUndoing = 8,    // ROLLBACK, CANCEL or COMPENSATE is due or on its way
  kUndone = 9,     // final
  kSkipped = 10,   // never ran and never will; final
};

enum class Ordering : std::uint8_t { kDefault = 0, kSequential = 1, kDeclared = 2 };

std::string_view Name(Protocol protocol);    // "2pc"
std::string_view Name(Operation operation);  // "PREPARE"
std::string_view Name(Decision decision);    // "commit"
std::string_view Name(Outcome outcome);      // "COMMITTED"
std::string_view Name(Phase phase);          // "ACTIVE"
std::string_view Name(BranchState state);    // "EXECUTED"

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
};

// What became of one attempt. The numbers are those of assent.v1.Attempt.Result.
enum class AttemptResult : std::uint8_t {
  kInFlight = 1,
  kDone = 2,
  kDoneReadOnly = 3,
  kRefused = 4,
  kRetryLater = 5,
  kUnknown = 6,
  kNotSent = 7,
};
std::string_view Name(AttemptResult result);  // "DONE"

struct Attempt {
  Operation operation = Operation::kNone;
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
