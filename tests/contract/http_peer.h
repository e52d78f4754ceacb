#pragma once

// A participant that serves HTTP: each command is a POST, on a connection of its own.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "tests/contract/peer.h"

namespace assent::contract {

class HttpPeer final : public Peer {
 public:
  // `url`: http://HOST:PORT/PATH. Empty `secret`: nothing is signed.
  HttpPeer(std::string url, std::string secret, std::chrono::milliseconds patience);
  ~HttpPeer() override;

  bool WaitReachable(std::chrono::milliseconds timeout) override;
  void Forget() override;
  std::future<Answer> Send(v1::BranchCommand command) override;
  void SendBytes(std::string bytes) override;
  std::string OnTheWire(const v1::BranchCommand& command) override;
  std::vector<Forged> SendForged(const v1::BranchCommand& command) override;
  void LoseAnswers() override;
  std::set<std::pair<std::string, v1::Protocol>> Offered() override { return {}; }
  std::size_t MaxAtOnce() override;
  std::vector<Fault> TakeFaults() override;

 private:
  struct Call;
  struct Shared;
  // `signature` empty: none is sent.
  std::future<Answer> Begin(std::string body, const v1::BranchCommand* command,
                            const std::string& signature);
  std::string Signature(const std::string& secret, const std::string& body,
                        std::int64_t seconds_ago = 0) const;

  const std::string url_;
  const std::string secret_;
  const std::chrono::milliseconds patience_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace assent::contract
