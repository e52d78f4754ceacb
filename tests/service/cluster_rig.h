#pragma once

// Coordinators that share a log, in one process and without a door: each has its part of the slots,
// and asks the others by calling them.

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/engine/engine.h"
#include "coordinator/service/service.h"
#include "tests/engine/engine_rig.h"
#include "tests/service/inbox.h"

namespace assent::service {

constexpr Slot kSlotsCount = 16;

// A gid of the slot, other ones for other numbers.
inline std::string GidIn(Slot slot, int number = 0) {
  for (int i = 0;; ++i) {
    std::string gid = "g" + std::to_string(number) + "." + std::to_string(i);
    if (SlotOf(gid, kSlotsCount) == slot) return gid;
  }
}

class ClusterRig : public testing::Test {
 protected:
  struct Coordinator final : Peers {
    Coordinator(ClusterRig& rig, std::uint64_t epoch) : rig_(rig), epoch_(epoch), log(rig.rows_) {}
    void Ask(const cluster::Member& member, const char* method, const std::string& request,
             std::chrono::milliseconds, Heard heard) override {
      ++asked;
      if (rig_.silent_.contains(member.epoch)) return heard(Unavailable("connection refused"), {});
      const auto says = rig_.says_.find(member.epoch);
      if (says != rig_.says_.end()) return heard(OkStatus(), says->second);
      rig_.Serve(*rig_.members_[member.epoch - 1]->service, method, request, std::move(heard));
    }
    void SetView(const cluster::ViewPtr&, std::uint64_t) override {}

    ClusterRig& rig_;
    const std::uint64_t epoch_;
    std::atomic<int> asked = 0;
    engine::LockedLog log;
    engine::Outbox outbox;
    std::vector<transport::ServiceInfo> participants;
    std::vector<std::string> controls;  // what operators asked for, as it heard of it
    std::unique_ptr<engine::Engine> engine;
    std::unique_ptr<Service> service;
  };

  ~ClusterRig() override {
    for (auto& member : members_) member->engine->Stop();
  }

  // Slots go round: slot n to member n % count.
  void Start(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      members_.push_back(std::make_unique<Coordinator>(*this, i + 1));
    for (std::size_t i = 0; i < count; ++i) {
      Coordinator& member = *members_[i];
      member.log.grants_.emplace();
      for (auto slot = static_cast<Slot>(i); slot < kSlotsCount; slot += static_cast<Slot>(count))
        member.log.grants_->push_back({.slot = slot, .slot_epoch = 1});
      engine::EngineOptions options;
      options.shard.farewell_time = core::Millis(20);
      member.engine = std::make_unique<engine::Engine>(
          options, member.log, [](const Status& status) { ADD_FAILURE() << status.ToString(); });
      ASSERT_TRUE(member.engine->Recover().ok());
      member.engine->Start(member.outbox);
      ServiceOptions service;
      service.version = "1";
      service.participants = [&member](const std::string&) { return member.participants; };
      service.peers = &member;
      service.control = control_;
      service.audit = audit_;
      service.on_control = [&member](const std::string& what, const core::Actor& by) {
        member.controls.push_back(what + " by " + by.who + ": " + by.reason);
      };
      member.service = std::make_unique<Service>(std::move(service), *member.engine);
    }
    for (std::size_t i = 0; i < count; ++i) {
      view_.members.push_back({.epoch = i + 1,
                               .node = std::string(1, static_cast<char>('a' + i)),
                               .address = "host-" + std::to_string(i + 1) + ":7400",
                               .version = "1",
                               .beat = 1});
    }
    view_.slots.resize(kSlotsCount);
    for (Slot slot = 0; slot < kSlotsCount; ++slot) view_.slots[slot] = {1 + slot % count, 1, 0};
    Show();
  }
  // Everybody sees what has changed.
  void Show() {
    ++view_.version;
    const auto view = std::make_shared<const cluster::View>(view_);
    for (auto& member : members_) member->service->SetView(view, member->epoch_);
  }

  template <typename Reply, typename Request>
  std::pair<Status, Reply> Ask(std::size_t member, Request request, const Caller& caller = {}) {
    const auto asker = std::make_shared<Waiting<Reply>>();
    members_[member]->service->Take(caller, std::move(request), asker);
    return asker->answers.Take();
  }
  static v1::SubmitRequest Submit(const std::string& gid) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    v1::BranchSpec* branch = request.mutable_transaction()->add_branches();
    branch->set_protocol(v1::SAGA);
    branch->set_service("s");
    branch->set_action("a");
    return request;
  }
  // Begins it where its slot is.
  void Begin(const std::string& gid) {
    const std::size_t owner = SlotOf(gid, kSlotsCount) % members_.size();
    const Status status = Ask<v1::SubmitReply>(owner, Submit(gid)).first;
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  template <typename Request, typename Reply>
  void Take(Service& service, const std::string& bytes, const Peers::Heard& heard) {
    Request request;
    ASSERT_TRUE(request.ParseFromString(bytes));
    class Forwarder final : public Asker<Reply> {
     public:
      explicit Forwarder(Peers::Heard heard) : heard_(std::move(heard)) {}
      void Answer(const Status& status, absl::FunctionRef<void(Reply&)> fill) override {
        Reply reply;
        if (status.ok()) fill(reply);
        heard_(status, reply.SerializeAsString());
      }
      bool Over() override { return false; }

     private:
      Peers::Heard heard_;
    };
    service.Take(Caller{.forwarded = true}, std::move(request), std::make_shared<Forwarder>(heard));
  }
  void Serve(Service& service, const std::string& method, const std::string& bytes,
             const Peers::Heard& heard) {
    if (method == "TransactionService/List")
      return Take<v1::ListRequest, v1::ListReply>(service, bytes, heard);
    if (method == "TransactionService/ListCauses")
      return Take<v1::ListCausesRequest, v1::ListCausesReply>(service, bytes, heard);
    if (method == "BatchService/Batch")
      return Take<v1::BatchRequest, v1::BatchReply>(service, bytes, heard);
    if (method == "TransactionService/ListParticipants") {
      return Take<v1::ListParticipantsRequest, v1::ListParticipantsReply>(service, bytes, heard);
    }
    if (method == "ClusterService/Drain")
      return Take<v1::DrainMemberRequest, v1::ClusterReply>(service, bytes, heard);
    if (method == "ClusterService/Move")
      return Take<v1::MoveSlotsRequest, v1::ClusterReply>(service, bytes, heard);
    if (method == "ClusterService/Fence")
      return Take<v1::FenceMemberRequest, v1::ClusterReply>(service, bytes, heard);
    if (method == "ClusterService/GiveWay")
      return Take<v1::GiveWayRequest, v1::GiveWayReply>(service, bytes, heard);
    ASSERT_EQ(method, "TransactionService/GetServerInfo");
    Take<v1::GetServerInfoRequest, v1::ServerInfo>(service, bytes, heard);
  }

  const std::shared_ptr<engine::SharedRows> rows_ =
      std::make_shared<engine::SharedRows>(kSlotsCount);
  std::set<std::uint64_t> silent_;             // by epoch
  std::map<std::uint64_t, std::string> says_;  // whatever it is asked
  cluster::View view_;
  audit::Audit* audit_ = nullptr;  // of all of them; set before Start
  cluster::ClusterControl* control_ = nullptr;
  std::vector<std::unique_ptr<Coordinator>> members_;
};

}  // namespace assent::service
