#pragma once

// A participant that dials.

#include <memory>
#include <string>
#include <utility>

#include "tests/contract/peer.h"
#include "tests/contract/session_server.h"

namespace assent::contract {

class SessionPeer final : public Peer {
 public:
  explicit SessionPeer(std::string listen) : server_(std::move(listen)) {}
  Status Listen() { return server_.Start(); }

  bool WaitReachable(std::chrono::milliseconds timeout) override;
  void Forget() override;
  std::future<Answer> Send(v1::BranchCommand command) override;
  void SendBytes(std::string bytes) override;
  std::string OnTheWire(const v1::BranchCommand& command) override;
  void LoseAnswers() override;
  std::set<std::pair<std::string, v1::Protocol>> Offered() override;
  std::size_t MaxAtOnce() override;
  std::vector<Fault> TakeFaults() override { return server_.TakeFaults(); }
  SessionServer* sessions() override { return &server_; }

 private:
  SessionServer server_;
};

}  // namespace assent::contract
