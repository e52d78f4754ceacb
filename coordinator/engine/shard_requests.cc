// What a shard is asked.

#include <algorithm>
#include <utility>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "coordinator/engine/shard.h"

namespace assent::engine {
namespace {

Status OtherContent(const std::string& gid) {
  return AlreadyExists(
      "gid " + gid +
      " belongs to a transaction with other content: use a new gid, or repeat the request exactly");
}

Status NoSuchGid(const std::string& gid) {
  return NotFound("no transaction " + gid + " among the unfinished and the retained finished ones");
}

std::size_t BytesOf(const core::StringPairs& pairs) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : pairs) bytes += key.size() + value.size();
  return bytes;
}

}  // namespace

template <typename R>
bool Shard::Deferred(R& request, const std::string& gid) {
  Live* live = FindLive(gid);
  if (live == nullptr || live->accepted) return false;
  live->AddRare().deferred.emplace_back(std::move(request));
  return true;
}

std::size_t Shard::AttachedBytes(const core::BranchSpec& branch) {
  return branch.payload.size() + BytesOf(branch.headers);
}

std::size_t Shard::AttachedBytes(const core::TransactionSpec& spec) {
  std::size_t bytes = BytesOf(spec.labels);
  for (const core::BranchSpec& branch : spec.branches) bytes += AttachedBytes(branch);
  return bytes;
}

Status Shard::CheckRoom(std::size_t bytes) const {
  if (live_bytes_ + bytes <= options_.max_live_bytes) return OkStatus();
  return ResourceExhausted("payloads and results of unfinished transactions take " +
                           std::to_string(live_bytes_ >> 20) +
                           " MiB, the limit is --max-payload-mib: try again later");
}

// ---- Initiators ---------------------------------------------------------------------------------

void Shard::On(BeginRequest request) {
  Waiter waiter{MilestoneOf(request.wait_for), 0, 0, std::move(request.done),
                std::move(request.abandoned)};
  if (Live* existing = FindLive(request.spec.gid)) {
    if (core::Codec::EncodeSpec(existing->txn) != core::Codec::EncodeSpec(request.spec)) {
      if (!existing->accepted) {
        request.done = std::move(waiter.done);
        existing->AddRare().deferred.emplace_back(std::move(request));
        return;
      }
      waiter.done(OtherContent(request.spec.gid), nullptr, core::Now{mono_, wall_, 0});
      return;
    }
    return AddWaiter(*existing, std::move(waiter));
  }
  if (const auto aside = aside_.find(request.spec.gid); aside != aside_.end())
    return waiter.done(DataLoss(aside->second), nullptr, core::Now{mono_, wall_, 0});
  if (live_count() >= options_.max_live_count) {
    waiter.done(
        ResourceExhausted("this coordinator drives " + std::to_string(live_count()) +
                          " transactions, the limit is --max-transactions: try again later"),
        nullptr, core::Now{mono_, wall_, 0});
    return;
  }
  const std::size_t bytes = AttachedBytes(request.spec);
  if (const Status room = CheckRoom(bytes); !room.ok())
    return waiter.done(room, nullptr, core::Now{mono_, wall_, 0});
  ++stats_.begun;
  auto owned = std::make_unique<Live>(core::Transaction(std::move(request.spec)));
  Live& live = *owned;
  live_.emplace(live.txn.gid(), std::move(owned));
  live_bytes_ += live.attached_bytes = bytes;
  live.serial = ports_.NextSerial();
  by_serial_.emplace_hint(by_serial_.end(), live.serial, &live);
  live.timer.owner = &live;
  live.waiters.push_back(std::move(waiter));
  (void)Apply(live, core::Begin{epoch_});
}

