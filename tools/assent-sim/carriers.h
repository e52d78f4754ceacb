#pragma once

// The carriers of the simulated world, under the production switchboard, session hub and dialer:
// streams over the network's connections, calls as its letters.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/transport/session_hub.h"
#include "coordinator/transport/switchboard.h"
#include "coordinator/transport/unary_dialer.h"
#include "tools/assent-sim/coordinator.h"

namespace assent::sim {

class SimClock final : public transport::Clock {
 public:
  explicit SimClock(const Sim& sim) : sim_(sim) {}
  core::MonoTime Mono() const override { return sim_.Mono(); }
  core::WallTime Wall() const override { return sim_.Wall(); }

 private:
  const Sim& sim_;
};

// The coordinator's end of one connection.
class Coordinator::Stream final : public transport::FrameStream {
 public:
  Stream(Coordinator& owner, std::uint64_t number) : owner_(owner), number_(number) {}
  void Read() override { reading = true; }
  void Write(const v1::CoordinatorFrame& frame) override;
  void Finish(const Status& status) override;

  bool reading = false;
  std::shared_ptr<transport::FrameSink> sink;

 private:
  Coordinator& owner_;
  const std::uint64_t number_;
};

// Calls to the services that are dialled; the address of service n is "sn".
class Coordinator::Calls final : public transport::Caller {
 public:
  explicit Calls(Coordinator& owner) : owner_(owner) {}
  void Start(std::uint32_t coordinator_id, transport::CallSink& sink) override;
  void Add(std::size_t target, const transport::Endpoint& endpoint) override;
  void Remove(std::size_t target) override;
  bool Call(std::size_t target, std::uint64_t call, transport::Command& command) override;
  void Stop() override {}

  void OnLink(std::uint32_t service, bool up);
  void OnLetter(const Letter& letter);
  void OnDeadline(std::uint64_t call);

 private:
  void End(transport::CallEnd end);

  Coordinator& owner_;
  std::map<std::size_t, std::uint32_t> services_;  // by target
  std::map<std::uint32_t, bool> linked_;           // by service
  transport::CallSink* sink_ = nullptr;
  std::map<std::uint64_t, std::size_t> under_way_;  // by number, the target
};

// What the transport delivers to, in place of the engine.
class Coordinator::Ears final : public transport::Receiver {
 public:
  explicit Ears(Coordinator& owner) : owner_(owner) {}
  void OnReplies(std::vector<transport::Reply> replies) override;
  void OnServiceAppeared(const std::string& service) override;
  void OnQuestion(transport::OutcomeQuestion question,
                  std::function<void(transport::OutcomeAnswer)> answer) override;

 private:
  Coordinator& owner_;
};

}  // namespace assent::sim
