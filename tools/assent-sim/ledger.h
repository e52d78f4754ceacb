#pragma once

// All transactions of one schedule: what was planned, and the books on what happened.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/log/memory/memory_log.h"
#include "tools/assent-sim/books.h"
#include "tools/assent-sim/sim.h"

namespace assent::sim {

class Ledger {
 public:
  explicit Ledger(Sim& sim) : sim_(sim) {}

  // Plans must not grow once the books are open.
  void Open(std::vector<TransactionPlan> plans);
  std::size_t size() const { return plans_.size(); }
  const TransactionPlan& plan(std::size_t t) const { return plans_[t]; }
  const TransactionBooks& books(std::size_t t) const { return books_[t]; }
  // For writing down what happened: the transaction is checked when the event is over.
  TransactionBooks& Touch(std::size_t t);

  // The transaction of a gid, or size().
  std::size_t Find(std::string_view gid) const;
  // The branch of an id in transaction `t`, or the number of its branches.
  std::size_t FindBranch(std::size_t t, std::string_view id) const;
  // Every second gid begins with the one before it: nobody may take one for the other.
  static std::string GidOf(std::size_t t) {
    return "t" + std::to_string(t / 2 * 2) + (t % 2 == 1 ? "b" : "");
  }
  static std::string BranchIdOf(std::size_t b) { return "b" + std::to_string(b); }

  // What is durable may have changed in the row of this transaction: look.
  void ReadDurable(const log::MemoryImage& image, std::size_t t, bool put_back = false);
  // A store of a new generation has missed something of it, and has what is durable now.
  void NoteMissed(std::size_t t);
  // The log, which held `lost` of it, is replaced by `copy`. True if they differ in this
  // transaction: its books go on from the copy.
  bool Restored(const log::MemoryImage& lost, const log::MemoryImage& copy, std::size_t t);
  // R1: of what has finished nothing is gone before its time.
  void CheckKept(const log::MemoryImage& image);
  // Evaluates every rule on what was touched since the last time.
  void CheckTouched();

 private:
  void NoteDurable(TransactionBooks& books, const core::Transaction& txn);
  void CheckMissed(const TransactionBooks& books, const core::Transaction& txn);
  void NoteListed(TransactionBooks& books, std::uint64_t epoch);

  Sim& sim_;
  std::vector<TransactionPlan> plans_;
  std::vector<TransactionBooks> books_;
  std::vector<std::size_t> touched_;
};

}  // namespace assent::sim
