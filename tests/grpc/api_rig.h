#pragma once

// The daemon in this process, and hand-written peers that speak the wire and nothing else.

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "assent/v1/participant.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/daemon/server.h"
#include "tests/support/process.h"

namespace assent::test {

class ApiRig : public ::testing::Test {
 protected:
  void SetUp() override { StartServer(); }
  // On what is in the folder.
  void StartServer() {
    daemon::Config config;
    config.listen = "127.0.0.1:0";
    config.http_listen = "none";
    config.data = dir_.path();
    config.reserve_mib = 0;
    server_ = std::make_unique<daemon::Server>(config);
    int exit_code = 0;
    const Status started = server_->Start(exit_code);
    ASSERT_TRUE(started.ok()) << started.ToString();
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    stub_ = v1::TransactionService::NewStub(channel_);
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }

  static v1::SubmitRequest Submit(const std::string& gid, const std::string& service = "s",
                                  v1::Protocol protocol = v1::TCC) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    request.mutable_transaction()->set_deadline_ms(10'000);
    AddBranch(request, "b1", service, protocol);
    return request;
  }
  static v1::BranchSpec* AddBranch(v1::SubmitRequest& request, const std::string& id,
                                   const std::string& service = "s",
                                   v1::Protocol protocol = v1::TCC) {
    v1::BranchSpec* branch = request.mutable_transaction()->add_branches();
    branch->set_branch_id(id);
    branch->set_protocol(protocol);
    branch->set_service(service);
    branch->set_action("act");
    return branch;
  }

  // "INVALID_ARGUMENT: message", or "OK".
  static std::string Text(const grpc::Status& status) {
    return Status(static_cast<Code>(status.error_code()), status.error_message()).ToString();
  }
  std::string TrySubmit(const v1::SubmitRequest& request, v1::SubmitReply* reply = nullptr) {
    v1::SubmitReply ignored;
    return Text(stub_->Submit(Context().get(), request, reply == nullptr ? &ignored : reply));
  }
  v1::Transaction Get(const std::string& gid) {
    v1::GetRequest request;
    request.set_gid(gid);
    v1::Transaction txn;
    EXPECT_EQ(Text(stub_->Get(Context().get(), request, &txn)), "OK");
    return txn;
  }

  TempDir dir_;
  std::unique_ptr<daemon::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TransactionService::Stub> stub_;
};

// A participant's session, frame by frame.
class RawSession {
 public:
  explicit RawSession(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(v1::ParticipantSession::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = stub_->Connect(&context_);
  }
  ~RawSession() {
    context_.TryCancel();
    if (!ended_) (void)stream_->Finish();
  }
  void Hello(const std::string& service,
             const std::vector<std::pair<std::string, v1::Protocol>>& actions) {
    v1::ParticipantFrame frame;
    frame.mutable_hello()->set_version(1);
    frame.mutable_hello()->set_service(service);
    for (const auto& [name, protocol] : actions) {
      v1::ActionInfo* action = frame.mutable_hello()->add_actions();
      action->set_name(name);
      action->set_protocol(protocol);
    }
    Write(frame);
  }
  void Write(const v1::ParticipantFrame& frame) { (void)stream_->Write(frame); }
  // Says hello and waits for the welcome.
  void Join(const std::string& service) {
    Hello(service, {{"act", v1::TCC}, {"act", v1::SAGA}, {"act", v1::TWO_PHASE}});
    v1::CoordinatorFrame frame;
    ASSERT_TRUE(stream_->Read(&frame));
    ASSERT_TRUE(frame.has_welcome());
  }
  // The next command, or an empty one when the stream ends.
  v1::BranchCommand Next() {
    v1::CoordinatorFrame frame;
    while (waiting_.empty() && stream_->Read(&frame)) {
      for (const v1::BranchCommand& command : frame.commands()) waiting_.push_back(command);
    }
    if (waiting_.empty()) return {};
    v1::BranchCommand next = waiting_.front();
    waiting_.erase(waiting_.begin());
    return next;
  }
  static v1::BranchReply ReplyTo(const v1::BranchCommand& command,
                                 v1::BranchReply::Kind kind = v1::BranchReply::DONE) {
    v1::BranchReply reply;
    reply.set_gid(command.gid());
    reply.set_branch_id(command.branch_id());
    reply.set_operation(command.operation());
    reply.set_command_id(command.command_id());
    reply.set_kind(kind);
    return reply;
  }
  void Reply(const v1::BranchReply& reply) {
    v1::ParticipantFrame frame;
    *frame.add_replies() = reply;
    Write(frame);
  }
  v1::OutcomeAnswer Ask(const v1::OutcomeQuery& query) {
    v1::ParticipantFrame asking;
    *asking.add_queries() = query;
    Write(asking);
    v1::CoordinatorFrame frame;
    while (stream_->Read(&frame)) {
      for (const v1::BranchCommand& command : frame.commands()) waiting_.push_back(command);
      if (frame.answers_size() > 0) return frame.answers(0);
    }
    return {};
  }
  // How the coordinator ended the stream.
  grpc::Status End() {
    v1::CoordinatorFrame frame;
    while (stream_->Read(&frame)) continue;
    ended_ = true;
    return stream_->Finish();
  }

 private:
  std::unique_ptr<v1::ParticipantSession::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ParticipantFrame, v1::CoordinatorFrame>> stream_;
  std::vector<v1::BranchCommand> waiting_;
  bool ended_ = false;
};

}  // namespace assent::test
