// What a shard is asked.

#include <algorithm>
#include <type_traits>
#include <utility>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "coordinator/engine/shard.h"

namespace assent::engine {
namespace {

core::Milestone MilestoneOf(WaitFor wait_for) {
  switch (wait_for) {
    case WaitFor::kAccepted: return core::Milestone::kAccepted;
    case WaitFor::kDecided: return core::Milestone::kDecided;
    case WaitFor::kCompleted: return core::Milestone::kCompleted;
  }
  return core::Milestone::kCompleted;
}

std::size_t BytesOf(const core::StringPairs& pairs) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : pairs) bytes += key.size() + value.size();
  return bytes;
}

template <typename R>
void Refuse(const R& request, const Status& status, const core::Now& now) {
  if constexpr (std::is_same_v<R, ExecuteRequest>) {
    request.done(status, nullptr, 0);
  } else if constexpr (std::is_same_v<R, WatchRequest>) {
    (void)request.changed(status, nullptr, now);
  } else if constexpr (std::is_same_v<R, QuestionRequest>) {
    request.answer(
        {request.question.gid, request.question.branch_id, transport::Verdict::kUndecided, false});
  } else if constexpr (requires { request.done(status, nullptr, now); }) {
    request.done(status, nullptr, now);
  }
}

// What is done to a finished transaction is refused in these words, and shown how it ended.
ViewCallback FinishedIsFailure(ViewCallback done, bool with_outcome) {
  return [done = std::move(done), with_outcome](const Status& status, const core::Transaction* txn,
                                                const core::Now& now) {
    if (txn == nullptr) return done(status, nullptr, now);
    done(FailedPrecondition("transaction " + txn->gid() + " is finished: " +
                            (with_outcome ? std::string(core::Name(txn->outcome()))
                                          : "there is nothing left to do")),
         txn, now);
  };
}

}  // namespace

std::size_t AttachedBytes(const core::BranchSpec& branch) {
  return branch.payload.size() + BytesOf(branch.headers);
}

std::size_t AttachedBytes(const core::TransactionSpec& spec) {
  std::size_t bytes = BytesOf(spec.labels);
  for (const core::BranchSpec& branch : spec.branches) bytes += AttachedBytes(branch);
  return bytes;
}

Status Shard::Elsewhere(const std::string& gid) {
  return {Code::kElsewhere, "transaction " + gid +
                                " is another coordinator's, if there is one: nothing was done here "
                                "now, ask again"};
}

void Shard::Refuse(Request& request, const Status& status) const {
  std::visit([&](const auto& r) { engine::Refuse(r, status, Now()); }, request);
}

template <typename R>
bool Shard::Admit(R& request, const std::string& gid, Live*& live) {
  Holding* holding = HoldingOf(gid);
  if (holding == nullptr) {
    engine::Refuse(request, Elsewhere(gid), Now());
    return false;
  }
  if (!holding->damage.empty()) {
    engine::Refuse(request, DataLoss(holding->damage), Now());
    return false;
  }
  live = FindLive(*holding, gid);
  if constexpr (requires { request.only_of; }) {
    if (live != nullptr && !Sees(request.only_of, live->txn)) {
      engine::Refuse(request, NoSuchTransaction(gid), Now());
      return false;
    }
  }
  if (live == nullptr || live->audience.begun()) return true;
  live->audience.Defer(std::move(request));
  return false;
}

void Shard::Look(Lookup lookup) {
  const Holding* holding = HoldingOf(lookup.gid);
  const std::string* said = nullptr;
  if (holding != nullptr) {
    const auto aside = holding->aside.find(lookup.gid);
    if (aside != holding->aside.end()) said = &aside->second;
  }
  history_.Look(std::move(lookup), said, Now());
}

// ---- Initiators ---------------------------------------------------------------------------------

