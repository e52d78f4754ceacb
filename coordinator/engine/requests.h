#pragma once

// What a shard is asked, by initiators, operators, participants and the log. Each carries the
// callback that answers it; callbacks run on the shard's thread, once, and must be quick.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <assent/slot.h>
#include <assent/status.h>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/adopted.h"
#include "coordinator/engine/initiators.h"
#include "coordinator/log/log.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// OK with the transaction as it durably stands, or why not (then nullptr). Valid during the call
// only.
using ViewCallback = std::function<void(const Status&, const core::Transaction*, const core::Now&)>;
// The same, again and again; returns false to be called no more.
using WatchCallback =
    std::function<bool(const Status&, const core::Transaction*, const core::Now&)>;

// Whether whoever asked has gone away meanwhile. Empty: cannot be known.
using Abandoned = std::function<bool()>;

// Whoever asks, and sees only what he began himself; nullptr: he sees all. What others began is not
// there for him.
using OnlyOf = std::shared_ptr<const std::string>;
inline bool Sees(const OnlyOf& who, const core::Transaction& txn) {
  const OnlyOf& initiator = txn.spec().initiator;
  return who == nullptr || initiator == nullptr || *who == *initiator;
}

enum class WaitFor : std::uint8_t { kAccepted, kDecided, kCompleted };

// Begins a transaction, closed (Submit) or open (Begin), or joins the one of the same gid and
// content.
struct BeginRequest {
  core::TransactionSpec spec;  // normalised
  WaitFor wait_for = WaitFor::kDecided;
  ViewCallback done;
  Abandoned abandoned = {};
  Allowance allowance = {};  // the initiator's, if it begins
};

// Adds a branch to an open transaction and answers when its forward operation is answered.
struct ExecuteRequest {
  std::string gid;
  core::BranchSpec branch;  // not normalised: that depends on the transaction
  // OK also for a refusal: look at the branch.
  std::function<void(const Status&, const core::Transaction*, core::BranchIndex)> done;
  OnlyOf only_of = {};
  Allowance allowance = {};  // the initiator's
};

// Commit or roll back by the initiator.
struct CloseRequest {
  std::string gid;
  bool commit = true;
  std::string reason;
  WaitFor wait_for = WaitFor::kDecided;
  ViewCallback done;
  Abandoned abandoned = {};
  OnlyOf only_of = {};
};

// Looks (no event), or intervenes. Answered when what was done is durable.
enum class OperatorVerb : std::uint8_t { kRetryNow, kAbort, kSuspend, kResume, kResolve };
struct OperatorRequest {
  std::string gid;
  OperatorVerb verb = OperatorVerb::kRetryNow;
  core::Actor actor;
  std::string branch_id;                              // kResolve
  core::Decision resolution = core::Decision::kNone;  // kResolve
  bool dry_run = false;
  ViewCallback done;
  // How it stands, before anything is done; not called if there is nothing unfinished of this gid.
  std::function<void(const core::Transaction&, const core::Now&)> before = {};
};

struct GetRequest {
  std::string gid;
  ViewCallback done;
  OnlyOf only_of = {};
};
struct WaitRequest {
  std::string gid;
  WaitFor wait_for = WaitFor::kDecided;
  ViewCallback done;
  Abandoned abandoned = {};
  OnlyOf only_of = {};
};
struct WatchRequest {
  std::string gid;
  WatchCallback changed;
  OnlyOf only_of = {};
};

// Removes a finished transaction from the history.
struct ForgetRequest {
  std::string gid;
  bool dry_run = false;
  ViewCallback done;
};

// Which unfinished transactions are visited, and in which order.
enum class Part : std::uint8_t {
  kStuck,        // those that needed a person when the look began, oldest first
  kOthers,       // all but those, oldest first
  kNewestFirst,  // all
  kOldestFirst,  // all
};
struct SliceEnd {
  std::uint64_t serial = 0;  // the last one that was considered: `after` of the next slice
  bool more = false;
};
// Visits a few unfinished transactions that can be seen: whoever wants all of them asks again and
// again, and others are served between. `decision_visible` is false while its decision is not
// durable yet: then it must be shown as undecided.
//
// A look is a sequence of slices of kStuck, then of kOthers, under one number (Engine::NextLook):
// each transaction that is there all the time is visited once, whatever happens to it meanwhile.
struct SliceRequest {
  std::function<void(std::uint64_t serial, const core::Transaction&, bool decision_visible,
                     const core::Now&)>
      visit;
  std::function<void(const SliceEnd&)> done;
  Part part = Part::kOthers;
  std::uint64_t look = 0;
  std::uint64_t after = 0;          // a serial; 0: from the beginning
  std::size_t max_rows = SIZE_MAX;  // that are considered
};

// An older transaction waits for what `gid`, if there is such a one here, has prepared.
struct GiveWayRequest {
  std::string gid;
  core::GiveWay event;
};
struct RepliesRequest {
  std::vector<transport::Reply> replies;
};
struct ServiceAppearedRequest {
  std::string service;
};
struct QuestionRequest {
  transport::OutcomeQuestion question;
  std::function<void(transport::OutcomeAnswer)> answer;
};

// The rows of a slot, loaded: this shard serves them, and what begins in the slot, from now on.
struct TakeUpRequest {
  Slot slot = 0;
  std::unique_ptr<Adopted> rows;
  std::uint64_t slot_epoch = 0;  // goes with each command
  // Not empty: a row of it cannot be read, and this is said to whoever asks for any transaction of
  // the slot. There are no rows.
  std::string damage = {};
  std::uint64_t generation = 0;  // of the store that they were read from
};
// The slot's commands go with this epoch from now on.
struct RaiseRequest {
  Slot slot = 0;
  std::uint64_t slot_epoch = 0;
};
// Another coordinator wants the slot. Nothing begins in it any more; `left` is called when nothing
// of it is left here, and nothing will be handed to the log or sent for it.
struct GiveUpRequest {
  Slot slot = 0;
  std::function<void()> left;
};

// The log's answers.
struct AppendedRequest {
  std::uint64_t batch = 0;
  log::AppendResult result;
};
struct FoundRequest {
  std::uint64_t token = 0;
  Result<log::Found> found;
};

using Request =
    std::variant<BeginRequest, ExecuteRequest, CloseRequest, OperatorRequest, GetRequest,
                 WaitRequest, WatchRequest, ForgetRequest, SliceRequest, RepliesRequest,
                 GiveWayRequest, ServiceAppearedRequest, QuestionRequest, TakeUpRequest,
                 RaiseRequest, GiveUpRequest, AppendedRequest, FoundRequest>;

}  // namespace assent::engine
