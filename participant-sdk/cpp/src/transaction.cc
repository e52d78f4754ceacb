#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/status.h>
#include <assent/trace.h>
#include <assent/transaction.h>

#include "participant-sdk/cpp/src/text.h"

namespace assent {
namespace {

using std::chrono::milliseconds;

std::string BranchField(std::size_t index) { return "branches[" + std::to_string(index) + "]"; }

struct MapLimits {
  std::size_t count;
  std::size_t key_bytes;
  std::size_t value_bytes;
};

// Keeps the first thing that is wrong. A field is named only then, since most are right.
class Checks {
 public:
  // Of `branch`, which stands there in the transaction; or, to be added, nowhere yet.
  void Branch(const assent::Branch& branch, std::optional<std::size_t> index) {
    const BranchOptions& options = branch.options;
    place_ = index ? BranchField(*index) : "branch";
    if (!options.id.empty()) Name(".id", options.id, kBranchIdRule);
    Name(".service", branch.service, kServiceRule);
    Name(".action", branch.action, kActionRule);
    AtMost(".payload", branch.payload.size(), limits::kMaxPayloadBytes, "bytes");
    if (options.pivot && branch.protocol != Protocol::kSaga)
      Fail(".pivot is set, but only a Saga step can be the pivot");
    if (options.check_back && !options.pivot)
      Fail(".check_back is set, but only the pivot, as the first step, can be checked back");
    Duration(".retry.initial_backoff", options.retry.initial_backoff, limits::kMaxMaxBackoffMs);
    Duration(".retry.max_backoff", options.retry.max_backoff, limits::kMaxMaxBackoffMs);
    AtMost(".retry.max_attempts", options.retry.max_attempts, limits::kMaxMaxAttemptsCount,
           "attempts");
    Duration(".attempt_timeout", options.attempt_timeout, limits::kMaxAttemptTimeoutMs);
    Map(".headers", options.headers,
        {limits::kMaxHeadersCount, limits::kMaxHeaderKeyBytes, limits::kMaxHeaderValueBytes});
    place_.clear();
  }

  void Name(const char* field, const std::string& name, NameRule rule) {
    const Status status = internal::CheckName(field, name, rule);
    if (!status.ok()) Fail(status.message());
  }
  void AtMost(std::string_view field, std::size_t count, std::size_t limit, const char* unit) {
    if (count > limit)
      Fail(std::string(field) + " has " + std::to_string(count) + " " + unit + "; at most " +
           std::to_string(limit));
  }
  void Duration(const char* field, milliseconds value, std::int64_t max_ms) {
    if (value.count() < 0 || value.count() > max_ms)
      Fail(std::string(field) + " is " + std::to_string(value.count()) + " ms; it must be 0 to " +
           std::to_string(max_ms));
  }
  void Trace(const std::string& traceparent, const std::string& tracestate) {
    if (!traceparent.empty() && !ParseTraceparent(traceparent))
      Fail("traceparent is '" + CleanText(traceparent, 100) +
           "'; it takes what W3C Trace Context calls so");
    if (traceparent.empty() && !tracestate.empty())
      Fail("tracestate is set, and traceparent is not");
    if (!IsTracestate(tracestate))
      Fail("tracestate has " + std::to_string(tracestate.size()) + " bytes; at most " +
           std::to_string(limits::kMaxTracestateBytes) + " of printable ASCII");
  }
  // Protobuf strings are UTF-8: anything else would be refused by the receiver as unreadable,
  // without a word about which field.
  void Map(const std::string& field, const std::map<std::string, std::string>& map,
           MapLimits limits) {
    AtMost(field, map.size(), limits.count, "entries");
    for (const auto& [key, value] : map) {
      if (key.empty()) Fail(field + " has an empty key");
      if (key.size() > limits.key_bytes)
        AtMost(field + " key", key.size(), limits.key_bytes, "bytes");
      if (value.size() > limits.value_bytes)
        AtMost(field + " value of '" + CleanText(key, limits.key_bytes) + "'", value.size(),
               limits.value_bytes, "bytes");
      if (CleanText(key, key.size()) != key || CleanText(value, value.size()) != value)
        Fail(field + " is not UTF-8; binary data belongs into the payload");
    }
  }
  void Fail(const std::string& what) {
    if (status_.ok()) status_ = InvalidArgument(place_ + what);
  }
  const Status& status() const { return status_; }

