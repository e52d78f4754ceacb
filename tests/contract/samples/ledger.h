#pragma once

// A participant without the SDK: the barrier of docs/wire.md over SQLite, written by hand, and in
// it the mistakes that one makes. With none it keeps the contract.

#include <cstdint>
#include <mutex>
#include <set>
#include <sqlite3.h>
#include <string>
#include <string_view>
#include <vector>

#include "assent/v1/participant.pb.h"

namespace assent::contract::samples {

// A mistake, and the rules that must name it (tests/contract/mistakes_test.py has the same table).
struct Mistake {
  const char* name;
  const char* sentence;
};
const std::vector<Mistake>& Mistakes();

// Prepared work that is asked about.
struct Prepared {
  std::string gid;
  std::string branch_id;
  std::uint32_t coordinator_id = 0;
  std::uint64_t began_epoch = 0;
};

// Thread-safe: one operation at a time, but for a mistake that says otherwise.
class LedgerParticipant {
 public:
  // `mistake`: empty, or one of Mistakes().
  LedgerParticipant(const std::string& path, std::string mistake);
  ~LedgerParticipant();
  LedgerParticipant(const LedgerParticipant&) = delete;
  LedgerParticipant& operator=(const LedgerParticipant&) = delete;

  // The reply, as the contract has it. Throws when nothing may be answered.
  v1::BranchReply Execute(const v1::BranchCommand& command);
  std::vector<Prepared> Questions();
  void Answer(const v1::OutcomeAnswer& answer);
  bool Makes(std::string_view mistake) const { return mistake_ == mistake; }

 private:
  struct Row {
    bool found = false;
    int kind = 0;
    std::string result;
    std::string reason;
  };
  // The mistake: on return it believes that nobody has done it.
  void LookFirst(const v1::BranchCommand& command);
  v1::BranchReply Decide(const v1::BranchCommand& command);
  v1::BranchReply Forward(const v1::BranchCommand& command);
  v1::BranchReply Finish(const v1::BranchCommand& command);
  v1::BranchReply Undo(const v1::BranchCommand& command);
  v1::BranchReply Refuse(const v1::BranchCommand& command, const std::string& reason);
  // Runs the action; the result.
  std::string Run(const v1::BranchCommand& command);
  std::string Add(const v1::BranchCommand& command);

  Row Find(const v1::BranchCommand& command, v1::Operation operation);
  bool IsDone(const v1::BranchCommand& command, v1::Operation operation);
  void Store(const v1::BranchCommand& command, const v1::BranchReply& reply);
  std::string Key(const v1::BranchCommand& command) const;
  void Change(const std::string& account, std::int64_t balance, std::int64_t held);
  std::string LedgerOf(const std::string& account);

  const std::string mistake_;
  std::mutex mutex_;
  sqlite3* db_ = nullptr;
  std::multiset<std::string> looked_;
};

}  // namespace assent::contract::samples
