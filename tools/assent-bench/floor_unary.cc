// The floor of `unary`: as many plain unary echo calls, between as many processes, and nothing
// else. A request of an initiator becomes one call to the participant of each branch; when all have
// answered the initiator has its answer, and each participant is called once more, as the second
// phase would. Nothing is written.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "assent/v1/participant.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {
namespace {

// Calls go out over one completion queue that one thread empties: the cheapest way to call, and the
// one that assentd takes.
class EchoServer final : public v1::TransactionService::CallbackService {
 public:
  explicit EchoServer(const std::vector<std::string>& participants) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    for (const std::string& address : participants) {
      stubs_.push_back(v1::Participant::NewStub(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
    }
    caller_ = std::thread([this] { TakeReplies(); });
  }
  // Lives as long as the process.
  ~EchoServer() override { std::abort(); }

 private:
  // What is left to do for one request.
  struct Request {
    v1::SubmitReply* reply = nullptr;  // until Finish
    grpc::ServerUnaryReactor* reactor = nullptr;
    v1::TransactionSpec spec;
    std::atomic<int> waiting = 0;
  };
  // One call to a participant.
  struct Echo {
    std::shared_ptr<Request> request;
    grpc::ClientContext context;
    v1::BranchReply reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::BranchReply>> reader;
    bool forward = false;
  };

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context,
                                   const v1::SubmitRequest* request,
                                   v1::SubmitReply* reply) override {
    auto mine = std::make_shared<Request>();
    mine->reply = reply;
    mine->reactor = context->DefaultReactor();
    mine->spec = request->transaction();
    mine->waiting = mine->spec.branches_size();
    grpc::ServerUnaryReactor* reactor = mine->reactor;
    for (int i = 0; i < mine->spec.branches_size(); ++i) Call(mine, i, v1::TRY);
    return reactor;
  }

  void Call(const std::shared_ptr<Request>& request, int branch, v1::Operation operation) {
    auto* echo = new Echo;
    echo->request = request;
    echo->forward = operation == v1::TRY;
    echo->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const v1::BranchSpec& spec = request->spec.branches(branch);
    v1::BranchCommand command;
    command.set_gid(request->spec.gid());
    command.set_branch_id(std::to_string(branch + 1));
    command.set_operation(operation);
    command.set_protocol(spec.protocol());
    command.set_service(spec.service());
    command.set_action(spec.action());
    command.set_payload(spec.payload());
    command.set_attempt(1);
    command.set_timeout_ms(10'000);
    command.set_coordinator_id(4711);
    command.set_began_epoch((std::uint64_t{1} << 24) + 0x5EED);
    v1::Participant::Stub& stub = *stubs_[static_cast<std::size_t>(branch) % stubs_.size()];
    echo->reader = stub.AsyncExecute(&echo->context, command, &queue_);
    echo->reader->Finish(&echo->reply, &echo->status, echo);
  }

  void TakeReplies() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      const std::unique_ptr<Echo> echo(static_cast<Echo*>(tag));
      if (!echo->status.ok()) {
        std::fprintf(stderr, "floor: %s\n", echo->status.error_message().c_str());
        _exit(1);
      }
      if (echo->forward && --echo->request->waiting == 0) Decided(echo->request);
    }
  }

  void Decided(const std::shared_ptr<Request>& request) {
    request->reply->set_gid(request->spec.gid());
    request->reply->set_state(v1::COMMITTING);
    request->reply->set_outcome(v1::COMMITTED);
    request->reactor->Finish(grpc::Status::OK);
    for (int i = 0; i < request->spec.branches_size(); ++i) Call(request, i, v1::CONFIRM);
  }

  std::vector<std::unique_ptr<v1::Participant::Stub>> stubs_;
  grpc::CompletionQueue queue_;
  std::thread caller_;
};

}  // namespace

int RunUnaryFloor(const std::string& listen, const std::vector<std::string>& participants) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto& echo = *new EchoServer(participants);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::printf("listening 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  _exit(0);
}

}  // namespace assent::bench
