// The two strings of a row, as bytes that got past a checksum: Codec::Decode refuses them, or gives
// a sound transaction whose bytes they are, which can be recovered and lived with: any further
// events, and no step breaks a rule of the core.
//
//   chunk spec, chunk state, then events

#include <cstdint>
#include <cstdio>
#include <string>

#include "coordinator/core/codec.h"
#include "coordinator/core/describe.h"
#include "tests/core/checker.h"
#include "tests/fuzz/events.h"
#include "tests/fuzz/input.h"

namespace assent::fuzz {
namespace {

constexpr int kMaxEventsCount = 64;

void Apply(core::Transaction& txn, const core::Event& event, const core::Now& now) {
  const core::Transaction before = txn;
  const core::Step step = txn.Apply(event, now);
  const std::string broken = core::testing::BrokenByStep(before, event, step, txn, now);
  if (!broken.empty()) std::fprintf(stderr, "event %zu: %s\n", event.index(), broken.c_str());
  ASSENT_CHECK(broken.empty());
  for (const core::Effect& effect : step.effects) {
    if (const auto* send = std::get_if<core::Send>(&effect)) txn.NoteSent(*send, now);
  }
  (void)core::WhyNotFinished(txn, now);
}

void Try(Input in) {
  const std::string spec(in.Chunk());
  const std::string state(in.Chunk());
  Result<core::Transaction> decoded = core::Codec::Decode("gid-1", spec, state);
  if (!decoded.ok()) {
    ASSENT_CHECK(decoded.status().code() == Code::kDataLoss);
    return;
  }
  core::Transaction txn = *std::move(decoded);
  // One transaction has one way to be written.
  ASSENT_CHECK(core::Codec::EncodeSpec(txn) == spec);
  ASSENT_CHECK(core::Codec::EncodeState(txn) == state);
  if (txn.finished()) return;

  core::Now now;
  now.mono = core::MonoTime(std::chrono::hours(1));
  now.wall = core::WallTime(core::Millis(1'700'000'000'000));
  Apply(txn, core::Recover{}, now);
  for (int i = 0; i < kMaxEventsCount && !in.empty() && !txn.finished(); ++i) {
    const core::Millis passed(in.Flip() ? in.Number(3) : 0);
    now.mono += passed;
    now.wall += passed;
    now.entropy = in.Byte();
    const core::MonoTime wakeup = txn.Wakeup();
    if (in.Flip() && wakeup != core::kNever && wakeup > now.mono) now.mono = wakeup;
    const core::Event event = DrawEvent(in, txn);
    Apply(txn, event, now);
  }
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::Try({data, size});
  return 0;
}
