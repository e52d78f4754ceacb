#include "tools/assent-bench/shapes.h"

#include <utility>
#include <variant>
#include <vector>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/transaction.h"

namespace assent::bench {
namespace {

constexpr std::uint64_t kEpoch = (std::uint64_t{1} << 24) + 0x5EED;

core::TransactionSpec SpecOf(const Load& load) {
  core::TransactionSpec spec;
  spec.gid = "0192f0a1b2c3" + std::string(20, '7');  // as long as those of the SDK
  for (int i = 0; i < load.branches; ++i) {
    core::BranchSpec branch;
    branch.protocol = ProtocolOf(load) == "2pc" ? core::Protocol::kTwoPhase : core::Protocol::kTcc;
    branch.service = ServiceName(load, i % load.participants);
    branch.action = "act";
    branch.payload.assign(static_cast<std::size_t>(load.payload_bytes), 'p');
    spec.branches.push_back(std::move(branch));
  }
  ASSENT_CHECK(core::Normalise(spec).ok());
  return spec;
}

}  // namespace

Shape ShapeOf(const Load& load) {
  core::Transaction txn(SpecOf(load));
  core::Now now{core::MonoTime(std::chrono::hours(1)),
                core::WallTime(core::Millis(1'700'000'000'000)), 1};
  Shape shape;
  shape.spec = core::Codec::EncodeSpec(txn);
  core::Step step = txn.Apply(core::Begin{kEpoch}, now);
  shape.begun = core::Codec::EncodeState(txn);
  while (!txn.finished()) {
    now.mono += core::Micros(3000);  // an answer comes after some milliseconds
    now.wall += core::Millis(3);
    std::vector<core::Effect> effects;
    for (const core::Effect& effect : step.effects) {
      const auto* send = std::get_if<core::Send>(&effect);
      if (send == nullptr) continue;
      core::Answered answer;
      answer.branch = send->branch;
      answer.operation = send->operation;
      answer.attempt = send->attempt;
      answer.result = core::AttemptResult::kDone;
      const core::Step next = txn.Apply(answer, now);
      effects.insert(effects.end(), next.effects.begin(), next.effects.end());
    }
    ASSENT_CHECK(!effects.empty() || txn.finished());
    if (shape.decided.empty() && txn.decision() != core::Decision::kNone) {
      txn.NoteDecisionDurable(now.wall);
      shape.decided = core::Codec::EncodeState(txn);
    }
    step.effects = std::move(effects);
  }
  shape.finished = core::Codec::EncodeState(txn);
  return shape;
}

}  // namespace assent::bench
