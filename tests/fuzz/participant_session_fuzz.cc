// Frames of hostile participants: bytes as gRPC hands them over, through the session hub and the
// switchboard, to a real shard. No frame crashes anything, settles a command that is not its own,
// or leaves something that cannot be shown; each command has one end; once an honest participant is
// there, everything ends.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include <assent/limits.h>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/service/convert.h"
#include "coordinator/transport/session_hub.h"
#include "coordinator/transport/switchboard.h"
#include "coordinator/transport/wire.h"
#include "tests/fuzz/draw_spec.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/live_coordinator.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

constexpr int kMaxActionsCount = 200;
constexpr std::uint64_t kSessionsCount = 3;

bool IsName(const std::string& name) {
  return !name.empty() && name.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789._:/-") == std::string::npos;
}

class Hostile final : public transport::Receiver, public transport::Clock {
 public:
  Hostile() { Open(); }
  void Run(Input in) {
    for (int i = 0; i < kMaxActionsCount && !in.empty(); ++i) One(in);
    for (std::uint64_t id = 1; id <= kSessionsCount; ++id) Leave(id);
    ASSENT_CHECK(board_->session_count() == 0);
    // Each command has had its one end; but of those that nobody waited for any longer nothing is
    // said.
    ASSENT_CHECK(open_.empty() || time_passed_);
    live_.Heal();
  }

 private:
  // One participant's stream, as the coordinator has it.
  struct Stream final : transport::FrameStream {
    void Read() override { reading = true; }
    void Write(const v1::CoordinatorFrame& frame) override {
      ASSENT_CHECK(!std::exchange(writing, true) && !finished);
      ASSENT_CHECK(frame.ByteSizeLong() <= limits::kMaxFrameBytes);
      ASSENT_CHECK(v1::CoordinatorFrame().ParseFromString(frame.SerializeAsString()));
      for (const v1::BranchCommand& command : frame.commands())
        ASSENT_CHECK(written.emplace(command.command_id(), command).second);
    }
    void Finish(const Status&) override { ASSENT_CHECK(!std::exchange(finished, true)); }

    std::shared_ptr<transport::FrameSink> sink;
    bool reading = false;
    bool writing = false;
    bool finished = false;
    // Commands that it has been given and not settled.
    std::map<std::uint64_t, v1::BranchCommand> written;
  };

  // What a command is known by between transport and shard.
  using Key = std::tuple<std::string, core::BranchIndex, core::Operation, std::uint32_t>;

  void One(Input& in) {
    const std::uint64_t id = 1 + in.Below(kSessionsCount);
    switch (in.Below(12)) {
      case 0: return FrameFromWire(in, id);
      case 1: return SayHello(in, id);
      case 2: return Leave(id);
      case 3: return Pass(in);
      case 4: return live_.CrashAndStart(0), Forget();
      case 5:
      case 6: return Submit(in);
      default: return Answer(in, id);
    }
  }

  // ---- What comes from a participant

  void FrameFromWire(Input& in, std::uint64_t id) { Bytes(id, std::string(in.Chunk())); }

  void Bytes(std::uint64_t id, std::string bytes) {
    v1::ParticipantFrame frame;
    if (frame.ParseFromString(bytes)) return OnFrame(id, frame);
    v1::ParticipantFrame mended;
    if (transport::ParseMended(bytes, mended)) NoteHonest(id, mended);
    const std::shared_ptr<transport::FrameSink> sink = Reading(id);
    if (sink) sink->OnMalformed(std::move(bytes));
    honest_ = 0;
    Drain();
  }

  void SayHello(Input& in, std::uint64_t id) {
    v1::ParticipantFrame frame;
    v1::Hello& hello = *frame.mutable_hello();
    hello.set_version(1);
    hello.set_service("s" + std::to_string(in.Below(2)));
    hello.set_max_in_flight(in.Below(4));
    for (const v1::Protocol protocol : {v1::TWO_PHASE, v1::TCC, v1::SAGA}) {
      v1::ActionInfo& action = *hello.add_actions();
      action.set_name("act");
      action.set_protocol(protocol);
    }
    OnFrame(id, frame);
  }

