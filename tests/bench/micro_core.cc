// The state machine alone: what a transaction's steps cost, and the bytes of its records.

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <benchmark/benchmark.h>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

constexpr std::uint64_t kEpoch = (std::uint64_t{1} << 24) + 0x5EED;

TransactionSpec SpecOf(Protocol protocol, std::int64_t branches) {
  TransactionSpec spec;
  spec.gid = "0192f0a1b2c3" + std::string(20, '7');
  for (std::int64_t i = 0; i < branches; ++i) {
    BranchSpec branch;
    branch.protocol = protocol;
    branch.service = "bench-" + std::to_string(i % 2);
    branch.action = "act";
    branch.payload.assign(16, 'p');
    spec.branches.push_back(std::move(branch));
  }
  ASSENT_CHECK(Normalise(spec).ok());
  return spec;
}

// What a coordinator does with its steps, but for writing and sending.
class Drive {
 public:
  explicit Drive(const TransactionSpec& spec) : txn_(spec) {
    Take(txn_.Apply(Begin{kEpoch}, now_));
  }

  // Answers the next command that is due; false when there is none.
  bool Next() {
    if (next_ == sends_.size()) return false;
    const Send send = sends_[next_++];
    now_.mono += Micros(10);
    txn_.NoteSent(send, now_);
    Answered answer;
    answer.branch = send.branch;
    answer.operation = send.operation;
    answer.attempt = send.attempt;
    answer.result = AttemptResult::kDone;
    Take(txn_.Apply(answer, now_));
    return true;
  }
  const Transaction& transaction() const { return txn_; }

 private:
  void Take(const Step& step) {
    for (const Effect& effect : step.effects) {
      if (const auto* send = std::get_if<Send>(&effect)) sends_.push_back(*send);
    }
  }

  Transaction txn_;
  Now now_{MonoTime(std::chrono::hours(1)), WallTime(Millis(1'700'000'000'000)), 1};
  std::vector<Send> sends_;
  std::size_t next_ = 0;
};

// A whole transaction, from Begin to its end.
void Apply(benchmark::State& state, Protocol protocol) {
  const TransactionSpec spec = SpecOf(protocol, state.range(0));
  for (auto _ : state) {
    Drive drive(spec);
    while (drive.Next()) {
    }
    ASSENT_CHECK(drive.transaction().finished());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.SetLabel("a transaction, " + std::to_string(state.range(0)) + " branches");
}
BENCHMARK_CAPTURE(Apply, tcc, Protocol::kTcc)->Arg(1)->Arg(2)->Arg(8)->Arg(32);
BENCHMARK_CAPTURE(Apply, 2pc, Protocol::kTwoPhase)->Arg(1)->Arg(2)->Arg(8)->Arg(32);
BENCHMARK_CAPTURE(Apply, saga, Protocol::kSaga)->Arg(1)->Arg(2)->Arg(8)->Arg(32);

// The record of the decision.
Drive Decided(std::int64_t branches) {
  Drive drive(SpecOf(Protocol::kTcc, branches));
  for (std::int64_t i = 0; i < branches; ++i) ASSENT_CHECK(drive.Next());
  ASSENT_CHECK(drive.transaction().decision() == Decision::kCommit);
  return drive;
}

void EncodeState(benchmark::State& state) {
  const Drive drive = Decided(state.range(0));
  std::size_t bytes = 0;
  for (auto _ : state) bytes = Codec::EncodeState(drive.transaction()).size();
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.SetLabel("a record of " + std::to_string(bytes) + " bytes");
}
BENCHMARK(EncodeState)->Arg(2)->Arg(8)->Arg(32);

void EncodeSpec(benchmark::State& state) {
  const Drive drive = Decided(state.range(0));
  std::size_t bytes = 0;
  for (auto _ : state) bytes = Codec::EncodeSpec(drive.transaction()).size();
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.SetLabel("a spec of " + std::to_string(bytes) + " bytes");
}
BENCHMARK(EncodeSpec)->Arg(2)->Arg(8)->Arg(32);

// What a start does with each row.
void DecodeRow(benchmark::State& state) {
  const Drive drive = Decided(state.range(0));
  const std::string gid = drive.transaction().gid();
  const std::string spec = Codec::EncodeSpec(drive.transaction());
  const std::string bytes = Codec::EncodeState(drive.transaction());
  for (auto _ : state) {
    const Result<Transaction> txn = Codec::Decode(gid, spec, bytes);
    ASSENT_CHECK(txn.ok());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.SetLabel("a row");
}
BENCHMARK(DecodeRow)->Arg(2)->Arg(8)->Arg(32);

}  // namespace
}  // namespace assent::core