void Shard::On(BeginRequest&& request) {
  Holding* holding = HoldingOf(request.spec.gid);
  Live* live = holding == nullptr ? nullptr : FindLive(*holding, request.spec.gid);
  if (live != nullptr &&
      (core::Codec::EncodeSpec(live->txn) != core::Codec::EncodeSpec(request.spec) ||
       !Sees(request.spec.initiator, live->txn))) {
    if (!live->audience.begun()) return live->audience.Defer(std::move(request));
    return request.done(OtherContent(request.spec.gid), nullptr, Now());
  }
  if (live == nullptr) {
    const Status may = MayBegin(holding, request);
    if (may.code() == Code::kResourceExhausted) ++census_.figures.refused;
    if (!may.ok()) return request.done(may, nullptr, Now());
  }
  const bool begins = live == nullptr;
  if (begins) {
    const std::uint64_t serial = ports_.NextSerial(holding->slot);
    if (serial == 0) {
      return request.done(
          Unavailable("the database has not answered for too long; nothing was begun, try again"),
          nullptr, Now());
    }
    ++census_.figures.begun;
    if (request.spec.trace == nullptr && spans_.on())
      spans_.BeginTrace(request.spec, epoch_, random_.Next());
    live = &AddLive(*holding, core::Transaction(std::move(request.spec)), serial);
  }
  AddWaiter(*live, {.milestone = MilestoneOf(request.wait_for),
                    .done = std::move(request.done),
                    .abandoned = std::move(request.abandoned)});
  if (begins) {
    (void)Apply(*live, core::Begin{epoch_});
  } else if (live->txn.ChecksBack() && !holding->closed()) {
    (void)Apply(*live, core::CheckBack{});
  }
}

Status Shard::MayBegin(const Holding* holding, const BeginRequest& request) const {
  const core::TransactionSpec& spec = request.spec;
  if (holding == nullptr || holding->state != Holding::State::kServing) return Elsewhere(spec.gid);
  if (!holding->damage.empty()) return DataLoss(holding->damage);
  if (const auto aside = holding->aside.find(spec.gid); aside != holding->aside.end())
    return DataLoss(aside->second);
  if (live_count() >= options_.max_live_count) {
    return ResourceExhausted("this coordinator drives " + std::to_string(live_count()) +
                             " transactions, the limit is --max-transactions: try again later");
  }
  const std::size_t bytes = AttachedBytes(spec);
  const Status room = CheckRoom(bytes);
  return room.ok() ? CheckAllowance(spec.initiator, request.allowance, 1, bytes) : room;
}

void Shard::On(ExecuteRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.gid, live)) return;
  if (live == nullptr) {
    ViewCallback done = [done = std::move(request.done)](
                            const Status& status, const core::Transaction* txn, const core::Now&) {
      done(status, txn, 0);
    };
    return Look({.gid = request.gid,
                 .views = {FinishedIsFailure(std::move(done), true)},
                 .only_of = request.only_of});
  }
  const core::Transaction& txn = live->txn;
  core::BranchSpec branch = request.branch;
  const Status normal = core::NormaliseAdded(branch, txn);
  if (!normal.ok()) return request.done(normal, nullptr, 0);
  std::size_t index = txn.FindBranch(branch.id);
  if (index < txn.branches().size()) {
    // Asked before. What it came after by default then is what it comes after now.
    const core::BranchSpec& existing = txn.spec().branches[index];
    if (request.branch.after_ids.empty()) branch.after = existing.after;
    if (core::Codec::EncodeBranchSpec(existing) != core::Codec::EncodeBranchSpec(branch)) {
      return request.done(AlreadyExists("branch " + branch.id + " of transaction " + request.gid +
                                        " exists with other content"),
                          nullptr, 0);
    }
  } else {
    const std::size_t bytes = AttachedBytes(branch);
    Status status = CheckRoom(bytes);
    if (status.ok()) status = CheckAllowance(txn.spec().initiator, request.allowance, 0, bytes);
    if (status.ok()) status = Apply(*live, core::AddBranch{std::move(branch)});
    if (!status.ok()) return request.done(status, nullptr, 0);
    Attach(*live, bytes);
  }
  const auto number = static_cast<core::BranchIndex>(index);
  AddWaiter(*live, {.milestone = core::Milestone::kBranchAnswered,
                    .branch = number,
                    .done = [number, done = std::move(request.done)](
                                const Status& status, const core::Transaction* seen,
                                const core::Now&) { done(status, seen, number); }});
}

