#pragma once

// A participant that is dialled.

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "tests/contract/peer.h"

namespace assent::contract {

class UnaryPeer final : public Peer {
 public:
  UnaryPeer(std::string target, std::chrono::milliseconds patience)
      : target_(std::move(target)), patience_(patience) {}
  ~UnaryPeer() override { LoseAnswers(); }

  bool WaitReachable(std::chrono::milliseconds timeout) override;
  void Forget() override;
  std::future<Answer> Send(v1::BranchCommand command) override;
  void SendBytes(std::string bytes) override;
  std::string OnTheWire(const v1::BranchCommand& command) override {
    return command.SerializeAsString();
  }
  void LoseAnswers() override;
  std::set<std::pair<std::string, v1::Protocol>> Offered() override { return {}; }
  std::size_t MaxAtOnce() override;
  std::vector<Fault> TakeFaults() override;

 private:
  struct Call;
  // Calls under way, so that they can be cancelled and waited for.
  struct Shared {
    Mutex mutex;
    std::set<std::shared_ptr<Call>> calls ASSENT_GUARDED_BY(mutex);
    std::vector<Fault> faults ASSENT_GUARDED_BY(mutex);
  };
  void Begin(std::shared_ptr<Call> call, const std::string& bytes);

  const std::string target_;
  const std::chrono::milliseconds patience_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<grpc::GenericStub> stub_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace assent::contract
