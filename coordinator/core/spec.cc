#include "coordinator/core/spec.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <assent/limits.h>
#include <assent/name.h>

#include "coordinator/core/protocol.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

// A field as messages name it: "branches[2].service". The text is made when there is something to
// say, because every transaction is checked and few are wrong.
struct Place {
  std::string_view name;
  std::size_t index = kNoIndex;
  static constexpr std::size_t kNoIndex = SIZE_MAX;
  std::string Text() const {
    return std::string(name) + (index == kNoIndex ? "" : "[" + std::to_string(index) + "]");
  }
};
struct Field {
  Place of;
  std::string_view name;
  std::string Text() const { return of.Text() + std::string(name); }
};

// What a person wrote, made fit for a message: cut, and with unprintable bytes replaced.
std::string Shown(std::string_view text) {
  std::string shown(text.substr(0, 40));
  for (char& c : shown) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return "\"" + shown + (text.size() > 40 ? "…\"" : "\"");
}

Status CheckName(std::string_view value, const Field& field, NameRule rule) {
  switch (FaultOf(value, rule)) {
    case NameFault::kNone: return OkStatus();
    case NameFault::kEmpty:
      return InvalidArgument(field.Text() + " is empty: it takes 1 to " +
                             std::to_string(rule.max_bytes) + " of " + std::string(rule.allowed()));
    case NameFault::kTooLong:
      return InvalidArgument(field.Text() + " has " + std::to_string(value.size()) +
                             " bytes, the limit is " + std::to_string(rule.max_bytes));
    case NameFault::kCharacter: break;
  }
  return InvalidArgument(field.Text() + " is " + Shown(value) + ": only " +
                         std::string(rule.allowed()) + " are allowed");
}

Status CheckRange(std::int64_t value, std::int64_t max, const Field& field) {
  if (value < 0)
    return InvalidArgument(field.Text() + " is " + std::to_string(value) +
                           ": it cannot be negative");
  if (value > max)
    return InvalidArgument(field.Text() + " is " + std::to_string(value) + ", the limit is " +
                           std::to_string(max));
  return OkStatus();
}

Status CheckPairs(StringPairs& pairs, const Field& field, std::string_view key_name,
                  std::size_t max_count, NameRule key_rule, std::size_t max_value) {
  if (pairs.size() > max_count) {
    return InvalidArgument(field.Text() + " has " + std::to_string(pairs.size()) +
                           " entries, the limit is " + std::to_string(max_count));
  }
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [key, value] : pairs) {
    Status status = CheckName(key, {field.of, key_name}, key_rule);
    if (!status.ok()) return status;
    if (value.size() > max_value) {
      return InvalidArgument(field.Text() + "[" + key + "] has " + std::to_string(value.size()) +
                             " bytes, the limit is " + std::to_string(max_value));
    }
  }
  return OkStatus();
}

std::size_t BytesOf(const BranchSpec& branch) {
  std::size_t bytes = branch.payload.size();
  for (const auto& [key, value] : branch.headers) bytes += key.size() + value.size();
  return bytes;
}

