// The session's wire: commands and replies, in frames of so many, on either side.

#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "assent/v1/participant.pb.h"
#include "coordinator/transport/wire.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent {
namespace {

constexpr std::uint64_t kEpoch = (std::uint64_t{1} << 24) + 0x5EED;

transport::Command OneCommand(std::int64_t number) {
  transport::Command command;
  command.gid = "0192f0a1b2c3" + std::string(17, '7') + std::to_string(100 + number % 900);
  command.branch_id = "1";
  command.operation = core::Operation::kTry;
  command.service = "bench-0";
  command.action = "act";
  command.payload.assign(16, 'p');
  command.attempt = 1;
  command.timeout = core::Millis(10'000);
  command.began_epoch = kEpoch;
  return command;
}

std::string CommandFrame(std::int64_t count) {
  v1::CoordinatorFrame frame;
  for (std::int64_t i = 0; i < count; ++i)
    transport::ToWire(OneCommand(i), static_cast<std::uint64_t>(i), 4711, *frame.add_commands());
  return frame.SerializeAsString();
}

void Count(benchmark::State& state, const char* what) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
  state.SetLabel(std::string(what) + ", " + std::to_string(state.range(0)) + " to a frame");
}

// Coordinator: commands become a frame, the frame bytes.
void FrameEncodeCommands(benchmark::State& state) {
  v1::CoordinatorFrame frame;
  std::string bytes;
  for (auto _ : state) {
    frame.Clear();
    for (std::int64_t i = 0; i < state.range(0); ++i)
      transport::ToWire(OneCommand(i), static_cast<std::uint64_t>(i), 4711, *frame.add_commands());
    frame.SerializeToString(&bytes);
  }
  Count(state, "a command");
}
BENCHMARK(FrameEncodeCommands)->Arg(1)->Arg(32)->Arg(256);

// Participant: bytes become calls.
void FrameDecodeCommands(benchmark::State& state) {
  const std::string bytes = CommandFrame(state.range(0));
  for (auto _ : state) {
    v1::CoordinatorFrame frame;
    ASSENT_CHECK(frame.ParseFromString(bytes));
    for (v1::BranchCommand& command : *frame.mutable_commands()) {
      const Result<Call> call = internal::TakeCall(&command);
      ASSENT_CHECK(call.ok());
    }
  }
  Count(state, "a command");
}
BENCHMARK(FrameDecodeCommands)->Arg(1)->Arg(32)->Arg(256);

void FillReplies(std::int64_t count, v1::ParticipantFrame& frame) {
  for (std::int64_t i = 0; i < count; ++i) {
    v1::BranchReply& reply = *frame.add_replies();
    reply.set_gid("0192f0a1b2c3" + std::string(20, '7'));
    reply.set_branch_id("1");
    reply.set_operation(v1::TRY);
    reply.set_command_id(static_cast<std::uint64_t>(i) + 1);
    internal::PutReply(Operation::kTry, Reply::Done(), &reply);
  }
}

// Participant: replies become a frame, the frame bytes.
void FrameEncodeReplies(benchmark::State& state) {
  std::string bytes;
  for (auto _ : state) {
    v1::ParticipantFrame frame;
    FillReplies(state.range(0), frame);
    frame.SerializeToString(&bytes);
  }
  Count(state, "a reply");
}
BENCHMARK(FrameEncodeReplies)->Arg(1)->Arg(32)->Arg(256);

// Coordinator: bytes become replies.
void FrameDecodeReplies(benchmark::State& state) {
  v1::ParticipantFrame filled;
  FillReplies(state.range(0), filled);
  const std::string bytes = filled.SerializeAsString();
  v1::ParticipantFrame frame;
  for (auto _ : state) {
    ASSENT_CHECK(frame.ParseFromString(bytes));
    for (v1::BranchReply& reply : *frame.mutable_replies()) {
      transport::SessionReply taken = transport::FromWire(std::move(reply));
      benchmark::DoNotOptimize(taken);
    }
  }
  Count(state, "a reply");
}
BENCHMARK(FrameDecodeReplies)->Arg(1)->Arg(32)->Arg(256);

}  // namespace
}  // namespace assent