  // An answer to what was written to this session, right but for what the input changes.
  void Answer(Input& in, std::uint64_t id) {
    Drain();
    const auto stream = streams_.find(id);
    if (stream == streams_.end() || stream->second->written.empty()) return;
    const auto& written = stream->second->written;
    auto at = written.begin();
    std::advance(at, in.Below(std::min<std::size_t>(written.size(), 256)));
    v1::ParticipantFrame frame;
    v1::BranchReply& reply = *frame.add_replies();
    reply.set_gid(at->second.gid());
    reply.set_branch_id(at->second.branch_id());
    reply.set_operation(at->second.operation());
    reply.set_command_id(at->first);
    const std::uint8_t how = in.Byte();
    reply.set_kind(static_cast<v1::BranchReply::Kind>(how & 7));
    if ((how & 8) != 0) reply.set_operation(static_cast<v1::Operation>(in.Number(2)));
    if ((how & 16) != 0) reply.set_gid(DrawGid(in));
    if ((how & 32) != 0) {
      reply.set_result(std::string(in.Chunk()));
      reply.set_reason(std::string(in.Number(2), 'r'));
      reply.set_retry_after_ms(static_cast<std::int64_t>(in.Number(8)));
    }
    if ((how & 64) != 0) frame.mutable_replies()->Add()->CopyFrom(reply);
    if ((how & 128) != 0) {
      // What a mistake in encoding would do: other bytes on the wire.
      std::string bytes = frame.SerializeAsString();
      for (std::size_t n = in.Below(4); n > 0 && !bytes.empty(); --n)
        bytes[in.Byte() % bytes.size()] = static_cast<char>(in.Byte());
      return Bytes(id, std::move(bytes));
    }
    OnFrame(id, frame);
  }

  // Whoever speaks first opens a stream.
  std::shared_ptr<transport::FrameSink> Reading(std::uint64_t id) {
    auto& stream = streams_[id];
    if (!stream || stream->finished) {
      stream = std::make_unique<Stream>();
      stream->sink = hub_->OnStream(*stream, "ipv4:1:" + std::to_string(id));
    }
    return std::exchange(stream->reading, false) ? stream->sink : nullptr;
  }

  void OnFrame(std::uint64_t id, v1::ParticipantFrame& frame) {
    NoteHonest(id, frame);
    const std::shared_ptr<transport::FrameSink> sink = Reading(id);
    if (sink) sink->OnFrame(frame, frame.ByteSizeLong());
    honest_ = 0;
    Drain();
    CheckListing();
  }

  // Counts what may be settled by this frame: what names a command that was written here and says
  // truly which.
  void NoteHonest(std::uint64_t id, const v1::ParticipantFrame& frame) {
    honest_ = 0;
    const auto stream = streams_.find(id);
    if (stream == streams_.end()) return;
    for (const v1::BranchReply& reply : frame.replies()) {
      const auto found = stream->second->written.find(reply.command_id());
      if (found == stream->second->written.end() || found->second.gid() != reply.gid() ||
          found->second.branch_id() != reply.branch_id() ||
          found->second.operation() != reply.operation())
        continue;
      ++honest_;
      // The slot of an expired command is gone; it was honest all the same.
      stream->second->written.erase(found);
    }
  }

  void OnReplies(std::vector<transport::Reply> replies) override {
    for (const transport::Reply& reply : replies) {
      const auto open = open_.find({reply.gid, reply.branch, reply.operation, reply.attempt});
      ASSENT_CHECK(open != open_.end());
      if (--open->second == 0) open_.erase(open);
      ASSENT_CHECK(reply.reason.size() <= limits::kMaxReasonBytes);
      ASSENT_CHECK(!reply.service_absent || reply.result == core::AttemptResult::kNotSent);
      const bool from_frame = reply.result != core::AttemptResult::kNotSent &&
                              reply.reason.find(" was lost before it") == std::string::npos &&
                              reply.reason.find(" has no action ") == std::string::npos;
      if (from_frame) ASSENT_CHECK(honest_-- > 0);
    }
    live_.Do(engine::RepliesRequest{std::move(replies)});
  }
  void OnServiceAppeared(const std::string& service) override {
    ASSENT_CHECK(IsName(service));
    live_.Do(engine::ServiceAppearedRequest{service});
  }
  void OnQuestion(transport::OutcomeQuestion question,
                  std::function<void(transport::OutcomeAnswer)> answer) override {
    live_.Do(engine::QuestionRequest{std::move(question), std::move(answer)});
  }
  core::MonoTime Mono() const override { return live_.now().mono; }
  core::WallTime Wall() const override { return live_.now().wall; }

