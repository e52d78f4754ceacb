#include "tests/sdk/fake_coordinator.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <assent/status.h>

namespace assent::testing {
namespace {

template <typename Handler, typename... Arguments>
grpc::Status Play(const Handler& handler, Arguments... arguments) {
  if (!handler) return {grpc::StatusCode::UNIMPLEMENTED, "not in the script"};
  return handler(arguments...);
}

v1::Protocol ProtocolOf(v1::Operation operation) {
  if (operation <= v1::ROLLBACK) return v1::TWO_PHASE;
  return operation <= v1::CANCEL ? v1::TCC : v1::SAGA;
}

}  // namespace

class FakeCoordinator::Sessions final : public v1::ParticipantSession::Service {
 public:
  explicit Sessions(Script script) : script_(std::move(script)) {}
  grpc::Status Connect(grpc::ServerContext* context, SessionStream* stream) override {
    return Play(script_.session, ++count_, context, stream);
  }

 private:
  const Script script_;
  std::atomic<int> count_{0};
};

class FakeCoordinator::Transactions final : public v1::TransactionService::Service {
 public:
  explicit Transactions(Script script) : script_(std::move(script)) {}
  grpc::Status SubmitStream(grpc::ServerContext* context, testing::SubmitStream* stream) override {
    return Play(script_.submit_stream, ++count_, context, stream);
  }
  grpc::Status Submit(grpc::ServerContext* context, const v1::SubmitRequest* request,
                      v1::SubmitReply* reply) override {
    return script_.submit ? script_.submit(context, *request, reply) : Missing();
  }
  grpc::Status Begin(grpc::ServerContext* context, const v1::BeginRequest* request,
                     v1::BeginReply* reply) override {
    return script_.begin ? script_.begin(context, *request, reply) : Missing();
  }
  grpc::Status ExecuteBranch(grpc::ServerContext* context, const v1::ExecuteBranchRequest* request,
                             v1::ExecuteBranchReply* reply) override {
    return script_.execute ? script_.execute(context, *request, reply) : Missing();
  }
  grpc::Status Commit(grpc::ServerContext* context, const v1::CommitRequest* request,
                      v1::SubmitReply* reply) override {
    return script_.commit ? script_.commit(context, *request, reply) : Missing();
  }
  grpc::Status Rollback(grpc::ServerContext* context, const v1::RollbackRequest* request,
                        v1::SubmitReply* reply) override {
    return script_.rollback ? script_.rollback(context, *request, reply) : Missing();
  }
  grpc::Status Get(grpc::ServerContext* context, const v1::GetRequest* request,
                   v1::Transaction* reply) override {
    return script_.get ? script_.get(context, *request, reply) : Missing();
  }
  grpc::Status Wait(grpc::ServerContext* context, const v1::WaitRequest* request,
                    v1::SubmitReply* reply) override {
    return script_.wait ? script_.wait(context, *request, reply) : Missing();
  }

 private:
  static grpc::Status Missing() { return {grpc::StatusCode::UNIMPLEMENTED, "not in the script"}; }
  const Script script_;
  std::atomic<int> count_{0};
};

class FakeCoordinator::Cluster final : public v1::ClusterService::Service {
 public:
  explicit Cluster(Script script) : script_(std::move(script)) {}
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchClusterRequest*,
                     ViewStream* stream) override {
    return script_.watch(++count_, context, stream);
  }

 private:
  const Script script_;
  std::atomic<int> count_{0};
};

FakeCoordinator::FakeCoordinator(Script script, int port)
    : sessions_(std::make_unique<Sessions>(script)),
      transactions_(std::make_unique<Transactions>(script)),
      cluster_(script.watch ? std::make_unique<Cluster>(script) : nullptr) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(sessions_.get());
  builder.RegisterService(transactions_.get());
  if (cluster_) builder.RegisterService(cluster_.get());
  server_ = builder.BuildAndStart();
  ASSENT_CHECK(server_ != nullptr && port_ != 0);
}

FakeCoordinator::~FakeCoordinator() { server_->Shutdown(std::chrono::system_clock::now()); }

int UnusedPort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  ASSENT_CHECK(fd >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSENT_CHECK(bind(fd, generic, sizeof address) == 0);
  socklen_t length = sizeof address;
  ASSENT_CHECK(getsockname(fd, generic, &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

bool Greet(SessionStream* stream, v1::Hello* hello, std::uint32_t coordinator_id,
           std::uint64_t epoch, std::uint64_t cluster_version) {
  v1::ParticipantFrame first;
  if (!stream->Read(&first) || !first.has_hello()) return false;
  if (hello != nullptr) *hello = first.hello();
  v1::CoordinatorFrame welcome;
  welcome.mutable_welcome()->set_session_id("fake");
  welcome.mutable_welcome()->set_coordinator_id(coordinator_id);
  welcome.mutable_welcome()->set_epoch(epoch);
  welcome.mutable_welcome()->set_cluster_version(cluster_version);
  return stream->Write(welcome);
}

v1::CoordinatorFrame CommandFrame(std::uint64_t command_id, const std::string& gid,
                                  v1::Operation operation, const std::string& action,
                                  const std::string& branch_id) {
  v1::CoordinatorFrame frame;
  v1::BranchCommand* command = frame.add_commands();
  command->set_command_id(command_id);
  command->set_gid(gid);
  command->set_branch_id(branch_id);
  command->set_operation(operation);
  command->set_protocol(ProtocolOf(operation));
  command->set_service("fake");
  command->set_action(action);
  command->set_attempt(1);
  command->set_timeout_ms(10'000);
  return frame;
}

}  // namespace assent::testing
