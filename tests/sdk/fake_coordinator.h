#pragma once

// A scripted coordinator on a real port: what the gRPC code of the SDK is tested against. It
// decides nothing; tests say what it answers and look at what came. Scripts run on the server's
// threads, one per call.

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include <grpcpp/grpcpp.h>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/participant.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"

namespace assent::testing {

using SessionStream = grpc::ServerReaderWriter<v1::CoordinatorFrame, v1::ParticipantFrame>;
using ViewStream = grpc::ServerWriter<v1::ClusterView>;
using SubmitStream = grpc::ServerReaderWriter<v1::SubmitReplyFrame, v1::SubmitRequestFrame>;

// What the fake does; a method without a script answers UNIMPLEMENTED.
struct Script {
  // `number` counts the streams of that kind from 1.
  std::function<grpc::Status(int number, grpc::ServerContext*, SessionStream*)> session;
  std::function<grpc::Status(int number, grpc::ServerContext*, SubmitStream*)> submit_stream;
  std::function<grpc::Status(grpc::ServerContext*, const v1::SubmitRequest&, v1::SubmitReply*)>
      submit;
  std::function<grpc::Status(grpc::ServerContext*, const v1::BeginRequest&, v1::BeginReply*)> begin;
  std::function<grpc::Status(grpc::ServerContext*, const v1::ExecuteBranchRequest&,
                             v1::ExecuteBranchReply*)>
      execute;
  std::function<grpc::Status(grpc::ServerContext*, const v1::CommitRequest&, v1::SubmitReply*)>
      commit;
  std::function<grpc::Status(grpc::ServerContext*, const v1::RollbackRequest&, v1::SubmitReply*)>
      rollback;
  std::function<grpc::Status(grpc::ServerContext*, const v1::GetRequest&, v1::Transaction*)> get;
  std::function<grpc::Status(grpc::ServerContext*, const v1::WaitRequest&, v1::SubmitReply*)> wait;
  // Without it there is no ClusterService, as in a daemon that does not know it.
  std::function<grpc::Status(int number, grpc::ServerContext*, ViewStream*)> watch;
};

class FakeCoordinator {
 public:
  // Listens on a port of the system's choice, or on `port` (to come back after the destructor).
  explicit FakeCoordinator(Script script, int port = 0);
  // Cuts every call.
  ~FakeCoordinator();
  FakeCoordinator(const FakeCoordinator&) = delete;
  FakeCoordinator& operator=(const FakeCoordinator&) = delete;

  int port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  class Sessions;
  class Transactions;
  class Cluster;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<Transactions> transactions_;
  std::unique_ptr<Cluster> cluster_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A port on which nobody listens.
int UnusedPort();

// The usual beginning of a session script: takes Hello, says Welcome. False if the stream ended
// first.
bool Greet(SessionStream* stream, v1::Hello* hello = nullptr, std::uint32_t coordinator_id = 1,
           std::uint64_t epoch = 1, std::uint64_t cluster_version = 0);
// A frame with one command.
v1::CoordinatorFrame CommandFrame(std::uint64_t command_id, const std::string& gid,
                                  v1::Operation operation, const std::string& action,
                                  const std::string& branch_id = "1");

}  // namespace assent::testing