void Shard::On(CloseRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.gid, live)) return;
  if (live == nullptr) {
    return Look({.gid = request.gid,
                 .too_late_for = request.commit ? core::Decision::kAbort : core::Decision::kCommit,
                 .views = {std::move(request.done)},
                 .only_of = request.only_of});
  }
  const Status status =
      request.commit ? Apply(*live, core::Seal{})
                     : Apply(*live, core::Abort{{{}, request.reason}, /*by_operator=*/false});
  if (!status.ok()) return request.done(status, nullptr, Now());
  AddWaiter(*live, {.milestone = MilestoneOf(request.wait_for),
                    .done = std::move(request.done),
                    .abandoned = std::move(request.abandoned)});
}

// ---- Operators ----------------------------------------------------------------------------------

void Shard::On(OperatorRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.gid, live)) return;
  if (live == nullptr) {
    return Look({.gid = request.gid,
                 .views = {FinishedIsFailure(std::move(request.done), /*with_outcome=*/false)}});
  }
  if (live->txn.finished()) {  // what is done to it now would be written nowhere
    live->audience.Defer(std::move(request));
    return writes_.Note(*live, true, mono_);
  }
  if (request.before) request.before(live->txn, Now());
  std::size_t branch = 0;
  if (request.verb == OperatorVerb::kResolve) {
    branch = live->txn.FindBranch(request.branch_id);
    if (branch == live->txn.branches().size()) {
      return request.done(
          NotFound("transaction " + request.gid + " has no branch " + request.branch_id), nullptr,
          Now());
    }
    if (request.resolution == core::Decision::kNone) {
      return request.done(
          InvalidArgument("resolution is not given: it takes DECISION_COMMIT or DECISION_ABORT"),
          nullptr, Now());
    }
  }
  core::Event event;
  switch (request.verb) {
    case OperatorVerb::kRetryNow: event = core::RetryNow{request.actor}; break;
    case OperatorVerb::kAbort: event = core::Abort{request.actor, /*by_operator=*/true}; break;
    case OperatorVerb::kSuspend: event = core::Suspend{request.actor}; break;
    case OperatorVerb::kResume: event = core::Resume{request.actor}; break;
    case OperatorVerb::kResolve:
      event =
          core::Resolve{request.actor, static_cast<core::BranchIndex>(branch), request.resolution};
      break;
  }
  Status status;
  if (request.dry_run) {
    core::Transaction copy = live->txn;
    status = copy.Apply(event, Now()).status;
  } else {
    status = Apply(*live, event);
  }
  if (!status.ok()) return request.done(status, nullptr, Now());
  // Nobody sees it before what was done now is durable.
  AddWaiter(*live, {.done = std::move(request.done)});
}

void Shard::On(ForgetRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.gid, live)) return;
  if (live != nullptr && live->txn.finished()) {  // its end is on the way to the log
    live->audience.Defer(std::move(request));
    return writes_.Note(*live, true, mono_);
  }
  if (live != nullptr) {
    return request.done(FailedPrecondition("transaction " + request.gid + " is " +
                                           std::string(core::Name(live->txn.phase())) +
                                           ": only a finished one can be forgotten"),
                        nullptr, Now());
  }
  if (request.dry_run) return Look({.gid = request.gid, .views = {std::move(request.done)}});
  Holding& holding = *HoldingOf(request.gid);
  writes_.Forget(std::move(request.gid), holding, std::move(request.done));
}

// ---- Looking ------------------------------------------------------------------------------------

void Shard::On(GetRequest&& request) {
  On(WaitRequest{.gid = std::move(request.gid),
                 .wait_for = WaitFor::kAccepted,
                 .done = std::move(request.done),
                 .only_of = std::move(request.only_of)});
}

void Shard::On(WaitRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.gid, live)) return;
  if (live == nullptr) {
    return Look(
        {.gid = request.gid, .views = {std::move(request.done)}, .only_of = request.only_of});
  }
  AddWaiter(*live, {.milestone = MilestoneOf(request.wait_for),
                    .done = std::move(request.done),
                    .abandoned = std::move(request.abandoned)});
}

