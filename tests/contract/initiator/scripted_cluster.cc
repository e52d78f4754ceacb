#include <chrono>
#include <thread>
#include <utility>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "tests/contract/initiator/script.h"
#include "tests/contract/limits.h"
#include "tests/support/process.h"

namespace assent::contract {
namespace {

void HangUntilCut(grpc::ServerContext* context) {
  test::WaitUntil([&] { return context->IsCancelled(); }, kMaxPatience);
}

}  // namespace

class ScriptedCluster::Transactions final : public v1::TransactionService::Service {
 public:
  Transactions(Script script, Book& book, std::size_t member)
      : script_(std::move(script)), book_(book), member_(member) {}

  grpc::Status Submit(grpc::ServerContext* context, const v1::SubmitRequest* request,
                      v1::SubmitReply* reply) override {
    const std::string& gid = request->transaction().gid();
    return React(
        context, Asked::kSubmit, gid, [&] { book_.Begin(request->transaction()); },
        [&] { *reply = book_.ReplyTo(gid); });
  }

  grpc::Status SubmitStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::SubmitReplyFrame, v1::SubmitRequestFrame>* stream) override {
    v1::SubmitRequestFrame frame;
    while (stream->Read(&frame)) {
      v1::SubmitReplyFrame out;
      grpc::Status end;
      for (const v1::SubmitRequest& request : frame.requests()) {
        const std::string& gid = request.transaction().gid();
        const Reaction reaction = script_(book_.Note(Asked::kStream, gid, member_));
        if (reaction.carry_out) book_.Begin(request.transaction());
        if (reaction.hang) HangUntilCut(context);
        if (reaction.ends_stream) {
          end = grpc::Status(reaction.code, "the script ends the stream");
          continue;
        }
        v1::SubmitReply* const reply = out.add_replies();
        if (reaction.code == grpc::StatusCode::OK) *reply = book_.ReplyTo(gid);
        reply->set_gid(gid);
        reply->set_request_id(request.request_id());
        reply->set_error_code(reaction.code);
        if (reaction.code != grpc::StatusCode::OK) reply->set_error_message("by the script");
      }
      if (out.replies_size() > 0) stream->Write(out);
      if (!end.ok()) return end;
    }
    return grpc::Status::OK;
  }

  grpc::Status Begin(grpc::ServerContext* context, const v1::BeginRequest* request,
                     v1::BeginReply* reply) override {
    const std::string& gid = request->transaction().gid();
    return React(
        context, Asked::kBegin, gid, [&] { book_.Begin(request->transaction()); },
        [&] { reply->set_gid(gid); });
  }

  grpc::Status ExecuteBranch(grpc::ServerContext* context, const v1::ExecuteBranchRequest* request,
                             v1::ExecuteBranchReply* reply) override {
    return React(
        context, Asked::kExecute, request->gid(),
        [&] { book_.Execute(request->gid(), request->branch()); },
        [&] {
          reply->set_branch_id(request->branch().branch_id());
          reply->set_state(v1::EXECUTED);
          reply->set_result(R"({"balance":1,"held":0})");
        });
  }

  grpc::Status Commit(grpc::ServerContext* context, const v1::CommitRequest* request,
                      v1::SubmitReply* reply) override {
    return React(
        context, Asked::kCommit, request->gid(), [&] { book_.End(request->gid(), v1::COMMITTED); },
        [&] { *reply = book_.ReplyTo(request->gid()); });
  }

  grpc::Status Rollback(grpc::ServerContext* context, const v1::RollbackRequest* request,
                        v1::SubmitReply* reply) override {
    return React(
        context, Asked::kRollback, request->gid(), [&] { book_.End(request->gid(), v1::ABORTED); },
        [&] { *reply = book_.ReplyTo(request->gid()); });
  }

  grpc::Status Wait(grpc::ServerContext* context, const v1::WaitRequest* request,
                    v1::SubmitReply* reply) override {
    return Known(context, Asked::kWait, request->gid(),
                 [&] { *reply = book_.ReplyTo(request->gid()); });
  }

  grpc::Status Get(grpc::ServerContext* context, const v1::GetRequest* request,
                   v1::Transaction* transaction) override {
    return Known(context, Asked::kGet, request->gid(), [&] {
      const v1::SubmitReply reply = book_.ReplyTo(request->gid());
      transaction->set_gid(request->gid());
      transaction->set_state(reply.state());
      transaction->set_outcome(reply.outcome());
      transaction->set_abort_reason(reply.abort_reason());
    });
  }

