// Writes seed inputs for the fuzz targets, from runs of a real shard: the rows it wrote, the
// requests it took, the frames of its sessions and what it showed. tools/fuzz.sh --merge then keeps
// what adds coverage.
//
//   fuzz-seeds FOLDER [RUNS]        FOLDER/TARGET/seed-NUMBER

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/core/codec.h"
#include "coordinator/service/convert.h"
#include "coordinator/transport/wire.h"
#include "proto/words/words.h"
#include "tests/fuzz/answers.h"
#include "tests/fuzz/draw_spec.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/live_coordinator.h"
#include "tools/assent-sim/dice.h"

namespace assent::fuzz {
namespace {

class Seeds {
 public:
  explicit Seeds(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void Put(const std::string& target, const std::string& bytes) {
    if (bytes.size() > 4096) return;
    std::filesystem::create_directories(folder_ / target);
    const std::string name = "seed-" + std::to_string(++count_[target]);
    std::ofstream(folder_ / target / name, std::ios::binary) << bytes;
  }
  void Report() const {
    for (const auto& [target, count] : count_) std::printf("%s: %d\n", target.c_str(), count);
  }

 private:
  const std::filesystem::path folder_;
  std::map<std::string, int> count_;
};

std::string Op(std::uint8_t op, const std::string& message) {
  std::string script(1, static_cast<char>(op));
  PutChunk(script, message);
  return script;
}

// Script actions of the targets that take a message from the wire: kept in step with their
// switches.
constexpr std::uint8_t kRequestsSubmit = 0;
constexpr std::uint8_t kParticipantFrame = 0;
constexpr std::uint8_t kCoordinatorFrame = 0;

class Run {
 public:
  Run(std::uint64_t seed, Seeds& seeds) : draw_(seed), seeds_(seeds) {
    live_.on_entry = [this](const log::Entry& entry, const std::string& spec) {
      std::string row;
      PutChunk(row, spec);
      PutChunk(row, entry.state);
      seeds_.Put("log_rows", row + Bytes(24));
    };
  }

  void Go() {
    for (int i = 0; i < 30; ++i) {
      const std::string bytes = Bytes(64);
      Input in(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
      switch (draw_.Below(8)) {
        case 0:
        case 1: Submit(in); break;
        case 2: Operate(in); break;
        case 3: live_.Pass(core::Millis(draw_.Below(5000))); break;
        case 4:
          if (draw_.Chance(200)) live_.CrashAndStart(draw_.Below(2));
          break;
        default:
          live_.Settle();
          Frames();
          AnswerOne(in, live_);
      }
      live_.Settle();
    }
    Show();
    live_.Heal();
  }

 private:
  std::string Bytes(std::size_t count) {
    std::string bytes(count, '\0');
    for (char& byte : bytes) byte = static_cast<char>(draw_.Below(256));
    return bytes;
  }

  void Submit(Input& in) {
    v1::SubmitRequest request;
    *request.mutable_transaction() = DrawSpec(in);
    request.set_wait_for(static_cast<v1::WaitFor>(draw_.Below(4)));
    seeds_.Put("requests", Op(kRequestsSubmit, request.SerializeAsString()) + Bytes(40));
    Result<engine::BeginRequest> begin =
        service::ToBegin(request.transaction(), request.wait_for(), draw_.Chance(200),
                         [this] { return live_.IssueGid(); });
    if (!begin.ok()) return;
    begin->done = live_.Checked();
    live_.Do(*std::move(begin));
  }

  void Operate(Input& in) {
    live_.Do(engine::OperatorRequest{DrawGid(in),
                                     static_cast<engine::OperatorVerb>(in.Below(5)),
                                     {"ann", "the disk was full"},
                                     std::to_string(1 + in.Below(3)),
                                     static_cast<core::Decision>(1 + in.Below(2)),
                                     false,
                                     live_.Checked()});
  }

  // The commands under way as a session would carry them, and their answers.
  void Frames() {
    if (live_.commands.empty()) return;
    v1::CoordinatorFrame to;
    v1::ParticipantFrame from;
    std::uint64_t id = 0;
    for (const transport::Command& command : live_.commands) {
      transport::ToWire(transport::Command(command), ++id, 7, *to.add_commands());
      v1::BranchReply& reply = *from.add_replies();
      reply.set_gid(command.gid);
      reply.set_branch_id(command.branch_id);
      reply.set_operation(wire::ToWire(command.operation));
      reply.set_command_id(id);
      reply.set_kind(static_cast<v1::BranchReply::Kind>(1 + draw_.Below(4)));
      reply.set_result("result");
    }
    v1::OutcomeQuery& query = *from.add_queries();
    query.set_gid(live_.commands.front().gid);
    query.set_branch_id("1");
    query.set_coordinator_id(1);
    v1::OutcomeAnswer& answer = *to.add_answers();
    answer.set_gid(query.gid());
    answer.set_branch_id("1");
    answer.set_verdict(v1::OutcomeAnswer::COMMIT);
    v1::ParticipantFrame hello;
    hello.mutable_hello()->set_version(1);
    hello.mutable_hello()->set_service("s0");
    hello.mutable_hello()->set_agent("assent-cpp/0.1.0");
    v1::ActionInfo& action = *hello.mutable_hello()->add_actions();
    action.set_name("act");
    action.set_protocol(v1::TCC);
    v1::CoordinatorFrame welcome;
    welcome.mutable_welcome()->set_session_id("session-1");
    welcome.mutable_welcome()->set_coordinator_id(7);
    const std::string session(1, '\0');
    seeds_.Put("participant_session",
               session + Op(kParticipantFrame, hello.SerializeAsString()) + session +
                   Op(kParticipantFrame, from.SerializeAsString()) + Bytes(40));
    seeds_.Put("coordinator_session", session + Op(kCoordinatorFrame, welcome.SerializeAsString()) +
                                          Op(kCoordinatorFrame, to.SerializeAsString()) +
                                          Bytes(40));
  }

  void Show() {
    v1::ListReply list;
    live_.Do(engine::SliceRequest{
        [&](std::uint64_t, const core::Transaction& txn, bool visible, const core::Now& now) {
          v1::Transaction shown;
          service::ToProto(txn, now, service::Detail::kFull, visible, shown);
          seeds_.Put("ctl", std::string(1, '\6') + Bytes(1) + shown.SerializeAsString());
          service::ToProto(txn, now, service::Detail::kSummary, visible, *list.add_transactions());
        },
        [](const engine::SliceEnd&) {}});
    seeds_.Put("ctl", std::string(1, '\3') + Bytes(1) + list.SerializeAsString());
  }

  sim::Dice draw_;
  Seeds& seeds_;
  LiveCoordinator live_;
};

}  // namespace
}  // namespace assent::fuzz

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fuzz-seeds FOLDER [RUNS]\n");
    return 2;
  }
  const std::uint64_t runs = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20;
  assent::fuzz::Seeds seeds(argv[1]);
  for (std::uint64_t seed = 1; seed <= runs; ++seed) assent::fuzz::Run(seed, seeds).Go();
  seeds.Report();
  return 0;
}
