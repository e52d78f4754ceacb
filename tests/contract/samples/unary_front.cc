#include "tests/contract/samples/unary_front.h"

#include <chrono>
#include <csignal>
#include <memory>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "assent/v1/participant.grpc.pb.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent::contract::samples {
namespace {

constexpr std::chrono::seconds kGrace{10};

sigset_t EndSignals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  return ends;
}

// A responder that goes away uncalled: the outcome is unknown, and no answer says so.
class Ending {
 public:
  explicit Ending(grpc::ServerUnaryReactor* reactor) : reactor_(reactor) {}
  ~Ending() {
    if (!answered_) reactor_->Finish(grpc::Status(grpc::StatusCode::UNKNOWN, "unknown outcome"));
  }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  void Answered() {
    answered_ = true;
    reactor_->Finish(grpc::Status::OK);
  }

 private:
  grpc::ServerUnaryReactor* const reactor_;
  bool answered_ = false;
};

class Front final : public v1::Participant::CallbackService {
 public:
  explicit Front(Resource& resource) : resource_(resource) {}

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const v1::BranchCommand* command,
                                    v1::BranchReply* reply) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    v1::BranchCommand taken = *command;
    Result<Call> call = internal::TakeCall(&taken);
    if (!call.ok()) {  // no answer: whoever asks so is told nothing about any branch
      reactor->Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, call.status().message()));
      return reactor;
    }
    reply->set_gid(command->gid());
    reply->set_branch_id(command->branch_id());
    reply->set_operation(command->operation());
    reply->set_command_id(command->command_id());
    const auto ending = std::make_shared<Ending>(reactor);
    const Operation operation = call->operation;
    resource_.Execute(std::move(*call), [ending, reply, operation](Reply answer) {
      internal::PutReply(operation, std::move(answer), reply);
      ending->Answered();
    });
    return reactor;
  }

 private:
  Resource& resource_;
};

}  // namespace

void HoldSignals() {
  const sigset_t ends = EndSignals();
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
}

Status ServeUnary(Resource& resource, const std::string& listen) {
  const sigset_t ends = EndSignals();
  Front front(resource);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials());
  builder.RegisterService(&front);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return Unavailable("cannot listen at " + listen);
  int signal_number = 0;
  sigwait(&ends, &signal_number);
  server->Shutdown(std::chrono::system_clock::now() + kGrace);
  server->Wait();
  return OkStatus();
}

}  // namespace assent::contract::samples