 private:
  template <typename CarryOut, typename Answer>
  grpc::Status React(grpc::ServerContext* context, Asked asked, const std::string& gid,
                     const CarryOut& carry_out, const Answer& answer) {
    const Reaction reaction = script_(book_.Note(asked, gid, member_));
    if (reaction.carry_out) carry_out();
    if (reaction.hang) HangUntilCut(context);
    if (!reaction.owner.empty()) {
      context->AddTrailingMetadata("assent-owner", reaction.owner);
      context->AddTrailingMetadata("assent-cluster-version", "1");
    }
    if (reaction.retry_after_ms != 0)
      context->AddTrailingMetadata("assent-retry-after-ms",
                                   std::to_string(reaction.retry_after_ms));
    if (reaction.code != grpc::StatusCode::OK) return {reaction.code, "by the script"};
    answer();
    return grpc::Status::OK;
  }

  template <typename Answer>
  grpc::Status Known(grpc::ServerContext* context, Asked asked, const std::string& gid,
                     const Answer& answer) {
    const bool begun = book_.Begun(gid);
    const grpc::Status status = React(
        context, asked, gid, [] {}, answer);
    if (status.ok() && !begun) return {grpc::StatusCode::NOT_FOUND, "no transaction " + gid};
    return status;
  }

  const Script script_;
  Book& book_;
  const std::size_t member_;
};

// Who has what: the first member, if there are several.
class ScriptedCluster::Cluster final : public v1::ClusterService::Service {
 public:
  explicit Cluster(const ScriptedCluster& all) : all_(all) {}
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchClusterRequest* /*request*/,
                     grpc::ServerWriter<v1::ClusterView>* stream) override {
    stream->Write(View());
    HangUntilCut(context);
    return {grpc::StatusCode::UNAVAILABLE, "stopping"};
  }
  grpc::Status Get(grpc::ServerContext* /*context*/, const v1::GetClusterRequest* /*request*/,
                   v1::ClusterView* view) override {
    *view = View();
    return grpc::Status::OK;
  }

 private:
  v1::ClusterView View() const {
    constexpr std::size_t kSlots = 16;
    v1::ClusterView view;
    if (all_.members_.size() < 2) return view;
    view.set_version(1);
    view.set_coordinator_id(1);
    for (std::size_t i = 0; i < all_.members_.size(); ++i) {
      v1::ClusterMember* const member = view.add_members();
      member->set_epoch(i + 1);
      member->set_node("member-" + std::to_string(i + 1));
      member->set_address(all_.members_[i]->address);
    }
    for (std::size_t i = 0; i < kSlots; ++i) view.mutable_slots()->append(std::string("\1\0", 2));
    view.set_answered_by(1);
    view.set_lease_ms(1000);
    return view;
  }
  const ScriptedCluster& all_;
};

ScriptedCluster::ScriptedCluster(std::string listen, std::size_t members, Script script,
                                 Book& book) {
  for (std::size_t i = 0; i < members; ++i) {
    auto member = std::make_unique<Member>();
    member->address = listen;
    if (i > 0 || listen.substr(listen.rfind(':')) == ":0")
      member->address = listen.substr(0, listen.rfind(':') + 1) + std::to_string(test::FreePort());
    member->transactions = std::make_unique<Transactions>(script, book, i);
    member->cluster = std::make_unique<Cluster>(*this);
    members_.push_back(std::move(member));
  }
}

ScriptedCluster::~ScriptedCluster() {
  for (std::size_t i = 0; i < members_.size(); ++i) Stop(i);
}

Status ScriptedCluster::Start(std::size_t member) {
  Member& m = *members_[member];
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(m.address, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(m.transactions.get());
  builder.RegisterService(m.cluster.get());
  m.server = builder.BuildAndStart();
  return m.server != nullptr && port != 0 ? OkStatus()
                                          : Unavailable("cannot listen at " + m.address);
}

void ScriptedCluster::Stop(std::size_t member) {
  Member& m = *members_[member];
  if (m.server == nullptr) return;
  m.server->Shutdown(std::chrono::system_clock::now());
  m.server->Wait();
  m.server.reset();
}

std::string ScriptedCluster::endpoints() const {
  std::string all;
  for (const auto& member : members_) all += (all.empty() ? "" : ",") + member->address;
  return all;
}

}  // namespace assent::contract