// All that can be said of a branch by itself. `at` names it in messages: "branches[2]".
Status NormaliseAlone(BranchSpec& branch, const Place& at) {
  Status status = CheckName(branch.id, {at, ".branch_id"}, kBranchIdRule);
  if (!status.ok()) return status;
  const auto protocol = static_cast<std::size_t>(branch.protocol);
  if (protocol < 1 || protocol > kProtocols.size()) {
    return InvalidArgument(at.Text() + ".protocol is " + std::to_string(protocol) +
                           ": it takes TWO_PHASE, TCC or SAGA");
  }
  status = CheckName(branch.service, {at, ".service"}, kServiceRule);
  if (!status.ok()) return status;
  status = CheckName(branch.action, {at, ".action"}, kActionRule);
  if (!status.ok()) return status;
  if (branch.payload.size() > limits::kMaxPayloadBytes) {
    return InvalidArgument(at.Text() + ".payload has " + std::to_string(branch.payload.size()) +
                           " bytes, the limit is " + std::to_string(limits::kMaxPayloadBytes));
  }
  status = CheckPairs(branch.headers, {at, ".headers"}, ".headers key", limits::kMaxHeadersCount,
                      kHeaderKeyRule, limits::kMaxHeaderValueBytes);
  if (!status.ok()) return status;
  status = CheckRange(branch.attempt_timeout.count(), limits::kMaxAttemptTimeoutMs,
                      {at, ".attempt_timeout_ms"});
  if (!status.ok()) return status;
  status = CheckRange(branch.retry.initial_backoff.count(), limits::kMaxMaxBackoffMs,
                      {at, ".retry.initial_backoff_ms"});
  if (!status.ok()) return status;
  status = CheckRange(branch.retry.max_backoff.count(), limits::kMaxMaxBackoffMs,
                      {at, ".retry.max_backoff_ms"});
  if (!status.ok()) return status;
  status = CheckRange(branch.retry.max_attempts, limits::kMaxMaxAttemptsCount,
                      {at, ".retry.max_attempts"});
  if (!status.ok()) return status;
  if (branch.pivot && branch.protocol != Protocol::kSaga) {
    return InvalidArgument(at.Text() + ".pivot is set on a " + std::string(Name(branch.protocol)) +
                           " branch: only a SAGA step can be a pivot");
  }
  if (branch.check_back && !branch.pivot)
    return InvalidArgument(at.Text() +
                           ".check_back is set, and pivot is not: only the pivot, as the "
                           "first step, can stand for the initiator's own local transaction");
  if (branch.attempt_timeout.count() == 0)
    branch.attempt_timeout = Millis(limits::kDefaultAttemptTimeoutMs);
  // What is given wins over what is not: a ceiling below the default first wait lowers that.
  RetryPolicy& retry = branch.retry;
  if (retry.initial_backoff.count() == 0) {
    retry.initial_backoff = Millis(limits::kDefaultInitialBackoffMs);
    if (retry.max_backoff.count() != 0)
      retry.initial_backoff = std::min(retry.initial_backoff, retry.max_backoff);
  }
  if (retry.max_backoff.count() == 0) retry.max_backoff = Millis(limits::kDefaultMaxBackoffMs);
  retry.max_backoff = std::max(retry.max_backoff, retry.initial_backoff);
  return OkStatus();
}

// An empty id stands for the branch's position.
Status GiveNumber(TransactionSpec& spec, std::size_t i) {
  std::string number = std::to_string(i + 1);
  for (std::size_t j = 0; j < spec.branches.size(); ++j) {
    if (spec.branches[j].id != number) continue;
    return InvalidArgument("branches[" + std::to_string(i) +
                           "].branch_id is empty, which stands for its position \"" + number +
                           "\", and branches[" + std::to_string(j) +
                           "] is called so: give it an id of its own");
  }
  spec.branches[i].id = std::move(number);
  return OkStatus();
}

// Puts branches into an order in which each follows what it comes after; empty if there is a cycle.
std::vector<BranchIndex> TopologicalOrder(const std::vector<BranchSpec>& branches) {
  std::vector<BranchIndex> order;
  std::vector<bool> placed(branches.size(), false);
  for (bool moved = true; moved;) {
    moved = false;
    for (BranchIndex i = 0; i < branches.size(); ++i) {
      const auto& after = branches[i].after;
      if (placed[i] ||
          !std::all_of(after.begin(), after.end(), [&](BranchIndex a) { return placed[a]; }))
        continue;
      placed[i] = moved = true;
      order.push_back(i);
    }
  }
  if (order.size() != branches.size()) order.clear();
  return order;
}

void SortAndUnique(std::vector<BranchIndex>& after) {
  std::sort(after.begin(), after.end());
  after.erase(std::unique(after.begin(), after.end()), after.end());
}

