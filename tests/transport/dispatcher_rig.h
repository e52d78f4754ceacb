#pragma once

// A dispatcher with a clock of its own, and commands to give it.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/traffic/limit.h"
#include "coordinator/transport/dispatcher.h"

namespace assent::transport {

struct Rig {
  using Outgoing = std::vector<Dispatcher::Outgoing>;

  core::MonoTime now{std::chrono::seconds(1000)};
  Dispatcher dispatcher;
  Dispatcher::Effects effects;

  explicit Rig(DispatcherLimits limits = {}, traffic::Policies policies = {}) : dispatcher(limits) {
    dispatcher.At(now);
    Treat(std::move(policies));
  }
  void Treat(traffic::Policies policies) {
    dispatcher.SetPolicies(std::make_shared<const traffic::Policies>(std::move(policies)), effects);
  }

  static SessionHello Hello(const std::string& service, std::uint32_t in_flight = 0) {
    return {1, service, "i", {{"act", core::Protocol::kTcc}}, in_flight, "test"};
  }
  static Command Try(const std::string& gid, const std::string& service = "s") {
    Command command;
    command.gid = gid;
    command.branch_id = "1";
    command.operation = core::Operation::kTry;
    command.service = service;
    command.action = "act";
    command.attempt = 1;
    command.timeout = core::Millis(1000);
    return command;
  }
  static SessionReply Done(const std::string& gid, std::uint64_t command_id) {
    SessionReply reply;
    reply.gid = gid;
    reply.branch_id = "1";
    reply.operation = core::Operation::kTry;
    reply.command_id = command_id;
    reply.result = core::AttemptResult::kDone;
    reply.bytes = "r";
    return reply;
  }

  Status Attach(InstanceId id, const SessionHello& hello) {
    return dispatcher.Attach(id, hello, "peer", core::WallTime{}, effects);
  }
  // What comes back at once.
  std::vector<Reply> Send(std::vector<Command> commands) {
    dispatcher.At(now);
    dispatcher.Send(std::move(commands), effects);
    return Replies();
  }
  std::vector<Reply> Send(Command command) {
    std::vector<Command> commands;
    commands.push_back(std::move(command));
    return Send(std::move(commands));
  }
  std::vector<Reply> Send(const std::string& gid) { return Send(Try(gid)); }
  Outgoing Take(InstanceId id, std::size_t max_count = 100, std::size_t max_bytes = 1 << 20) {
    dispatcher.At(now);
    return dispatcher.Take(id, max_count, max_bytes, effects);
  }
  std::vector<Reply> Answer(InstanceId id, SessionReply reply) {
    std::vector<SessionReply> replies;
    replies.push_back(std::move(reply));
    dispatcher.At(now);
    dispatcher.OnReplies(id, std::move(replies), effects);
    return Replies();
  }
  void Return(InstanceId id, Dispatcher::Outgoing outgoing) {
    dispatcher.At(now);
    dispatcher.Return(id, std::move(outgoing), effects);
  }
  std::vector<Reply> End(InstanceId id, std::uint64_t command_id, const std::string& why = "") {
    dispatcher.At(now);
    dispatcher.End(id, command_id, why, effects);
    return Replies();
  }
  std::vector<Reply> Detach(InstanceId id) {
    dispatcher.Detach(id, effects);
    return Replies();
  }
  std::vector<Reply> Pass(core::Millis time) {
    now += time;
    dispatcher.At(now);
    dispatcher.Wake(effects);
    while (dispatcher.Expire(100, effects)) continue;
    return Replies();
  }
  std::vector<Reply> Replies() { return std::exchange(effects.replies, {}); }
  std::vector<std::string> Appeared() { return std::exchange(effects.appeared, {}); }
  std::vector<InstanceId> Touched() { return std::exchange(effects.touched, {}); }

  void Dial(InstanceId id, const std::string& address, std::size_t max_in_flight = 10) {
    dispatcher.AddDialled(id, "s", address, max_in_flight, effects);
    Appeared();
  }
  bool Retire(InstanceId id) { return dispatcher.Retire(id, effects).has_value(); }
  std::vector<InstanceId> Gone() { return std::exchange(effects.gone, {}); }
  bool Reach(InstanceId id, transport::Reach reach, const std::string& why = "") {
    return dispatcher.SetReach(id, reach, why, core::WallTime(core::Millis(1)), effects)
        .has_value();
  }
};

}  // namespace assent::transport