  void CheckListing() const {
    v1::ListParticipantsReply reply;
    for (const transport::ServiceInfo& info : board_->List("")) {
      for (const std::string& action : info.actions) ASSENT_CHECK(IsName(action));
      v1::ParticipantInfo& participant = *reply.add_participants();
      participant.set_service(info.service);
      for (const std::string& action : info.actions) participant.add_actions(action);
      for (const transport::InstanceInfo& one : info.instances) {
        ASSENT_CHECK(one.instance.size() <= limits::kMaxInstanceNameBytes);
        ASSENT_CHECK(one.agent.size() <= limits::kMaxAgentBytes);
        participant.add_instances()->set_instance(one.instance);
        participant.mutable_instances()->rbegin()->set_agent(one.agent);
      }
    }
    ASSENT_CHECK(v1::ListParticipantsReply().ParseFromString(reply.SerializeAsString()));
  }

  void Leave(std::uint64_t id) {
    const auto stream = streams_.find(id);
    if (stream == streams_.end()) return;
    const std::shared_ptr<transport::FrameSink> sink = stream->second->sink;
    sink->OnClosed();
    ASSENT_CHECK(stream->second->finished);
    streams_.erase(stream);
    Drain();
  }

  // ---- What goes to participants, and the rest of the world

  void Submit(Input& in) {
    Result<engine::BeginRequest> begin = service::ToBegin(DrawSpec(in), v1::WAIT_DECIDED, false,
                                                          [this] { return live_.IssueGid(); });
    if (!begin.ok()) return;
    begin->done = live_.Checked();
    live_.Do(std::move(begin).value());
    Drain();
  }

  void Pass(Input& in) {
    time_passed_ = true;
    live_.Pass(core::Millis(in.Number(3)));
    board_->Tick();
    hub_->Tick();
    Drain();
  }

  // A crash ends every stream, and what was in the transport with it.
  void Forget() {
    streams_.clear();
    open_.clear();
    live_.commands.clear();
    Open();
  }
  void Open() {
    hub_.reset();
    board_ = std::make_unique<transport::Switchboard>(
        transport::DispatcherLimits{.max_queued_count = 8}, *this, *this);
    hub_ = std::make_unique<transport::SessionHub>(transport::SessionHubOptions{}, *board_);
    hub_->Open(7, 1);
  }

  // Moves commands on until none moves: from the shard to the switchboard, from there onto the
  // streams.
  void Drain() {
    live_.Settle();
    for (int turn = 0; !live_.commands.empty() && turn < 16; ++turn) {
      std::vector<transport::Command> commands;
      for (transport::Command& command : live_.commands) {
        ++open_[{command.gid, command.branch, command.operation, command.attempt}];
        commands.push_back(std::move(command));
      }
      live_.commands.clear();
      board_->Send(std::move(commands));
      live_.Settle();
    }
    for (auto& [id, stream] : streams_) {
      while (!stream->finished && std::exchange(stream->writing, false)) stream->sink->OnWritten();
    }
  }

  LiveCoordinator live_;
  std::unique_ptr<transport::Switchboard> board_;
  std::unique_ptr<transport::SessionHub> hub_;
  std::map<std::uint64_t, std::unique_ptr<Stream>> streams_;  // by hostile participant
  std::map<Key, int> open_;                                   // with the transport
  bool time_passed_ = false;
  int honest_ = 0;
};

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Hostile().Run({data, size});
  return 0;
}
