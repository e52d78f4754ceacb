#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/limits.h>
#include <assent/status.h>
#include <assent/transaction.h>

#include "participant-sdk/cpp/src/text.h"

namespace assent {
namespace {

using std::chrono::milliseconds;

Status TooMany(const std::string& field, std::size_t count, std::size_t limit, const char* unit) {
  return InvalidArgument(field + " has " + std::to_string(count) + " " + unit + "; at most " +
                         std::to_string(limit));
}

Status CheckDuration(const std::string& field, milliseconds value, std::int64_t max_ms) {
  if (value.count() < 0 || value.count() > max_ms) {
    return InvalidArgument(field + " is " + std::to_string(value.count()) +
                           " ms; it must be 0 to " + std::to_string(max_ms));
  }
  return OkStatus();
}

struct MapLimits {
  std::size_t count;
  std::size_t key_bytes;
  std::size_t value_bytes;
};

// Protobuf strings are UTF-8: anything else would be refused by the receiver as unreadable, without
// a word about which field.
Status CheckMap(const std::string& field, const std::map<std::string, std::string>& map,
                MapLimits limits) {
  if (map.size() > limits.count) return TooMany(field, map.size(), limits.count, "entries");
  for (const auto& [key, value] : map) {
    if (key.empty()) return InvalidArgument(field + " has an empty key");
    if (key.size() > limits.key_bytes)
      return TooMany(field + " key", key.size(), limits.key_bytes, "bytes");
    if (value.size() > limits.value_bytes) {
      return TooMany(field + " value of '" + CleanText(key, limits.key_bytes) + "'", value.size(),
                     limits.value_bytes, "bytes");
    }
    if (CleanText(key, key.size()) != key || CleanText(value, value.size()) != value) {
      return InvalidArgument(field + " is not UTF-8; binary data belongs into the payload");
    }
  }
  return OkStatus();
}

Status CheckRetry(const std::string& field, const BranchRetry& retry) {
  if (Status s = CheckDuration(field + ".initial_backoff", retry.initial_backoff,
                               limits::kMaxMaxBackoffMs);
      !s.ok())
    return s;
  if (Status s = CheckDuration(field + ".max_backoff", retry.max_backoff, limits::kMaxMaxBackoffMs);
      !s.ok())
    return s;
  if (retry.max_attempts > limits::kMaxMaxAttemptsCount) {
    return TooMany(field + ".max_attempts", retry.max_attempts, limits::kMaxMaxAttemptsCount,
                   "attempts");
  }
  return OkStatus();
}

Status CheckBranch(const std::string& field, const Branch& branch) {
  const BranchOptions& options = branch.options;
  if (!options.id.empty()) {
    if (Status s = internal::CheckName(field + ".id", options.id, kBranchIdRule); !s.ok()) return s;
  }
  if (Status s = internal::CheckName(field + ".service", branch.service, kServiceRule); !s.ok())
    return s;
  if (Status s = internal::CheckName(field + ".action", branch.action, kActionRule); !s.ok())
    return s;
  if (branch.payload.size() > limits::kMaxPayloadBytes) {
    return TooMany(field + ".payload", branch.payload.size(), limits::kMaxPayloadBytes, "bytes");
  }
  if (options.pivot && branch.protocol != Protocol::kSaga) {
    return InvalidArgument(field + ".pivot is set, but only a Saga step can be the pivot");
  }
  if (Status s = CheckRetry(field + ".retry", options.retry); !s.ok()) return s;
  if (Status s = CheckDuration(field + ".attempt_timeout", options.attempt_timeout,
                               limits::kMaxAttemptTimeoutMs);
      !s.ok())
    return s;
  return CheckMap(
      field + ".headers", options.headers,
      {limits::kMaxHeadersCount, limits::kMaxHeaderKeyBytes, limits::kMaxHeaderValueBytes});
}

std::size_t BranchBytes(const Branch& branch) {
  std::size_t bytes = branch.payload.size();
  for (const auto& [key, value] : branch.options.headers) bytes += key.size() + value.size();
  return bytes;
}

std::string BranchField(std::size_t index) { return "branches[" + std::to_string(index) + "]"; }

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
  if (pivots > 1) return TooMany("branches", pivots, 1, "pivots");
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

Transaction& Transaction::Gid(std::string gid) {
  gid_ = std::move(gid);
  return *this;
}

Status ValidateBranch(const Branch& branch) { return CheckBranch("branch", branch); }

Status Transaction::Validate(bool open) const {
  if (Status s = internal::CheckName("gid", gid_, kGidRule); !s.ok()) return s;
  if (open && !branches_.empty()) {
    return InvalidArgument(
        "branches: an open transaction begins without any; add them to what Begin returns");
  }
  if (!open && branches_.empty())
    return InvalidArgument("branches: a transaction needs at least one");
  if (branches_.size() > limits::kMaxBranchesCount) {
    return TooMany("branches", branches_.size(), limits::kMaxBranchesCount, "branches");
  }
  if (Status s = CheckDuration("deadline", deadline_, limits::kMaxDeadlineMs); !s.ok()) return s;
  if (Status s = CheckMap(
          "labels", labels_,
          {limits::kMaxLabelsCount, limits::kMaxLabelKeyBytes, limits::kMaxLabelValueBytes});
      !s.ok()) {
    return s;
  }
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    if (Status s = CheckBranch(BranchField(i), branches_[i]); !s.ok()) return s;
    bytes += BranchBytes(branches_[i]);
  }
  if (bytes > limits::kMaxTransactionBytes) {
    return TooMany("payloads and headers together", bytes, limits::kMaxTransactionBytes, "bytes");
  }
  return CheckGraph(branches_);
}

}  // namespace assent
