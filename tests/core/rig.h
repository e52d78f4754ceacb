#pragma once

// One transaction with a clock, a log that may lose what it may lose, and the checker behind it.

#include <string>
#include <vector>

#include "coordinator/core/transaction.h"

namespace assent::core::testing {

// How much of what was recorded survives a crash.
enum class Loss {
  kNothing,  // every record had reached the disk
  kLazy,     // the records since the last gating one had not
  kLast,     // that gating one had not, either: its effects never left
};

class Rig {
 public:
  // `spec` is normalised.
  explicit Rig(TransactionSpec spec);

  // Applies one event. broken() says so if that broke a rule.
  Step Apply(const Event& event);
  // Restores the transaction from its records as decoded bytes, and recovers it. False: nothing of
  // it was durable.
  bool Crash(Loss loss, Millis down, Step& recovered);
  // What comes back is an older state of the store: of a new generation.
  void RaiseGeneration() { ++generation_; }

  // Moves both clocks.
  void PassTime(Micros time);
  // Moves the one for people.
  void JumpWall(Millis jump) { now_.wall += jump; }
  void SetEntropy(std::uint64_t entropy) { now_.entropy = entropy; }

  const Transaction& transaction() const { return transaction_; }
  const Now& now() const { return now_; }
  Micros elapsed() const { return now_.mono - start_; }
  // The record that the last crash left behind.
  Record restored() const { return restored_; }
  const std::string& broken() const { return broken_; }

 private:
  struct Durable {
    Record kind = Record::kNone;
    bool gating = false;
    std::string state;
  };

  Transaction transaction_;
  std::string spec_bytes_;
  Now now_;
  MonoTime start_;
  std::vector<Durable> records_;
  Record restored_ = Record::kNone;
  std::uint64_t generation_ = kFirstStoreGeneration;
  std::string broken_;
};

}  // namespace assent::core::testing
