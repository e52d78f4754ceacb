#include "tests/crash/bank_dialled.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "assent/v1/participant.grpc.pb.h"
#include "participant-sdk/cpp/src/wire.h"

namespace assent::crash {
namespace {

// One call. The last one to let go of it ends it: with the answer, or, when the store has none (an
// I/O error hit its COMMIT), as an unknown outcome.
class Pending {
 public:
  Pending(grpc::ServerUnaryReactor* reactor, Operation operation, v1::BranchReply* reply)
      : reactor_(reactor), operation_(operation), reply_(reply) {}
  ~Pending() {
    reactor_->Finish(answered_ ? grpc::Status::OK
                               : grpc::Status(grpc::StatusCode::UNKNOWN, "no answer is known"));
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  void Answer(Reply reply) {
    internal::PutReply(operation_, std::move(reply), reply_);
    answered_ = true;
  }

 private:
  grpc::ServerUnaryReactor* const reactor_;
  const Operation operation_;
  v1::BranchReply* const reply_;
  bool answered_ = false;
};

class Service final : public v1::Participant::CallbackService {
 public:
  explicit Service(Resource& resource) : resource_(resource) {}

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const v1::BranchCommand* request,
                                    v1::BranchReply* reply) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    v1::BranchCommand command = *request;
    reply->set_gid(request->gid());
    reply->set_branch_id(request->branch_id());
    reply->set_operation(request->operation());
    Result<Call> call = internal::TakeCall(&command);
    if (!call.ok()) {
      reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT, call.status().message()});
      return reactor;
    }
    auto pending = std::make_shared<Pending>(reactor, call->operation, reply);
    resource_.Execute(std::move(call).value(), [pending = std::move(pending)](Reply answer) {
      pending->Answer(std::move(answer));
    });
    return reactor;
  }

 private:
  Resource& resource_;
};

sigset_t Sigterm() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

void BlockSigterm() {
  const sigset_t signals = Sigterm();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int ServeDialled(Resource& resource, const std::string& address) {
  Service service(resource);
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) {
    std::fprintf(stderr, "bank: cannot listen on %s\n", address.c_str());
    return 1;
  }
  const sigset_t signals = Sigterm();
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  server->Wait();
  return 0;
}

}  // namespace assent::crash