Status ResolveAfter(TransactionSpec& spec) {
  std::map<std::string_view, BranchIndex> by_id;
  for (BranchIndex i = 0; i < spec.branches.size(); ++i) {
    if (!by_id.emplace(spec.branches[i].id, i).second) {
      return InvalidArgument("branches[" + std::to_string(i) + "].branch_id " +
                             Shown(spec.branches[i].id) +
                             " is used twice: branch ids are unique within a transaction");
    }
  }
  BranchIndex previous_of_its_kind = 0;
  bool has_previous = false;
  for (BranchIndex i = 0; i < spec.branches.size(); ++i) {
    BranchSpec& branch = spec.branches[i];
    branch.after.clear();
    for (const std::string& id : branch.after_ids) {
      const auto found = by_id.find(id);
      if (found == by_id.end()) {
        return InvalidArgument("branches[" + std::to_string(i) + "].after names " + Shown(id) +
                               ", which is no branch of this transaction");
      }
      branch.after.push_back(found->second);
    }
    const bool by_default =
        spec.ordering == Ordering::kDefault && Rules(branch.protocol).sequential_by_default;
    if (branch.after_ids.empty() && spec.ordering == Ordering::kSequential && i > 0) {
      branch.after.push_back(static_cast<BranchIndex>(i - 1));
    } else if (branch.after_ids.empty() && by_default && has_previous) {
      branch.after.push_back(previous_of_its_kind);
    }
    if (by_default) {
      previous_of_its_kind = i;
      has_previous = true;
    }
    branch.after_ids.clear();
    branch.after_ids.shrink_to_fit();
    SortAndUnique(branch.after);
  }
  return OkStatus();
}

// The pivot comes after every branch that does not follow it; only Saga steps may follow it, as
// they cannot refuse.
Status PlacePivot(TransactionSpec& spec, const std::vector<BranchIndex>& order) {
  std::size_t pivot = spec.branches.size();
  for (std::size_t i = 0; i < spec.branches.size(); ++i) {
    if (!spec.branches[i].pivot) continue;
    if (pivot != spec.branches.size()) {
      return InvalidArgument("branches[" + std::to_string(i) +
                             "].pivot is set, and so is that of branches[" + std::to_string(pivot) +
                             "]: at most one step is the pivot");
    }
    pivot = i;
  }
  if (pivot == spec.branches.size()) return OkStatus();
  std::vector<bool> follows(spec.branches.size(), false);
  for (const BranchIndex i : order) {
    const auto& after = spec.branches[i].after;
    follows[i] = std::any_of(after.begin(), after.end(),
                             [&](BranchIndex a) { return a == pivot || follows[a]; });
    if (follows[i] && spec.branches[i].protocol != Protocol::kSaga) {
      return InvalidArgument("branches[" + std::to_string(i) + "] comes after the pivot but is a " +
                             std::string(Name(spec.branches[i].protocol)) +
                             " branch: only SAGA steps may");
    }
  }
  auto& after = spec.branches[pivot].after;
  after.clear();
  for (BranchIndex i = 0; i < spec.branches.size(); ++i) {
    if (i != pivot && !follows[i]) after.push_back(i);
  }
  if (spec.branches[pivot].check_back && !after.empty()) {
    return InvalidArgument("branches[" + std::to_string(pivot) +
                           "].check_back is set, and branches[" + std::to_string(after.front()) +
                           "] does not come after it: what the initiator commits by itself is the "
                           "first step, and all others follow it");
  }
  return OkStatus();
}

}  // namespace

Status CheckGid(std::string_view gid) { return CheckName(gid, {{"gid"}, {}}, kGidRule); }
Status CheckServiceName(std::string_view name, const std::string& field) {
  return CheckName(name, {{field}, {}}, kServiceRule);
}
Status CheckActionName(std::string_view name, const std::string& field) {
  return CheckName(name, {{field}, {}}, kActionRule);
}

