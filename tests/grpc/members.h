#pragma once

// Coordinators that share a log, in this process, each behind a gRPC server of its own; the
// observer is the test.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <assent/thread_safety.h>

#include "assent/v1/cluster.grpc.pb.h"
#include "assent/v1/transaction.grpc.pb.h"
#include "coordinator/engine/engine.h"
#include "coordinator/grpc/peers.h"
#include "coordinator/grpc/transaction_service.h"
#include "coordinator/service/service.h"
#include "tests/engine/engine_rig.h"

namespace assent::test {

inline constexpr Slot kSlotsCount = 12;

inline std::string GidIn(Slot slot, int number = 0) {
  for (int i = 0;; ++i) {
    std::string gid = "g" + std::to_string(number) + "." + std::to_string(i);
    if (SlotOf(gid, kSlotsCount) == slot) return gid;
  }
}

// Answers every command with DONE.
class Obliging final : public transport::Transport {
 public:
  void Send(std::vector<transport::Command> commands) override {
    std::vector<transport::Reply> replies;
    {
      const MutexLock lock(mutex_);
      for (transport::Command& command : commands) {
        if (holds_back_) {
          kept_.push_back(std::move(command));
          continue;
        }
        replies.push_back(engine::DoneReply(command));
      }
      sent_ += commands.size();
    }
    if (!replies.empty()) engine->OnReplies(std::move(replies));
  }
  void HoldBack(bool hold) {
    std::vector<transport::Reply> replies;
    {
      const MutexLock lock(mutex_);
      holds_back_ = hold;
      for (const transport::Command& command : hold ? std::vector<transport::Command>() : kept_)
        replies.push_back(engine::DoneReply(command));
      kept_.clear();
    }
    if (!replies.empty()) engine->OnReplies(std::move(replies));
  }
  std::size_t sent() {
    const MutexLock lock(mutex_);
    return sent_;
  }
  engine::Engine* engine = nullptr;

 private:
  Mutex mutex_;
  bool holds_back_ ASSENT_GUARDED_BY(mutex_) = false;
  std::size_t sent_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::vector<transport::Command> kept_ ASSENT_GUARDED_BY(mutex_);
};

class Members : public testing::Test {
 protected:
  struct Member {
    explicit Member(std::shared_ptr<engine::SharedRows> rows) : log(std::move(rows)) {}
    std::uint64_t epoch = 0;
    engine::LockedLog log;
    Obliging participants;
    std::unique_ptr<engine::Engine> engine;
    std::unique_ptr<door::GrpcPeers> peers;
    std::unique_ptr<service::Service> service;
    std::unique_ptr<grpc::Service> transactions;
    std::unique_ptr<grpc::Service> cluster;
    std::unique_ptr<grpc::Server> server;
    std::string address;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::TransactionService::Stub> stub;

    void Stop() {
      if (server == nullptr) return;
      service->router().Close();
      server->Shutdown(std::chrono::system_clock::now());
      server->Wait();
      peers->Close();
      engine->Stop();
      server.reset();
    }
  };

  ~Members() override {
    for (auto& member : members_) member->Stop();
  }