void Shard::On(ExecuteRequest request) {
  if (Deferred(request, request.gid)) return;
  Live* live = FindLive(request.gid);
  if (live == nullptr) {
    Lookup lookup;
    lookup.gid = request.gid;
    lookup.views.push_back([done = std::move(request.done)](const Status& status,
                                                            const core::Transaction* txn,
                                                            const core::Now&) {
      done(txn == nullptr ? status
                          : FailedPrecondition("transaction " + txn->gid() + " is finished: " +
                                               std::string(core::Name(txn->outcome()))),
           nullptr, 0);
    });
    return Look(std::move(lookup));
  }
  core::BranchIndex index = 0;
  const std::size_t known = request.branch.id.empty() ? live->txn.branches().size()
                                                      : live->txn.FindBranch(request.branch.id);
  core::BranchSpec branch = request.branch;
  const Status normal = core::NormaliseAdded(branch, live->txn);
  if (!normal.ok()) return request.done(normal, nullptr, 0);
  if (known < live->txn.branches().size()) {
    // Asked before. What it came after by default then is what it comes after now.
    core::BranchSpec existing = live->txn.spec().branches[known];
    if (request.branch.after_ids.empty()) branch.after = existing.after;
    if (core::Codec::EncodeBranchSpec(existing) != core::Codec::EncodeBranchSpec(branch)) {
      return request.done(AlreadyExists("branch " + branch.id + " of transaction " + request.gid +
                                        " exists with other content"),
                          nullptr, 0);
    }
    index = static_cast<core::BranchIndex>(known);
  } else {
    const std::size_t bytes = AttachedBytes(branch);
    Status status = CheckRoom(bytes);
    if (status.ok()) status = Apply(*live, core::AddBranch{std::move(branch)});
    if (!status.ok()) return request.done(status, nullptr, 0);
    live->attached_bytes += bytes;
    live_bytes_ += bytes;
    index = static_cast<core::BranchIndex>(live->txn.branches().size() - 1);
  }
  AddWaiter(*live, Waiter{core::Milestone::kBranchAnswered, index, 0,
                          [index, done = std::move(request.done)](
                              const Status& status, const core::Transaction* txn,
                              const core::Now&) { done(status, txn, index); }});
}

void Shard::On(CloseRequest request) {
  if (Deferred(request, request.gid)) return;
  Live* live = FindLive(request.gid);
  if (live == nullptr) {
    Lookup lookup;
    lookup.gid = request.gid;
    (request.commit ? lookup.aborted_is_failure : lookup.committed_is_failure) = true;
    lookup.views.push_back(std::move(request.done));
    return Look(std::move(lookup));
  }
  const Status status =
      request.commit ? Apply(*live, core::Seal{})
                     : Apply(*live, core::Abort{{{}, request.reason}, /*by_operator=*/false});
  if (!status.ok()) return request.done(status, nullptr, core::Now{mono_, wall_, 0});
  AddWaiter(*live, Waiter{MilestoneOf(request.wait_for), 0, 0, std::move(request.done),
                          std::move(request.abandoned)});
}

// ---- Operators ----------------------------------------------------------------------------------

