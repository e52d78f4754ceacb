#pragma once

// What is asked of transactions that are not live here: the log answers, and what its answer means
// is said in one place.
//
// Invariant: "never heard of it, so aborted" is said only of what the log, in one look over all its
// rows after the question came, does not hold, and what began in an epoch that was its own by then.

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/core/transaction.h"
#include "coordinator/engine/live.h"
#include "coordinator/engine/ports.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

// Somebody waits for what the log says of a gid.
struct Lookup {
  std::string gid;
  std::string spec{};  // not empty: must be equal, or ALREADY_EXISTS
  // A Commit came too late for an abort, a Rollback for a commit.
  core::Decision too_late_for = core::Decision::kNone;
  std::vector<ViewCallback> views{};
  std::vector<WatchCallback> watchers{};
  std::optional<QuestionRequest> question{};
  OnlyOf only_of{};
};

Status NoSuchTransaction(const std::string& gid);

class History {
 public:
  explicit History(ShardPorts& ports) : ports_(ports) {}

  // The log's own number, which participants have kept with what they ask about.
  void Start(std::uint32_t log_id) { log_id_ = log_id; }

  // The log is asked; or, of a row that is set aside, this is the answer.
  void Look(Lookup lookup, const std::string* aside, const core::Now& now);
  // What was looked up under this token; then what comes of it.
  Lookup Take(std::uint64_t token);
  // (`live`: of that gid, here, if the log says that there is one.)
  void Answer(Lookup& lookup, const Result<log::Found>& found, const Live* live,
              const core::Now& now) const;

  // What a participant may be told of a transaction that is here; nothing: only the log knows
  // whether the transaction that it means may be presumed aborted.
  std::optional<transport::OutcomeAnswer> Judge(const transport::OutcomeQuestion& question,
                                                const core::Transaction& txn, bool visible) const;

 private:
  bool MayPresume(const transport::OutcomeQuestion& question, const log::Found& found) const;

  ShardPorts& ports_;
  std::uint32_t log_id_ = 0;
  std::uint64_t next_token_ = 1;
  std::unordered_map<std::uint64_t, Lookup> lookups_;
};

// The content is another one than that of the transaction that has the gid.
Status OtherContent(const std::string& gid);

}  // namespace assent::engine
