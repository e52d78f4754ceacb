#include "coordinator/engine/history.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/codec.h"

namespace assent::engine {
namespace {

Result<core::Transaction> Read(const Lookup& lookup, const log::Found& found) {
  if (found.what != log::Found::What::kFinished) return NoSuchTransaction(lookup.gid);
  Result<core::Transaction> txn =
      core::Codec::Decode(found.row.gid, found.row.spec, found.row.state);
  // What cannot be read may have this content, or another.
  if (txn.ok() && !lookup.spec.empty() && lookup.spec != found.row.spec)
    return OtherContent(lookup.gid);
  if (txn.ok() && !Sees(lookup.only_of, *txn))
    return lookup.spec.empty() ? NoSuchTransaction(lookup.gid) : OtherContent(lookup.gid);
  if (!txn.ok() || txn->decision() != lookup.too_late_for) return txn;
  if (lookup.too_late_for == core::Decision::kCommit)
    return FailedPrecondition("transaction " + lookup.gid + " is already committed");
  if (lookup.too_late_for == core::Decision::kAbort)
    return FailedPrecondition("transaction " + lookup.gid + " was aborted: " + txn->abort_reason());
  return txn;
}

}  // namespace

Status NoSuchTransaction(const std::string& gid) {
  return NotFound("no transaction " + gid + " among the unfinished and the retained finished ones");
}

Status OtherContent(const std::string& gid) {
  return AlreadyExists(
      "gid " + gid +
      " belongs to a transaction with other content: use a new gid, or repeat the request exactly");
}

// Nobody is told of the one transaction what is so of another of the same name.
void History::Look(Lookup lookup, const std::string* aside, const core::Now& now) {
  if (aside != nullptr) return Answer(lookup, DataLoss(*aside), nullptr, now);
  std::string gid = lookup.gid;
  lookups_.emplace(next_token_, std::move(lookup));
  ports_.Find(std::move(gid), next_token_++);
}

Lookup History::Take(std::uint64_t token) {
  const auto found = lookups_.find(token);
  ASSENT_CHECK(found != lookups_.end());
  Lookup lookup = std::move(found->second);
  lookups_.erase(found);
  return lookup;
}

void History::Answer(Lookup& lookup, const Result<log::Found>& found, const Live* live,
                     const core::Now& now) const {
  const Result<core::Transaction> read =
      found.ok() ? Read(lookup, *found) : Result<core::Transaction>(found.status());
  const core::Transaction* txn = read.ok() ? &*read : nullptr;
  for (const ViewCallback& view : lookup.views) view(read.status(), txn, now);
  for (const WatchCallback& watcher : lookup.watchers) (void)watcher(read.status(), txn, now);
  if (!lookup.question) return;
  const transport::OutcomeQuestion& question = lookup.question->question;
  transport::OutcomeAnswer answer{question.gid, question.branch_id, transport::Verdict::kCannotTell,
                                  false};
  const bool absent = found.ok() && found->what == log::Found::What::kAbsent;
  std::optional<transport::OutcomeAnswer> judged;
  if (txn != nullptr) judged = Judge(question, *txn, /*visible=*/true);
  if (live != nullptr) judged = Judge(question, live->txn, live->audience.Visible(live->txn));
  if (judged) {
    answer = *std::move(judged);
  } else if (absent || txn != nullptr || live != nullptr) {
    if (MayPresume(question, *found)) answer.verdict = transport::Verdict::kAbort;
    answer.finished = absent && answer.verdict == transport::Verdict::kAbort;
  } else if (found.ok() && found->what == log::Found::What::kLive) {
    answer.verdict = transport::Verdict::kUndecided;  // somebody else has it
  }
  lookup.question->answer(std::move(answer));
}

// An epoch that is not this log's own decided and forgot without it: that of a copy that ran on
// after this one was made, even if it had the number of starts that this one has now; or one before
// the oldest that is remembered.
bool History::MayPresume(const transport::OutcomeQuestion& question,
                         const log::Found& found) const {
  return question.coordinator_id == log_id_ && found.epochs != nullptr &&
         std::binary_search(found.epochs->begin(), found.epochs->end(), question.began_epoch);
}

std::optional<transport::OutcomeAnswer> History::Judge(const transport::OutcomeQuestion& question,
                                                       const core::Transaction& txn,
                                                       bool visible) const {
  transport::OutcomeAnswer answer{question.gid, question.branch_id, transport::Verdict::kUndecided,
                                  false};
  if (question.coordinator_id != 0 && question.coordinator_id != log_id_) {
    answer.verdict = transport::Verdict::kCannotTell;
    return answer;
  }
  const std::size_t branch = txn.FindBranch(question.branch_id);
  const bool other_instance =
      question.began_epoch != 0 && question.began_epoch != txn.began_epoch();
  const bool is_part = branch < txn.branches().size();
  if (!other_instance && question.may_know &&
      !(is_part && question.may_know(txn.spec().branches[branch].service).ok())) {
    // Nobody's business but its service's. Not abort: what is asked about may be held prepared by
    // somebody who has come by a wrong name.
    answer.verdict = transport::Verdict::kCannotTell;
    return answer;
  }
  // It holds something of an earlier transaction of that name, or of a branch that was never part
  // of this one (the list is durable before the first send): neither was ever committed.
  if (other_instance || !is_part) return std::nullopt;
  if (!visible) return answer;
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