  // Slots go round: slot n to member n % count.
  void Start(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      members_.push_back(std::make_unique<Member>(rows_));
      Member& member = *members_.back();
      member.epoch = i + 1;
      member.log.grants_.emplace();
      for (auto slot = static_cast<Slot>(i); slot < kSlotsCount; slot += static_cast<Slot>(count))
        member.log.grants_->push_back({.slot = slot, .slot_epoch = 1});
      Serve(member);
      view_.members.push_back({.epoch = member.epoch,
                               .node = std::string(1, static_cast<char>('a' + i)),
                               .address = member.address,
                               .version = "1",
                               .beat = 1});
    }
    view_.slots.resize(kSlotsCount);
    for (Slot slot = 0; slot < kSlotsCount; ++slot) view_.slots[slot] = {1 + slot % count, 1, 0};
    Show();
  }
  void Serve(Member& member) {
    engine::EngineOptions options;
    options.shard.farewell_time = farewell_time_;
    member.log.on_released_ = [this](Slot slot) {
      std::pair<std::size_t, std::uint64_t> to;
      {
        const MutexLock lock(mutex_);
        to = moving_.at(slot);
      }
      members_[to.first]->log.events_->OnAssigned({{.slot = slot, .slot_epoch = to.second}});
    };
    member.engine = std::make_unique<engine::Engine>(
        options, member.log, [](const Status& status) { ADD_FAILURE() << status.ToString(); });
    ASSERT_TRUE(member.engine->Recover().ok());
    member.participants.engine = member.engine.get();
    member.engine->Start(member.participants);
    door::PeersOptions peers;
    peers.on_broken = [this](std::uint64_t epoch) {
      const MutexLock lock(mutex_);
      broken_.push_back(epoch);
      changed_.NotifyAll();
    };
    peers.on_standing = [this](std::uint64_t epoch) {
      const MutexLock lock(mutex_);
      std::erase(broken_, epoch);
      ++standing_;
      changed_.NotifyAll();
    };
    member.peers = std::make_unique<door::GrpcPeers>(std::move(peers));
    service::ServiceOptions service;
    service.participants = [](const std::string&) { return std::vector<transport::ServiceInfo>(); };
    service.peers = member.peers.get();
    member.service = std::make_unique<service::Service>(std::move(service), *member.engine);
    member.transactions = door::MakeTransactionService(*member.service, member.peers.get());
    member.cluster = door::MakeClusterService(*member.service);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(member.transactions.get());
    builder.RegisterService(member.cluster.get());
    member.server = builder.BuildAndStart();
    member.address = "127.0.0.1:" + std::to_string(port);
    member.channel = grpc::CreateChannel(member.address, grpc::InsecureChannelCredentials());
    member.stub = v1::TransactionService::NewStub(member.channel);
  }
  // Everybody, or one of them, sees what has changed.
  void Show() {
    ++view_.version;
    for (std::size_t i = 0; i < members_.size(); ++i) ShowTo(i);
  }
  void ShowTo(std::size_t i) {
    if (members_[i]->server != nullptr)
      members_[i]->service->SetView(std::make_shared<const cluster::View>(view_),
                                    members_[i]->epoch);
  }
  // The slot goes from its owner to another one, in the store; nobody sees it until Show.
  void Move(Slot slot, std::size_t to) {
    Member& from = *members_[view_.slots[slot].owner - 1];
    const std::uint64_t slot_epoch = ++view_.slots[slot].slot_epoch;
    view_.slots[slot].owner = members_[to]->epoch;
    {
      const MutexLock lock(mutex_);
      moving_[slot] = {to, slot_epoch};
    }
    from.log.events_->OnWanted({slot});
  }
  // So many lines have come to stand.
  bool Standing(std::size_t count) {
    const MutexLock lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (standing_ < count && changed_.WaitUntil(mutex_, until)) {
    }
    return standing_ >= count;
  }
  bool Broken(std::uint64_t epoch) {
    const MutexLock lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::count(broken_.begin(), broken_.end(), epoch) == 0 &&
           changed_.WaitUntil(mutex_, until)) {
    }
    return std::count(broken_.begin(), broken_.end(), epoch) > 0;
  }

  static std::unique_ptr<grpc::ClientContext> Context(bool forwarded = false) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (forwarded) context->AddMetadata("assent-forwarded", "1");
    return context;
  }
  static std::string Trailer(const grpc::ClientContext& context, const std::string& key) {
    const auto found = context.GetServerTrailingMetadata().find(key);
    return found == context.GetServerTrailingMetadata().end()
               ? ""
               : std::string(found->second.data(), found->second.size());
  }
  static v1::SubmitRequest Submit(const std::string& gid, v1::WaitFor wait_for = v1::WAIT_DECIDED) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    request.set_wait_for(wait_for);
    v1::BranchSpec* branch = request.mutable_transaction()->add_branches();
    branch->set_branch_id("b1");
    branch->set_protocol(v1::TCC);
    branch->set_service("s");
    branch->set_action("a");
    return request;
  }
  static std::string Text(const grpc::Status& status) {
    return std::string(CodeName(static_cast<Code>(status.error_code()))) +
           (status.ok() ? "" : ": " + status.error_message());
  }
  std::string TrySubmit(std::size_t member, const std::string& gid, v1::SubmitReply& reply) {
    return Text(members_[member]->stub->Submit(Context().get(), Submit(gid), &reply));
  }
  std::string TryGet(std::size_t member, const std::string& gid) {
    v1::GetRequest request;
    request.set_gid(gid);
    v1::Transaction txn;
    return Text(members_[member]->stub->Get(Context().get(), request, &txn));
  }
  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return condition();
  }

  core::Millis farewell_time_{20};
  const std::shared_ptr<engine::SharedRows> rows_ =
      std::make_shared<engine::SharedRows>(kSlotsCount);
  cluster::View view_;
  std::vector<std::unique_ptr<Member>> members_;

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::uint64_t> broken_ ASSENT_GUARDED_BY(mutex_);
  std::size_t standing_ ASSENT_GUARDED_BY(mutex_) = 0;
  // To whom, as of which slot epoch.
  std::map<Slot, std::pair<std::size_t, std::uint64_t>> moving_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::test
