// Requests of initiators and operators into the conversion of service and a real shard on a log in
// memory, between answers of participants, time, full disks and crashes. The input is a script: a
// byte says what happens, its arguments follow; messages are given as their bytes on the wire, or
// drawn. What was accepted can be recorded, restored and shown; nobody is told two decisions; once
// the faults stop, everything ends.

#include <cstdint>
#include <string>

#include "assent/v1/transaction.pb.h"
#include "coordinator/core/spec.h"
#include "coordinator/service/convert.h"
#include "tests/fuzz/answers.h"
#include "tests/fuzz/draw_spec.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/live_coordinator.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

constexpr int kMaxActionsCount = 200;
constexpr std::size_t kMaxMessageBytes = 64 * 1024;

// A message from the wire; gRPC hands over only what can be parsed.
template <typename Message>
bool Parsed(Input& in, Message& message) {
  const std::string_view bytes = in.Chunk().substr(0, kMaxMessageBytes);
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

class Script {
 public:
  void Run(Input in) {
    for (int i = 0; i < kMaxActionsCount && !in.empty(); ++i) One(in);
    live_.Heal();
  }

 private:
  void One(Input& in) {
    switch (in.Below(20)) {
      case 0: return Submit(in, /*open=*/false, /*from_wire=*/true);
      case 1:
      case 2: return Submit(in, false, false);
      case 3: return Submit(in, true, in.Flip());
      case 4: return Execute(in, in.Flip());
      case 5: return Close(in);
      case 6: return Operate(in);
      case 7: return Forget(in);
      case 8: return Look(in);
      case 9: return Ask(in);
      case 10: return live_.Do(engine::ServiceAppearedRequest{"s" + std::to_string(in.Below(2))});
      case 11: return live_.Pass(core::Millis(in.Number(1 + static_cast<int>(in.Below(4)))));
      case 12: return live_.Write();
      case 13:
        return live_.SetFull(
            static_cast<log::MemoryLog::Full>(in.Below(log::MemoryStore::kFullCount)));
      case 14: return live_.CrashAndStart(in.Below(4));
      case 15: return live_.Settle();
      default: live_.Settle(); return AnswerOne(in, live_);
    }
  }

  void Refused(const Status& status) {
    ASSENT_CHECK(status.code() == Code::kInvalidArgument);
    live_.Check(status, nullptr);
  }

  // As the service: the gid of everything but a Submit is looked at first.
  template <typename Request>
  void Post(const std::string& gid, Request request) {
    const Status named = core::CheckGid(gid);
    if (!named.ok()) return Refused(named);
    live_.Do(std::move(request));
  }

  void Submit(Input& in, bool open, bool from_wire) {
    v1::SubmitRequest request;
    if (from_wire) {
      if (!Parsed(in, request)) return;
    } else {
      *request.mutable_transaction() = DrawSpec(in);
      request.set_wait_for(static_cast<v1::WaitFor>(in.Below(4)));
    }
    Result<engine::BeginRequest> begin =
        service::ToBegin(std::move(*request.mutable_transaction()), request.wait_for(), open,
                         [this] { return live_.IssueGid(); });
    if (!begin.ok()) return Refused(begin.status());
    begin->done = live_.Checked();
    live_.Do(std::move(begin).value());
  }

  void Execute(Input& in, bool from_wire) {
    v1::ExecuteBranchRequest request;
    if (from_wire) {
      if (!Parsed(in, request)) return;
    } else {
      request.set_gid(DrawGid(in));
      DrawBranch(in, static_cast<int>(in.Below(4)), *request.mutable_branch());
    }
    Result<core::BranchSpec> branch =
        service::FromProto(std::move(*request.mutable_branch()), "branch");
    if (!branch.ok()) return Refused(branch.status());
    Post(request.gid(),
         engine::ExecuteRequest{
             request.gid(), *std::move(branch),
             [this](const Status& status, const core::Transaction* txn, core::BranchIndex index) {
               ASSENT_CHECK(!status.ok() || index < txn->branches().size());
               live_.Check(status, txn);
             }});
  }

  void Close(Input& in) {
    v1::RollbackRequest request;
    if (in.Flip()) {
      if (!Parsed(in, request)) return;
    } else {
      request.set_gid(DrawGid(in));
      request.set_wait_for(static_cast<v1::WaitFor>(in.Below(4)));
    }
    const Result<engine::WaitFor> wait = service::FromProto(request.wait_for());
    if (!wait.ok()) return Refused(wait.status());
    const bool commit = in.Flip();
    Post(request.gid(),
         engine::CloseRequest{request.gid(), commit,
                              commit ? "" : std::string(request.reason().substr(0, 1024)), *wait,
                              live_.Checked()});
  }

  bool Action(Input& in, v1::OperatorAction& action) {
    if (in.Flip()) return Parsed(in, action);
    action.set_gid(DrawGid(in));
    action.set_who("ann");
    action.set_reason(std::string(in.Byte() % 4, 'r'));
    action.set_dry_run(in.Below(4) == 0);
    return true;
  }

  void Operate(Input& in) {
    v1::ResolveBranchRequest request;
    if (!Action(in, *request.mutable_action())) return;
    const v1::OperatorAction& action = request.action();
    const Result<core::Actor> actor = service::ActorOf({}, action);
    if (!actor.ok()) return Refused(actor.status());
    const auto verb = static_cast<engine::OperatorVerb>(in.Below(5));
    const auto resolution = static_cast<core::Decision>(in.Below(3));
    Post(action.gid(),
         engine::OperatorRequest{action.gid(), verb, *actor, std::to_string(in.Below(4)),
                                 resolution, action.dry_run(), live_.Checked()});
  }

  void Forget(Input& in) {
    const std::string gid = DrawGid(in);
    const bool dry_run = in.Below(4) == 0;
    live_.Do(engine::ForgetRequest{
        gid, dry_run,
        [this, gid, dry_run](const Status& status, const core::Transaction* txn, const core::Now&) {
          live_.Check(status, txn);
          if (status.ok() && !dry_run) live_.Forgotten(gid);
        }});
  }

  void Look(Input& in) {
    const std::string gid = DrawGid(in);
    switch (in.Below(4)) {
      case 0: return live_.Do(engine::GetRequest{gid, live_.Checked()});
      case 1:
        return live_.Do(engine::WaitRequest{gid, static_cast<engine::WaitFor>(in.Below(3)),
                                            live_.Checked(), [gone = in.Flip()] { return gone; }});
      case 2:
        return live_.Do(engine::WatchRequest{
            gid, [this, left = 1 + static_cast<int>(in.Below(8))](
                     const Status& status, const core::Transaction* txn, const core::Now&) mutable {
              live_.Check(status, txn);
              return --left > 0;
            }});
      default:
        return live_.Do(engine::SliceRequest{
            [this](std::uint64_t, const core::Transaction& txn, bool visible, const core::Now&) {
              live_.Check(OkStatus(), &txn, visible);
            },
            [](const engine::SliceEnd&) {}, static_cast<engine::Part>(in.Below(3)), in.Number(1),
            in.Number(2), in.Below(8)});
    }
  }

  void Ask(Input& in) {
    transport::OutcomeQuestion question{DrawGid(in), std::to_string(in.Below(4)),
                                        static_cast<std::uint32_t>(in.Below(3)), in.Number(2)};
    live_.Do(engine::QuestionRequest{question, [question](const transport::OutcomeAnswer& answer) {
                                       ASSENT_CHECK(answer.gid == question.gid);
                                       ASSENT_CHECK(answer.branch_id == question.branch_id);
                                     }});
  }

  LiveCoordinator live_;
};

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Script().Run({data, size});
  return 0;
}
