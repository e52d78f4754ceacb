#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "tests/contract/initiator/script.h"
#include "tests/contract/limits.h"

namespace assent::contract {
namespace {

// The same bytes for the same content, whatever the order of maps. A trace may differ.
std::string Content(v1::TransactionSpec spec) {
  spec.clear_traceparent();
  spec.clear_tracestate();
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  spec.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

void Book::Abort(const std::string& gid) {
  const MutexLock lock(mutex_);
  entries_[gid].outcome = v1::ABORTED;
}

void Book::Expect(const std::string& gid) {
  const MutexLock lock(mutex_);
  expected_.insert(gid);
}

Visit Book::Note(Asked asked, const std::string& gid, std::size_t member) {
  bool known = false;
  Visit visit{asked, gid, 0, member};
  {
    const MutexLock lock(mutex_);
    known = expected_.count(gid) != 0;
    visit.number = ++visits_[{gid, asked}];
  }
  if (!known) AddFault("gids of ASSENT_CONTRACT_GIDS alone", Printable(gid));
  return visit;
}

int Book::VisitsOf(Asked asked, const std::string& gid) const {
  const MutexLock lock(mutex_);
  const auto found = visits_.find({gid, asked});
  return found == visits_.end() ? 0 : found->second;
}

int Book::VisitsOf(const std::string& gid) const {
  const MutexLock lock(mutex_);
  int sum = 0;
  for (const auto& [key, count] : visits_) sum += key.first == gid ? count : 0;
  return sum;
}

void Book::Begin(const v1::TransactionSpec& spec) {
  std::string content = Content(spec);
  bool same = true;
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_[spec.gid()];
    entry.interactive = spec.branches_size() == 0;
    same = entry.spec.empty() || entry.spec == content;
    if (entry.spec.empty()) entry.spec = std::move(content);
    entry.begun = true;
  }
  if (!same) AddFault("the same content each time " + spec.gid() + " is asked for", "another one");
}

void Book::Execute(const std::string& gid, const v1::BranchSpec& branch) {
  bool same = true;
  bool named = true;
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_[gid];
    const auto [found, first] =
        entry.branches.try_emplace(branch.branch_id(), branch.SerializeAsString());
    same = first || found->second == branch.SerializeAsString();
    named = !branch.branch_id().empty();
  }
  if (!named) AddFault("ExecuteBranch of " + gid + " with a branch_id", "none");
  if (!same) AddFault("the same branch each time " + gid + " is asked for", "another one");
}

void Book::End(const std::string& gid, v1::Outcome outcome) {
  const MutexLock lock(mutex_);
  Entry& entry = entries_[gid];
  if (entry.ended) return;
  entry.ended = true;
  if (outcome == v1::ABORTED) entry.outcome = outcome;
}

bool Book::Begun(const std::string& gid) const {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(gid);
  return found != entries_.end() && found->second.begun;
}

v1::Outcome Book::OutcomeOf(const std::string& gid) const {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(gid);
  if (found == entries_.end() || !found->second.begun) return v1::OUTCOME_UNSPECIFIED;
  if (found->second.interactive && !found->second.ended) return v1::OUTCOME_UNSPECIFIED;
  return found->second.outcome;
}

v1::SubmitReply Book::ReplyTo(const std::string& gid) const {
  v1::SubmitReply reply;
  reply.set_gid(gid);
  reply.set_outcome(OutcomeOf(gid));
  reply.set_state(reply.outcome() == v1::OUTCOME_UNSPECIFIED ? v1::ACTIVE : v1::FINISHED);
  if (reply.outcome() == v1::ABORTED)
    reply.set_abort_reason("branch 1 contract/add refused: not enough");
  if (reply.outcome() == v1::COMMITTED)
    (*reply.mutable_results())["1"] = R"({"balance":1,"held":0})";
  return reply;
}

void Book::AddFault(std::string expected, std::string seen) {
  const MutexLock lock(mutex_);
  if (faults_.size() < kMaxFaultsPerRuleCount)
    faults_.push_back({std::move(expected), std::move(seen)});
}

std::vector<Fault> Book::TakeFaults() {
  const MutexLock lock(mutex_);
  return std::exchange(faults_, {});
}

}  // namespace assent::contract
