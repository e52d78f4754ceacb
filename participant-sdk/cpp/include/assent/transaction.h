#pragma once

// A transaction as its initiator writes it, and what the coordinator says about it. Plain values.

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <assent/call.h>
#include <assent/states.h>
#include <assent/status.h>

namespace assent {

// A fresh transaction identity: 12 hex digits of Unix time in milliseconds, then 20 random ones (80
// bits from the kernel). Those made later sort later, to the millisecond. Safe in every thread and
// after fork().
std::string NewGid();

// When a failed operation of a branch is tried again. Phase two and undo are retried for ever
// whatever it says.
struct BranchRetry {
  // 0: 100 ms; doubles each time. Of each wait half is kept and the rest is drawn ("equal jitter").
  std::chrono::milliseconds initial_backoff{0};
  std::chrono::milliseconds max_backoff{0};  // 0: 30 s; at most one hour
  std::uint32_t max_attempts = 0;            // of the forward operation; 0: until the deadline
};

// What a branch may say beyond protocol, service, action and payload.
struct BranchOptions {
  // Unique within the transaction. Empty: "1", "2", … by position.
  std::string id = {};
  // Ids of branches that must have executed before this one starts.
  std::vector<std::string> after = {};
  // Saga, at most one: once it has succeeded the transaction commits.
  bool pivot = false;
  // Of a pivot that is the first step: see CheckBack.
  bool check_back = false;
  // Hand the handler the results of the branches named in `after`.
  bool receive_results = false;
  BranchRetry retry = {};
  // One attempt longer than this counts as unknown. 0: 10 s.
  std::chrono::milliseconds attempt_timeout{0};
  std::map<std::string, std::string> headers = {};
};

// One participant's part.
struct Branch {
  Protocol protocol = Protocol::kSaga;
  std::string service = {};
  std::string action = {};
  std::string payload = {};  // handed to every operation of the branch, unread
  BranchOptions options = {};
};

// A whole transaction, written as the sentence that describes it:
//
//   assent::Transaction order;
//   order.Tcc("inventory", "reserve", items)
//       .Tcc("payment", "charge", amount)
//       .Label("order", "4711")
//       .Deadline(5s);
//
// It has its gid from birth. Submitting the same object (or a copy) again is therefore the same
// transaction, and gives the same answer: that is what to do after kUnknownOutcome. For a second
// transaction of the same shape give the copy its own identity with Gid(NewGid()).
class Transaction {
 public:
  Transaction() : gid_(NewGid()) {}

  // The branch's participant keeps prepared work durable and invisible until the decision.
  Transaction& TwoPhase(std::string service, std::string action, std::string payload = {},
                        BranchOptions options = {});
  // The branch's participant reserves, then consumes or releases.
  Transaction& Tcc(std::string service, std::string action, std::string payload = {},
                   BranchOptions options = {});
  // A step that takes effect at once and is compensated if the transaction aborts.
  Transaction& Saga(std::string service, std::string action, std::string payload = {},
                    BranchOptions options = {});
  Transaction& Add(Branch branch);
  // The first step of a message without an outbox (assent/check_back.h): the initiator's own local
  // transaction, about which `service` is asked. The steps of a Saga follow, nothing else.
  // `first_asked`: so long after Prepare, if Submit does not come before; then less and less often.
  Transaction& CheckBack(std::string service, std::string action,
                         std::chrono::milliseconds first_asked = std::chrono::seconds(1));

  // For people and filters: `assentctl list --label order=4711`.
  Transaction& Label(std::string key, std::string value);
  // Time from acceptance until the transaction aborts unless decided. Default 60 s, at most 7 days.
  Transaction& Deadline(std::chrono::milliseconds from_acceptance);
  Transaction& InOrder(Ordering ordering);
  // W3C Trace Context of whoever begins it, as a tracing library writes it: the participants' work
  // shows up in the same trace, and the coordinator's own spans if it sends any. An empty
  // traceparent: none. Submitting it again with another changes nothing.
  Transaction& Trace(std::string traceparent, std::string tracestate = {});
  // The initiator's own identity for it (an order number, say): 1 to 64 of [A-Za-z0-9._:-].
  Transaction& Gid(std::string gid);

  const std::string& gid() const { return gid_; }
  const std::vector<Branch>& branches() const { return branches_; }
  const std::map<std::string, std::string>& labels() const { return labels_; }
  std::chrono::milliseconds deadline() const { return deadline_; }  // 0: the default
  Ordering ordering() const { return ordering_; }
  const std::string& traceparent() const { return traceparent_; }
  const std::string& tracestate() const { return tracestate_; }

  // The limits of the contract (assent/limits.h), checked before anything is sent: kInvalidArgument
  // names the field, the limit and the value. `open`: a transaction for Client::Begin, which has no
  // branches yet.
  Status Validate(bool open = false) const;

 private:
  std::string gid_;
  std::vector<Branch> branches_;
  std::map<std::string, std::string> labels_;
  std::chrono::milliseconds deadline_{0};
  Ordering ordering_ = Ordering::kDefault;
  std::string traceparent_;
  std::string tracestate_;
};

// The part of Transaction::Validate that concerns one branch, for branches added to an open
// transaction.
Status ValidateBranch(const Branch& branch);

const char* OutcomeName(Outcome outcome);                  // "committed", …
const char* TransactionStateName(TransactionState state);  // "active", …

// The coordinator's answer about a transaction. An abort is an answer, not a failure.
struct Report {
  std::string gid = {};
  TransactionState state = TransactionState::kUnknown;
  Outcome outcome = Outcome::kUndecided;
  std::string abort_reason = {};  // "branch 2 inventory/reserve refused: out of stock", …
  std::map<std::string, std::string> results = {};  // by branch id; empty results are left out

  bool committed() const { return outcome == Outcome::kCommitted; }
  bool aborted() const { return outcome == Outcome::kAborted; }
};

// What one branch of an open transaction answered.
struct BranchResult {
  std::string branch_id = {};
  bool refused = false;     // a business no: the whole transaction is being aborted
  bool read_only = false;   // 2PC: nothing was written
  std::string result = {};  // what the handler returned
  std::string reason = {};  // why it refused
};

const char* BranchStateName(BranchState state);  // "waiting", …

struct BranchInfo {
  std::string id = {};
  Protocol protocol = Protocol::kSaga;
  std::string service = {};
  std::string action = {};
  BranchState state = BranchState::kUnknown;
  std::string result = {};
  std::uint32_t attempts = 0;  // tries so far of the current operation
  std::string last_error = {};
  bool needs_operator = false;
};

// A transaction in full, as Client::Get shows it.
struct TransactionInfo {
  std::string gid = {};
  TransactionState state = TransactionState::kUnknown;
  Outcome outcome = Outcome::kUndecided;
  bool open = false;       // branches are still being added
  bool suspended = false;  // an operator holds it
  std::vector<BranchInfo> branches = {};
  std::map<std::string, std::string> labels = {};
  std::string abort_reason = {};
  std::string why_not_finished = {};  // one sentence; empty when it is finished
  // Wall times of the coordinator; the epoch (zero) when it has not happened.
  std::chrono::system_clock::time_point began = {};
  std::chrono::system_clock::time_point deadline = {};
  std::chrono::system_clock::time_point decided = {};
  std::chrono::system_clock::time_point finished = {};
};

}  // namespace assent