Status Normalise(TransactionSpec& spec) {
  Status status = CheckGid(spec.gid);
  if (!status.ok()) return status;
  if (spec.open && !spec.branches.empty()) {
    return InvalidArgument(
        "branches must be empty for Begin: add them with ExecuteBranch, or use Submit");
  }
  if (!spec.open && spec.branches.empty())
    return InvalidArgument("branches is empty: a transaction needs at least one");
  if (spec.branches.size() > limits::kMaxBranchesCount) {
    return InvalidArgument("branches has " + std::to_string(spec.branches.size()) +
                           " entries, the limit is " + std::to_string(limits::kMaxBranchesCount));
  }
  status = CheckRange(spec.deadline.count(), limits::kMaxDeadlineMs, {{"deadline_ms"}, {}});
  if (!status.ok()) return status;
  if (spec.deadline.count() == 0) spec.deadline = Millis(limits::kDefaultDeadlineMs);
  status = CheckPairs(spec.labels, {{"labels"}, {}}, " key", limits::kMaxLabelsCount, kLabelKeyRule,
                      limits::kMaxLabelValueBytes);
  if (!status.ok()) return status;

  std::size_t bytes = 0;
  for (std::size_t i = 0; i < spec.branches.size(); ++i) {
    BranchSpec& branch = spec.branches[i];
    if (branch.id.empty()) status = GiveNumber(spec, i);
    if (status.ok()) status = NormaliseAlone(branch, {"branches", i});
    if (!status.ok()) return status;
    bytes += BytesOf(branch);
  }
  if (bytes > limits::kMaxTransactionBytes) {
    return InvalidArgument("payloads and headers have " + std::to_string(bytes) +
                           " bytes together, the limit is " +
                           std::to_string(limits::kMaxTransactionBytes));
  }
  status = ResolveAfter(spec);
  if (!status.ok()) return status;
  const std::vector<BranchIndex> order = TopologicalOrder(spec.branches);
  if (order.size() != spec.branches.size()) {
    return InvalidArgument("branches follow one another in a circle: `after` must not have cycles");
  }
  return PlacePivot(spec, order);
}

Status NormaliseAdded(BranchSpec& branch, const Transaction& transaction) {
  const auto& all = transaction.spec().branches;
  if (branch.id.empty())
    return InvalidArgument(
        "branch.branch_id is empty: a branch that is added needs one, so that the call, repeated "
        "after a lost answer, means the same branch");
  // Said again, it is read as it was the first time: against the branches before it.
  const std::size_t before = transaction.FindBranch(branch.id);
  if (before >= limits::kMaxBranchesCount) {
    return InvalidArgument("the transaction has " + std::to_string(before) +
                           " branches, the limit is " + std::to_string(limits::kMaxBranchesCount));
  }
  Status status = NormaliseAlone(branch, {"branch"});
  if (!status.ok()) return status;
  if (branch.pivot)
    return InvalidArgument(
        "branch.pivot is set: an open transaction is committed by its initiator, not by a pivot");
  std::size_t bytes = BytesOf(branch);
  for (std::size_t i = 0; i < before; ++i) bytes += BytesOf(all[i]);
  if (bytes > limits::kMaxTransactionBytes) {
    return InvalidArgument("payloads and headers have " + std::to_string(bytes) +
                           " bytes together, the limit is " +
                           std::to_string(limits::kMaxTransactionBytes));
  }
  branch.after.clear();
  for (const std::string& id : branch.after_ids) {
    const std::size_t index = transaction.FindBranch(id);
    if (index >= before)
      return InvalidArgument("branch.after names " + Shown(id) +
                             ", which is no branch of this transaction");
    branch.after.push_back(static_cast<BranchIndex>(index));
  }
  // A Saga step follows the Saga steps before it: its compensation comes first.
  for (BranchIndex i = 0; branch.after_ids.empty() && i < before; ++i) {
    if (Rules(branch.protocol).undo_in_reverse && Rules(all[i].protocol).undo_in_reverse)
      branch.after.push_back(i);
  }
  branch.after_ids.clear();
  SortAndUnique(branch.after);
  return OkStatus();
}

}  // namespace assent::core