void Shard::On(OperatorRequest request) {
  if (Deferred(request, request.gid)) return;
  const core::Now now{mono_, wall_, 0};
  Live* live = FindLive(request.gid);
  if (live == nullptr) {
    Lookup lookup;
    lookup.gid = request.gid;
    lookup.views.push_back([done = std::move(request.done)](const Status& status,
                                                            const core::Transaction* txn,
                                                            const core::Now& when) {
      done(txn == nullptr ? status
                          : FailedPrecondition("transaction " + txn->gid() +
                                               " is finished: there is nothing left to do"),
           nullptr, when);
    });
    return Look(std::move(lookup));
  }
  std::size_t branch = 0;
  if (request.verb == OperatorVerb::kResolve) {
    branch = live->txn.FindBranch(request.branch_id);
    if (branch == live->txn.branches().size()) {
      return request.done(
          NotFound("transaction " + request.gid + " has no branch " + request.branch_id), nullptr,
          now);
    }
    if (request.resolution == core::Decision::kNone) {
      return request.done(
          InvalidArgument("resolution is not given: it takes DECISION_COMMIT or DECISION_ABORT"),
          nullptr, now);
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
  if (request.dry_run) {
    core::Transaction copy = live->txn;
    const core::Step step = copy.Apply(event, now);
    if (!step.status.ok()) return request.done(step.status, nullptr, now);
    live->AddRare().views.push_back(std::move(request.done));
    return ServeViews(*live);
  }
  const Status status = Apply(*live, event);
  if (!status.ok()) return request.done(status, nullptr, now);
  if (!live->urgent) {  // it was so already: nothing to write
    live->AddRare().views.push_back(std::move(request.done));
    return ServeViews(*live);
  }
  AddWaiter(*live,
            Waiter{core::Milestone::kIntervened, 0, live->version + 1, std::move(request.done)});
}

void Shard::On(ForgetRequest request) {
  if (Deferred(request, request.gid)) return;
  const core::Now now{mono_, wall_, 0};
  if (Live* live = FindLive(request.gid)) {
    if (live->txn.finished()) {  // its end is on the way to the log
      live->AddRare().deferred.emplace_back(std::move(request));
      return MarkDirty(*live, true);
    }
    return request.done(FailedPrecondition("transaction " + request.gid + " is " +
                                           std::string(core::Name(live->txn.phase())) +
                                           ": only a finished one can be forgotten"),
                        nullptr, now);
  }
  if (request.dry_run) {
    Lookup lookup;
    lookup.gid = request.gid;
    lookup.views.push_back(std::move(request.done));
    return Look(std::move(lookup));
  }
  log::Entry entry;
  entry.kind = log::EntryKind::kForget;
  entry.gid = request.gid;
  Batch batch;
  batch.forgotten.push_back(std::move(request.done));
  batches_.emplace(next_batch_, std::move(batch));
  std::vector<log::Entry> entries;
  entries.push_back(std::move(entry));
  ports_.Append(std::move(entries), next_batch_++);
}

// ---- Looking ------------------------------------------------------------------------------------

void Shard::On(GetRequest request) {
  if (Deferred(request, request.gid)) return;
  if (Live* live = FindLive(request.gid)) {
    live->AddRare().views.push_back(std::move(request.done));
    return ServeViews(*live);
  }
  Lookup lookup;
  lookup.gid = std::move(request.gid);
  lookup.views.push_back(std::move(request.done));
  Look(std::move(lookup));
}

void Shard::On(WaitRequest request) {
  if (Deferred(request, request.gid)) return;
  if (Live* live = FindLive(request.gid)) {
    return AddWaiter(*live, Waiter{MilestoneOf(request.wait_for), 0, 0, std::move(request.done),
                                   std::move(request.abandoned)});
  }
  Lookup lookup;
  lookup.gid = std::move(request.gid);
  lookup.views.push_back(std::move(request.done));
  Look(std::move(lookup));
}

void Shard::On(WatchRequest request) {
  if (Deferred(request, request.gid)) return;
  if (Live* live = FindLive(request.gid)) {
    live->AddRare().watchers.push_back(std::move(request.changed));
    return MarkChanged(*live);
  }
  Lookup lookup;
  lookup.gid = std::move(request.gid);
  lookup.watchers.push_back(std::move(request.changed));
  Look(std::move(lookup));
}

void Shard::Look(Lookup lookup) {
  const std::uint64_t token = next_token_++;
  std::string gid = lookup.gid;
  lookups_.emplace(token, std::move(lookup));
  // Nobody is told of the one transaction what is so of another of the same name.
  if (const auto aside = aside_.find(gid); aside != aside_.end())
    return On(FoundRequest{token, DataLoss(aside->second)});
  ports_.Find(std::move(gid), token);
}

void Shard::On(FoundRequest request) {
  const auto found = lookups_.find(request.token);
  ASSENT_CHECK(found != lookups_.end());
  Lookup lookup = std::move(found->second);
  lookups_.erase(found);
  const core::Now now{mono_, wall_, 0};

  Status status = request.found.status();
  std::unique_ptr<core::Transaction> txn;
  if (status.ok() && (*request.found).what != log::Found::What::kFinished)
    status = NoSuchGid(lookup.gid);
  if (status.ok()) {
    log::FinishedRow& row = (*request.found).row;
    if (!lookup.spec.empty() && lookup.spec != row.spec) {
      status = OtherContent(lookup.gid);
    } else {
      Result<core::Transaction> decoded = core::Codec::Decode(row.gid, row.spec, row.state);
      if (decoded.ok()) {
        txn = std::make_unique<core::Transaction>(std::move(decoded).value());
      } else {
        status = decoded.status();
      }
    }
  }
  if (txn && lookup.aborted_is_failure && txn->decision() == core::Decision::kAbort) {
    status =
        FailedPrecondition("transaction " + lookup.gid + " was aborted: " + txn->abort_reason());
    txn.reset();
  }
  if (txn && lookup.committed_is_failure && txn->decision() == core::Decision::kCommit) {
    status = FailedPrecondition("transaction " + lookup.gid + " is already committed");
    txn.reset();
  }
  for (ViewCallback& view : lookup.views) view(status, txn.get(), now);
  for (WatchCallback& watcher : lookup.watchers) (void)watcher(status, txn.get(), now);
  if (!lookup.answer) return;
  if (txn) return lookup.answer(Judge(lookup.question, *txn, /*undecided=*/false));
  transport::OutcomeAnswer answer{lookup.question.gid, lookup.question.branch_id,
                                  transport::Verdict::kCannotTell, false};
  if (status.code() == Code::kNotFound && MayPresume(lookup.question)) {
    answer.verdict = transport::Verdict::kAbort;
    answer.finished = true;
  }
  lookup.answer(std::move(answer));
}

// ---- Participants -------------------------------------------------------------------------------

void Shard::On(RepliesRequest request) {
  for (transport::Reply& reply : request.replies) {
    Live* live = FindLive(reply.gid);
    if (live == nullptr) {
      ++stats_.stale_replies;
      continue;
    }
    const bool blocked =
        reply.result == core::AttemptResult::kRetryLater && !reply.blocked_by.empty();
    const core::BranchIndex branch = reply.branch;
    const bool known = branch < live->txn.branches().size();
    const std::size_t before = known ? live->txn.branches()[branch].result.size() : 0;
    core::Answered answered{branch,           reply.operation,        reply.attempt,
                            reply.result,     std::move(reply.bytes), std::move(reply.reason),
                            reply.retry_after};
    answered.waits_for_rows = blocked;
    // The transport may have found nobody just before somebody appeared, and told of it after: then
    // nobody would come to wake this branch, and it must look again.
    answered.service_absent =
        reply.service_absent && known && live->txn.branches()[branch].sent_at > appeared_at_;
    (void)Apply(*live, answered);
    if (!known) continue;
    if (blocked) AskToGiveWay(*live, branch, std::move(reply.blocked_by));
    // What is kept of it: of most answers, late ones, and those to which nothing rests on, that is
    // nothing.
    const std::size_t kept = live->txn.branches()[branch].result.size();
    live->attached_bytes += kept - before;
    live_bytes_ += kept - before;
    const std::string& service = live->txn.spec().branches[branch].service;
    const auto wave = waves_.find(service);
    if (wave != waves_.end() && wave->second.unanswered > 0) --wave->second.unanswered;
    if (reply.result == core::AttemptResult::kNotSent || live->rare) Settle(*live, service);
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

void Shard::On(GiveWayRequest request) {
  Live* live = FindLive(request.gid);
  if (live != nullptr && live->accepted) (void)Apply(*live, request.event);
}

void Shard::On(QuestionRequest request) {
  if (Deferred(request, request.question.gid)) return;
  if (const Live* live = FindLive(request.question.gid)) {
    const bool undecided = !Visible(*live);
    return request.answer(Judge(request.question, live->txn, undecided));
  }
  Lookup lookup;
  lookup.gid = request.question.gid;
  lookup.question = std::move(request.question);
  lookup.answer = std::move(request.answer);
  Look(std::move(lookup));
}

// A life that is not this log's own decided and forgot without it: that of a copy that ran on after
// this one was made, even if it had the number of starts that this one has now; or one before the
// oldest that is remembered.
bool Shard::MayPresume(const transport::OutcomeQuestion& question) const {
  return question.coordinator_id == coordinator_id_ &&
         std::binary_search(lives_.begin(), lives_.end(), question.began_epoch);
}

transport::OutcomeAnswer Shard::Judge(const transport::OutcomeQuestion& question,
                                      const core::Transaction& txn, bool undecided) const {
  transport::OutcomeAnswer answer{question.gid, question.branch_id, transport::Verdict::kUndecided,
                                  false};
  if (question.coordinator_id != 0 && question.coordinator_id != coordinator_id_) {
    answer.verdict = transport::Verdict::kCannotTell;
    return answer;
  }
  const std::size_t branch = txn.FindBranch(question.branch_id);
  const bool other_instance =
      question.began_epoch != 0 && question.began_epoch != txn.began_epoch();
  if (other_instance || branch == txn.branches().size()) {
    // It holds something of an earlier transaction of that name, or of a branch that was never part
    // of this one (the list is durable before the first send): neither was ever committed.
    answer.verdict =
        MayPresume(question) ? transport::Verdict::kAbort : transport::Verdict::kCannotTell;
    return answer;
  }
  if (undecided) return answer;
  core::Decision decision = txn.decision();
  // What a person declared of this branch is what it is told.
  if (txn.branches()[branch].resolved != core::Decision::kNone)
    decision = txn.branches()[branch].resolved;
  switch (decision) {
    case core::Decision::kNone: break;
    case core::Decision::kCommit: answer.verdict = transport::Verdict::kCommit; break;
    case core::Decision::kAbort: answer.verdict = transport::Verdict::kAbort; break;
  }
  answer.finished = txn.finished();
  return answer;
}

}  // namespace assent::engine