 private:
  std::string place_;
  Status status_;
};

std::size_t BranchBytes(const Branch& branch) {
  std::size_t bytes = branch.payload.size();
  for (const auto& [key, value] : branch.options.headers) bytes += key.size() + value.size();
  return bytes;
}

std::string BranchId(const std::vector<Branch>& branches, std::size_t index) {
  const std::string& id = branches[index].options.id;
  return id.empty() ? std::to_string(index + 1) : id;
}

// Ids are unique, `after` names branches that exist, at most one pivot. Cycles are left to the
// coordinator, which also knows the edges that the ordering adds.
Status CheckGraph(const std::vector<Branch>& branches) {
  std::set<std::string> ids;
  std::size_t pivots = 0;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const std::string id = BranchId(branches, i);
    if (!ids.insert(id).second) {
      if (branches[i].options.id.empty())
        return InvalidArgument(BranchField(i) + ".id is empty, which stands for its position '" +
                               id + "', and an earlier branch is called so: give it an id");
      return InvalidArgument(BranchField(i) + ".id '" + id + "' is taken by an earlier branch");
    }
    pivots += branches[i].options.pivot ? 1 : 0;
  }
  if (pivots > 1)
    return InvalidArgument("branches has " + std::to_string(pivots) + " pivots; at most 1");
  for (std::size_t i = 0; i < branches.size(); ++i) {
    for (const std::string& before : branches[i].options.after) {
      const std::string shown = CleanText(before, limits::kMaxBranchIdBytes);
      if (!ids.contains(before)) {
        return InvalidArgument(BranchField(i) + ".after names '" + shown +
                               "', which is no branch of this transaction");
      }
      if (before == BranchId(branches, i))
        return InvalidArgument(BranchField(i) + ".after names the branch itself");
    }
  }
  return OkStatus();
}

}  // namespace

Transaction& Transaction::TwoPhase(std::string service, std::string action, std::string payload,
                                   BranchOptions options) {
  return Add({Protocol::kTwoPhase, std::move(service), std::move(action), std::move(payload),
              std::move(options)});
}

Transaction& Transaction::Tcc(std::string service, std::string action, std::string payload,
                              BranchOptions options) {
  return Add({Protocol::kTcc, std::move(service), std::move(action), std::move(payload),
              std::move(options)});
}

Transaction& Transaction::Saga(std::string service, std::string action, std::string payload,
                               BranchOptions options) {
  return Add({Protocol::kSaga, std::move(service), std::move(action), std::move(payload),
              std::move(options)});
}

Transaction& Transaction::Add(Branch branch) {
  branches_.push_back(std::move(branch));
  return *this;
}

Transaction& Transaction::CheckBack(std::string service, std::string action,
                                    milliseconds first_asked) {
  BranchOptions options = {.pivot = true, .check_back = true};
  options.retry.initial_backoff = first_asked;
  return Saga(std::move(service), std::move(action), {}, std::move(options));
}

Transaction& Transaction::Label(std::string key, std::string value) {
  labels_.insert_or_assign(std::move(key), std::move(value));
  return *this;
}

Transaction& Transaction::Deadline(milliseconds from_acceptance) {
  deadline_ = from_acceptance;
  return *this;
}

Transaction& Transaction::InOrder(assent::Ordering ordering) {
  ordering_ = ordering;
  return *this;
}

Transaction& Transaction::Trace(std::string traceparent, std::string tracestate) {
  traceparent_ = std::move(traceparent);
  tracestate_ = std::move(tracestate);
  return *this;
}

Transaction& Transaction::Gid(std::string gid) {
  gid_ = std::move(gid);
  return *this;
}

Status ValidateBranch(const Branch& branch) {
  Checks checks;
  checks.Branch(branch, {});
  return checks.status();
}

Status Transaction::Validate(bool open) const {
  Checks checks;
  checks.Name("gid", gid_, kGidRule);
  if (open && !branches_.empty())
    checks.Fail("branches: an open transaction begins without any; add them to what Begin returns");
  if (!open && branches_.empty()) checks.Fail("branches: a transaction needs at least one");
  checks.AtMost("branches", branches_.size(), limits::kMaxBranchesCount, "branches");
  checks.Duration("deadline", deadline_, limits::kMaxDeadlineMs);
  checks.Map("labels", labels_,
             {limits::kMaxLabelsCount, limits::kMaxLabelKeyBytes, limits::kMaxLabelValueBytes});
  checks.Trace(traceparent_, tracestate_);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < branches_.size() && checks.status().ok(); ++i) {
    checks.Branch(branches_[i], i);
    bytes += BranchBytes(branches_[i]);
  }
  checks.AtMost("payloads and headers together", bytes, limits::kMaxTransactionBytes, "bytes");
  return checks.status().ok() ? CheckGraph(branches_) : checks.status();
}

}  // namespace assent
