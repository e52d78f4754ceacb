#pragma once

#include "tests/fuzz/input.h"
#include "tests/fuzz/live_coordinator.h"

namespace assent::fuzz {

// One command that is on its way is answered as the input says, rightly or wrongly; or lost; or
// answered and kept, so that it can be answered again.
inline void AnswerOne(Input& in, LiveCoordinator& live) {
  if (live.commands.empty()) return;
  const std::size_t at = in.Below(std::min<std::size_t>(live.commands.size(), 256));
  const transport::Command& command = live.commands[at];
  constexpr core::AttemptResult kResults[] = {
      core::AttemptResult::kDone,    core::AttemptResult::kDone,
      core::AttemptResult::kDone,    core::AttemptResult::kDoneReadOnly,
      core::AttemptResult::kRefused, core::AttemptResult::kRetryLater,
      core::AttemptResult::kUnknown, core::AttemptResult::kNotSent};
  const std::uint8_t how = in.Byte();
  transport::Reply reply{
      command.gid, command.branch, command.operation, command.attempt, kResults[how & 7], {},
      {},          core::Millis(0)};
  if ((how & 8) != 0) {
    // A transport hands over nothing but what a participant may say: bytes with DONE, UTF-8 as a
    // reason.
    if (reply.result == core::AttemptResult::kDone)
      reply.bytes = std::string(in.Chunk());
    else
      reply.reason = std::string(in.Byte(), 'r');
    reply.retry_after = core::Millis(in.Number(3));
  }
  if ((how & 16) != 0) reply.attempt = in.Byte();
  if ((how & 96) == 96) {
    reply.operation = static_cast<core::Operation>(in.Below(9));
    reply.branch = static_cast<core::BranchIndex>(in.Byte());
  }
  if ((how & 128) == 0)
    live.commands.erase(live.commands.begin() + static_cast<std::ptrdiff_t>(at));
  live.Do(engine::RepliesRequest{{std::move(reply)}});
}

}  // namespace assent::fuzz
