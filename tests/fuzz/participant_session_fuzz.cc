// Frames of hostile participants: bytes as gRPC hands them over, through the conversion of the wire and the session router, to a
// real shard. No frame crashes anything, settles a command that is not its own, or leaves something that cannot be shown; each
// command has one end; once an honest participant is there, everything ends.
//
// The frames are handled as SessionHub does, which has streams and locks around the same calls.

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include <assent/limits.h>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/api/convert.h"
#include "coordinator/transport/session_router.h"
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

class Hostile {
 public:
  void Run(Input in) {
    for (int i = 0; i < kMaxActionsCount && !in.empty(); ++i) One(in);
    for (std::uint64_t id = 1; id <= kSessionsCount; ++id) Leave(id);
    ASSENT_CHECK(router_.session_count() == 0);
    // Each command has had its one end; but of those that nobody waited for any longer the router says nothing.
    ASSENT_CHECK(open_.empty() || time_passed_);
    live_.Heal();
  }

 private:
  // What a command is known by between router and shard.
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

  void FrameFromWire(Input& in, std::uint64_t id) {
    const std::string_view bytes = in.Chunk();
    v1::ParticipantFrame frame;
    if (frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) OnFrame(id, frame);
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
    auto& written = written_[id];
    if (written.empty()) return;
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
      if (!frame.ParseFromString(bytes)) return;
    }
    OnFrame(id, frame);
  }

  void OnFrame(std::uint64_t id, v1::ParticipantFrame& frame) {
    if (frame.has_hello() == (sessions_.count(id) != 0)) return Leave(id);
    if (frame.has_hello()) {
      bool first = false;
      const transport::SessionHello hello = transport::FromWire(frame.hello());
      const std::uint64_t number = next_session_++;
      const Status status = router_.Attach(number, hello, "ipv4:1", live_.now().wall, first);
      live_.Check(status, nullptr);
      if (!status.ok()) return;
      sessions_[id] = number;
      ASSENT_CHECK(IsName(frame.hello().service()));
      for (const v1::ActionInfo& action : frame.hello().actions()) {
        ASSENT_CHECK(IsName(action.name()) && v1::Protocol_IsValid(action.protocol()));
      }
      if (first) live_.Do(engine::ServiceAppearedRequest{hello.service});
    }
    OnMessages(id, frame);
    Drain();
    CheckListing();
  }

  void OnMessages(std::uint64_t id, v1::ParticipantFrame& frame) {
    const auto count = static_cast<std::size_t>(frame.replies_size() + frame.queries_size());
    if (count > limits::kMaxFrameMessagesCount) return Leave(id);
    std::vector<transport::SessionReply> replies;
    for (v1::BranchReply& reply : *frame.mutable_replies()) {
      CheckHonest(id, reply);
      replies.push_back(transport::FromWire(std::move(reply)));
    }
    std::vector<transport::SessionId> touched;
    Deliver(router_.OnReplies(sessions_.at(id), std::move(replies), live_.now().mono, touched));
    for (const v1::OutcomeQuery& query : frame.queries()) {
      live_.Do(engine::QuestionRequest{
          transport::FromWire(query), [](const transport::OutcomeAnswer& answer) {
            v1::OutcomeAnswer message;
            transport::ToWire(answer, message);
            ASSENT_CHECK(v1::OutcomeAnswer().ParseFromString(message.SerializeAsString()));
          }});
    }
    if (frame.goodbye()) router_.Drain(sessions_.at(id));
  }

  // Remembers what may be settled by this frame: what names a command that was written here and says truly which.
  void CheckHonest(std::uint64_t id, const v1::BranchReply& reply) {
    const auto found = written_[id].find(reply.command_id());
    if (found == written_[id].end() || found->second.gid() != reply.gid() ||
        found->second.branch_id() != reply.branch_id() ||
        found->second.operation() != reply.operation())
      return;
    honest_.push_back(reply.gid());
    // The slot of an expired command is gone; it was honest all the same.
    written_[id].erase(found);
  }

  void Deliver(std::vector<transport::Reply> replies, bool from_frame = true) {
    ASSENT_CHECK(!from_frame || replies.size() <= honest_.size());
    honest_.clear();
    for (const transport::Reply& reply : replies) {
      const auto open = open_.find({reply.gid, reply.branch, reply.operation, reply.attempt});
      ASSENT_CHECK(open != open_.end());
      if (--open->second == 0) open_.erase(open);
      ASSENT_CHECK(reply.reason.size() <= limits::kMaxReasonBytes || !from_frame);
    }
    live_.Do(engine::RepliesRequest{std::move(replies)});
  }

  void CheckListing() const {
    v1::ListParticipantsReply reply;
    for (const transport::ServiceInfo& info : router_.List("")) {
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
    const auto session = sessions_.find(id);
    if (session == sessions_.end()) return;
    const transport::SessionId number = session->second;
    sessions_.erase(session);
    written_.erase(id);
    Deliver(router_.Detach(number), /*from_frame=*/false);
    Drain();
  }

  // ---- What goes to participants, and the rest of the world

  void Submit(Input& in) {
    Result<engine::BeginRequest> begin =
        api::ToBegin(DrawSpec(in), v1::WAIT_DECIDED, false, [this] { return live_.IssueGid(); });
    if (!begin.ok()) return;
    begin->done = live_.Checked();
    live_.Do(std::move(begin).value());
    Drain();
  }

  void Pass(Input& in) {
    time_passed_ = true;
    live_.Pass(core::Millis(in.Number(3)));
    std::vector<transport::SessionId> touched;
    router_.ExpireSlots(live_.now().mono, touched);
    Drain();
  }

  // A crash ends every stream, and what was in the router with it.
  void Forget() {
    router_ = transport::SessionRouter(transport::RouterLimits{.max_queued_count = 8});
    sessions_.clear();
    written_.clear();
    open_.clear();
    live_.commands.clear();
  }

  // Moves commands on until none moves: from the shard to the router, from there onto the streams.
  void Drain() {
    live_.Settle();
    for (int turn = 0; !live_.commands.empty() && turn < 16; ++turn) {
      std::vector<transport::Command> commands;
      for (transport::Command& command : live_.commands) {
        ++open_[{command.gid, command.branch, command.operation, command.attempt}];
        commands.push_back(std::move(command));
      }
      live_.commands.clear();
      std::vector<transport::SessionId> touched;
      Deliver(router_.Send(std::move(commands), live_.now().mono, touched), /*from_frame=*/false);
      live_.Settle();
    }
    for (const auto& [id, number] : sessions_) {
      for (auto& [command_id, command] :
           router_.TakeOutbox(number, limits::kMaxFrameMessagesCount, 1024 * 1024)) {
        v1::BranchCommand message;
        transport::ToWire(std::move(command), command_id, 7, message);
        ASSENT_CHECK(v1::BranchCommand().ParseFromString(message.SerializeAsString()));
        ASSENT_CHECK(written_[id].emplace(command_id, std::move(message)).second);
      }
    }
  }

  LiveCoordinator live_;
  transport::SessionRouter router_{transport::RouterLimits{.max_queued_count = 8}};
  std::uint64_t next_session_ = 1;
  std::map<std::uint64_t, transport::SessionId> sessions_;
  // By hostile participant: commands it has been given and not settled.
  std::map<std::uint64_t, std::map<std::uint64_t, v1::BranchCommand>> written_;
  std::map<Key, int> open_;  // with the router
  bool time_passed_ = false;
  std::vector<std::string> honest_;
};

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Hostile().Run({data, size});
  return 0;
}