void Shard::On(WatchRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.gid, live)) return;
  if (live == nullptr) {
    return Look(
        {.gid = request.gid, .watchers = {std::move(request.changed)}, .only_of = request.only_of});
  }
  live->audience.Watch(std::move(request.changed));
  MarkChanged(*live);
}

void Shard::On(SliceRequest&& request) { census_.Visit(request, recovering_, Now()); }

ShardStats Shard::Stats() const {
  ShardStats stats;
  census_.figures.AddTo(stats);
  return stats;
}

void Shard::On(FoundRequest&& request) {
  Lookup lookup = history_.Take(request.token);
  const bool is_live = request.found.ok() && request.found->what == log::Found::What::kLive;
  const Live* live = is_live && lookup.question ? FindLive(lookup.gid) : nullptr;
  history_.Answer(lookup, request.found, live, Now());
}

// ---- Participants -------------------------------------------------------------------------------

void Shard::On(RepliesRequest&& request) {
  for (transport::Reply& reply : request.replies) {
    Live* live = FindLive(reply.gid);
    if (live == nullptr) {
      ++census_.figures.stale_replies;
      continue;
    }
    const core::BranchIndex branch = reply.branch;
    const bool known = branch < live->txn.branches().size();
    const std::size_t before = known ? live->txn.branches()[branch].result.size() : 0;
    const core::AttemptResult result = reply.result;
    const bool blocked = result == core::AttemptResult::kRetryLater && !reply.blocked_by.empty();
    // The transport may have found nobody just before somebody appeared, and told of it after: then
    // nobody would come to wake this branch, and it must look again.
    const bool absent = reply.service_absent && known &&
                        live->txn.branches()[branch].sent_at > waiting_.appeared_at();
    (void)Apply(*live, core::Answered{.branch = branch,
                                      .operation = reply.operation,
                                      .attempt = reply.attempt,
                                      .result = result,
                                      .bytes = std::move(reply.bytes),
                                      .reason = std::move(reply.reason),
                                      .retry_after = reply.retry_after,
                                      .service_absent = absent,
                                      .waits_for_rows = blocked});
    if (!known) continue;
    if (blocked) AskToGiveWay(*live, branch, std::move(reply.blocked_by));
    // What is kept of it: of most answers, late ones, and those to which nothing rests on, that is
    // nothing.
    Attach(*live, live->txn.branches()[branch].result.size() - before);
    const std::string& service = live->txn.spec().branches[branch].service;
    waiting_.Answered(service);
    if (result == core::AttemptResult::kNotSent || live->rare) waiting_.Settle(*live, service);
  }
}

// A participant's word alone aborts nothing: whoever is asked to give way must have prepared
// something at the very service that says so, be younger, and wait itself. And only who holds
// something can be part of a circle.
void Shard::AskToGiveWay(const Live& live, core::BranchIndex branch, std::string holder) {
  if (live.txn.branches()[branch].state != core::BranchState::kExecuting ||
      live.txn.decision() != core::Decision::kNone || !live.txn.HoldsPrepared())
    return;
  ports_.GiveWay({std::move(holder),
                  {live.txn.gid(), live.txn.began_at(), live.txn.spec().branches[branch].service}});
}

void Shard::On(GiveWayRequest&& request) {
  Live* live = FindLive(request.gid);
  if (live != nullptr && live->audience.begun()) (void)Apply(*live, request.event);
}

void Shard::On(ServiceAppearedRequest&& request) { waiting_.Appeared(request.service, mono_); }

void Shard::On(QuestionRequest&& request) {
  Live* live = nullptr;
  if (!Admit(request, request.question.gid, live)) return;
  if (live != nullptr) {
    auto answer = history_.Judge(request.question, live->txn, live->audience.Visible(live->txn));
    if (answer) return request.answer(*std::move(answer));
  }
  std::string gid = request.question.gid;
  Look({.gid = std::move(gid), .question = std::move(request)});
}

}  // namespace assent::engine
