#include "tests/core/rig.h"

#include <utility>

#include "coordinator/core/codec.h"
#include "tests/core/checker.h"

namespace assent::core::testing {

Rig::Rig(TransactionSpec spec)
    : transaction_(std::move(spec)), spec_bytes_(Codec::EncodeSpec(transaction_)) {
  now_.mono = MonoTime(std::chrono::hours(1));
  now_.wall = WallTime(Millis(1'700'000'000'000));
  start_ = now_.mono;
}

Step Rig::Apply(const Event& event) {
  const Transaction before = transaction_;
  Step step = transaction_.Apply(event, now_);
  if (broken_.empty()) broken_ = BrokenByStep(before, event, step, transaction_, now_);
  transaction_.NoteGeneration(generation_);
  if (step.record != Record::kNone)
    records_.push_back({step.record, step.gating, Codec::EncodeState(transaction_)});
  return step;
}

bool Rig::Crash(Loss loss, Millis down, Step& recovered) {
  if (loss != Loss::kNothing) {
    while (!records_.empty() && !records_.back().gating) records_.pop_back();
    if (loss == Loss::kLast && !records_.empty()) records_.pop_back();
  }
  if (records_.empty()) return false;
  PassTime(down);
  Result<Transaction> restored =
      Codec::Decode(transaction_.gid(), spec_bytes_, records_.back().state);
  if (!restored.ok()) {
    broken_ = restored.status().ToString();
    return false;
  }
  restored_ = records_.back().kind;
  transaction_ = std::move(restored).value();
  if (!transaction_.finished()) recovered = Apply(Recover{generation_});
  return true;
}

void Rig::PassTime(Micros time) {
  now_.mono += time;
  // The clock for people counts whole milliseconds since the start, so that no part of one is lost.
  static_assert(std::is_same_v<WallTime::duration, Millis>);
  const Micros before = now_.mono - time - start_;
  const Micros after = now_.mono - start_;
  now_.wall += std::chrono::floor<Millis>(after) - std::chrono::floor<Millis>(before);
}

}  // namespace assent::core::testing
