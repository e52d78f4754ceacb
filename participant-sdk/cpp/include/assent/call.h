#pragma once

// What a participant is asked and what it answers. Plain values: no gRPC, no protobuf.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include <assent/operation.h>

namespace assent {

const char* OperationName(Operation operation);  // "PREPARE", …
const char* ProtocolName(Protocol protocol);     // "2pc", "tcc", "saga"

// One operation asked of one branch. The same (gid, branch_id, operation) may be asked again.
struct Call {
  std::string gid;
  std::string branch_id;
  Operation operation = Operation::kAction;
  Protocol protocol = Protocol::kSaga;
  std::string service;
  std::string action;
  std::string payload;  // the initiator's bytes, the same for each operation of the branch
  std::map<std::string, std::string> results;  // by branch id, of the branches this one comes after
  std::map<std::string, std::string> headers;
  std::uint32_t attempt = 1;  // for logs; never decide anything by it
  // PREPARE only: sole branch of its transaction; prepare and commit in one local transaction.
  bool one_phase = false;
  std::chrono::milliseconds timeout{0};  // how long the coordinator waits for the reply
  // Kept beside prepared work, handed back when asking for the outcome.
  std::uint32_t coordinator_id = 0;
  std::uint64_t began_epoch = 0;
  std::int64_t began_unix_ms = 0;  // the transaction's age, for comparing only; 0: not known
  // W3C Trace Context: what the handler does belongs under this span. Hand both to a tracing
  // library, to other services, and to a Transaction that the handler begins (Trace). Empty: none.
  std::string traceparent = {};
  std::string tracestate = {};
};

// The answer to a Call. kDone promises that the effect is durable.
struct Reply {
  using Kind = ReplyKind;
  Kind kind = Kind::kRetryLater;
  std::string result;  // kDone of a forward operation
  std::string reason;  // kRefused, kRetryLater
  std::chrono::milliseconds retry_after{0};
  // kRetryLater of a forward operation, from adapters: the transaction whose prepared work is in
  // the way. If it is younger, and waits itself, its coordinator aborts it, so that two that want
  // each other's rows do not stand still.
  std::string blocked_by = {};

  // It has happened, durably. `result` reaches the initiator and the branches after this one.
  static Reply Done(std::string result = {}) {
    return {Kind::kDone, std::move(result), {}, {}, {}};
  }
  // PREPARE only: yes, and nothing was written; no COMMIT or ROLLBACK will follow.
  static Reply DoneReadOnly(std::string result = {}) {
    return {Kind::kDoneReadOnly, std::move(result), {}, {}, {}};
  }
  // A business no: final, nothing happened. The transaction aborts.
  static Reply Refused(std::string reason) {
    return {Kind::kRefused, {}, std::move(reason), {}, {}};
  }
  // Not now, nothing happened: ask again (after `after`, or the branch's own backoff).
  static Reply RetryLater(std::string reason,
                          std::chrono::milliseconds after = std::chrono::milliseconds(0)) {
    return {Kind::kRetryLater, {}, std::move(reason), after, {}};
  }
  friend bool operator==(const Reply&, const Reply&) = default;
};

// Runs one operation. May be called from several threads at once. An exception that leaves it is a
// failed attempt ("retry later"), never a crash.
using Handler = std::function<Reply(const Call&)>;
// Gives the answer of a Call; call it exactly once, from any thread, at any time.
using Responder = std::function<void(Reply)>;

}  // namespace assent
