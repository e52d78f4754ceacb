#include <map>
#include <string>
#include <string_view>

#include <assent/limits.h>
#include <assent/name.h>

#include "tools/assentctl/duration.h"
#include "tools/assentctl/submit_file.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Gathers the first thing that is wrong.
class Checks {
 public:
  void Fail(const std::string& path, const std::string& what) {
    if (status_.ok()) status_ = InvalidArgument(path + " " + what);
  }
  void Name(const std::string& path, std::string_view text, NameRule rule) {
    if (FaultOf(text, rule) == NameFault::kNone) return;
    Fail(path, "must be 1 to " + std::to_string(rule.max_bytes) + " of " +
                   std::string(rule.allowed()) + ", not '" + Visible(text.substr(0, 80)) + "'");
  }
  void AtMost(const std::string& path, std::size_t count, std::size_t max, const char* unit) {
    if (count > max) {
      Fail(path,
           "has " + std::to_string(count) + " " + unit + "; the limit is " + std::to_string(max));
    }
  }
  void NoLonger(const std::string& path, std::int64_t ms, std::int64_t max_ms) {
    if (ms > max_ms) {
      Fail(path, "is " + FormatDuration(ms) + "; the limit is " + FormatDuration(max_ms));
    }
  }
  template <typename Map>
  void Pairs(const std::string& path, const Map& pairs, std::size_t max_count,
             std::size_t max_key_bytes, std::size_t max_value_bytes) {
    AtMost(path, pairs.size(), max_count, "entries");
    for (const auto& [key, value] : pairs) {
      const std::string at = path + "." + Visible(key);
      if (key.empty()) Fail(path, "has an empty key");
      AtMost(at, key.size(), max_key_bytes, "bytes in its key");
      AtMost(at, value.size(), max_value_bytes, "bytes");
    }
  }
  const Status& status() const { return status_; }

 private:
  Status status_;
};

std::string IdOf(const v1::BranchSpec& branch, int index) {
  return branch.branch_id().empty() ? std::to_string(index + 1) : branch.branch_id();
}

void CheckBranch(const v1::BranchSpec& branch, const std::string& path, Checks& checks) {
  using namespace limits;  // NOLINT(google-build-using-namespace): constants, in one function
  if (!branch.branch_id().empty()) {
    checks.Name(path + ".id", branch.branch_id(), kBranchIdRule);
  }
  checks.Name(path + ".service", branch.service(), kServiceRule);
  checks.Name(path + ".action", branch.action(), kActionRule);
  checks.AtMost(path + ".payload", branch.payload().size(), kMaxPayloadBytes, "bytes");
  checks.Pairs(path + ".headers", branch.headers(), kMaxHeadersCount, kMaxHeaderKeyBytes,
               kMaxHeaderValueBytes);
  checks.NoLonger(path + ".attempt_timeout", branch.attempt_timeout_ms(), kMaxAttemptTimeoutMs);
  checks.NoLonger(path + ".retry.initial_backoff", branch.retry().initial_backoff_ms(),
                  kMaxMaxBackoffMs);
  checks.NoLonger(path + ".retry.max_backoff", branch.retry().max_backoff_ms(), kMaxMaxBackoffMs);
  if (branch.retry().max_attempts() > kMaxMaxAttemptsCount) {
    checks.Fail(path + ".retry.max_attempts",
                "is over the limit of " + std::to_string(kMaxMaxAttemptsCount));
  }
  if (branch.pivot() && branch.protocol() != v1::SAGA) {
    checks.Fail(path + ".pivot", "is for Saga steps only");
  }
  if (branch.check_back() && !branch.pivot())
    checks.Fail(path + ".check_back", "is for the pivot only, as the first step");
}

// Ids are unique, and `after` names branches that are there. Cycles are left to the coordinator.
void CheckIds(const v1::TransactionSpec& spec, Checks& checks) {
  std::map<std::string, int> ids;
  int pivots = 0;
  for (int i = 0; i < spec.branches_size(); ++i) {
    const std::string path = "branches[" + std::to_string(i) + "]";
    const std::string id = IdOf(spec.branches(i), i);
    if (const auto [first, is_new] = ids.emplace(id, i); !is_new) {
      // One of the two may have none, and stand for its position.
      const int other = first->second;
      const int empty = spec.branches(i).branch_id().empty() ? i : other;
      if (spec.branches(empty).branch_id().empty()) {
        checks.Fail("branches[" + std::to_string(empty) + "].id",
                    "is missing, which stands for its position '" + id + "', and branches[" +
                        std::to_string(empty == i ? other : i) +
                        "] is called so: give it an id of its own");
      } else {
        checks.Fail(path + ".id", "'" + id + "' is there twice");
      }
    }
    if (spec.branches(i).pivot() && ++pivots > 1) {
      checks.Fail(path + ".pivot", "is the second one; at most one branch may be the pivot");
    }
  }
  for (int i = 0; i < spec.branches_size(); ++i) {
    const std::string path = "branches[" + std::to_string(i) + "].after";
    for (const std::string& before : spec.branches(i).after()) {
      if (!ids.contains(before))
        checks.Fail(path, "names '" + Visible(before) + "', which is no branch");
      if (before == IdOf(spec.branches(i), i)) checks.Fail(path, "names the branch itself");
    }
  }
}

}  // namespace

Status CheckSpec(const v1::TransactionSpec& spec) {
  Checks checks;
  if (!spec.gid().empty()) {
    checks.Name("gid", spec.gid(), kGidRule);
  }
  checks.NoLonger("deadline", spec.deadline_ms(), limits::kMaxDeadlineMs);
  checks.Pairs("labels", spec.labels(), limits::kMaxLabelsCount, limits::kMaxLabelKeyBytes,
               limits::kMaxLabelValueBytes);
  if (spec.branches_size() == 0)
    checks.Fail("branches", "is empty; a transaction needs one or more");
  checks.AtMost("branches", static_cast<std::size_t>(spec.branches_size()),
                limits::kMaxBranchesCount, "entries");
  std::size_t total_bytes = 0;
  for (int i = 0; i < spec.branches_size(); ++i) {
    CheckBranch(spec.branches(i), "branches[" + std::to_string(i) + "]", checks);
    total_bytes += spec.branches(i).payload().size();
    for (const auto& [key, value] : spec.branches(i).headers()) {
      total_bytes += key.size() + value.size();
    }
  }
  checks.AtMost("branches", total_bytes, limits::kMaxTransactionBytes,
                "bytes of payloads and headers");
  CheckIds(spec, checks);
  return checks.status();
}

}  // namespace assent::ctl
