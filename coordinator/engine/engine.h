#pragma once

// The shards, each with its thread and its mailbox, between the doors (api), the log and the transports. Recovery is the same
// loop fed from replay.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/engine/requests.h"
#include "coordinator/engine/shard.h"
#include "coordinator/log/log.h"
#include "coordinator/transport/transport.h"

namespace assent::engine {

struct EngineOptions {
  std::size_t shards_count = 1;
  ShardOptions shard;
  // Requests waiting for one shard; beyond it new work is refused with kResourceExhausted. Answers of participants and of
  // the log are never refused.
  std::size_t max_waiting_count = 100'000;
  std::size_t max_waiting_bytes = std::size_t{256} << 20;  // of their payloads
};

class Engine final : public transport::Receiver {
 public:
  // `fatal` is called from any thread when the log cannot be trusted any more; it should end the process at once. `log`
  // outlives the engine and must be closed first (its callbacks come here).
  Engine(EngineOptions options, log::Log& log, std::function<void(const Status&)> fatal);
  ~Engine() override;

  // Replays the log into the shards and makes the new epoch durable. Nothing is sent before Start.
  Result<log::Recovered> Recover();
  void Start(transport::Transport& transport);
  // No new work; what is under way is left as it is: it is in the log.
  void Refuse(std::string why);
  // Ends the threads. Idempotent.
  void Stop();

  // Hands a request to the shard of `gid`. kResourceExhausted or kUnavailable: the callback will not be called.
  Status Post(const std::string& gid, Request request);
  // To every shard.
  void Visit(const std::function<void(std::uint64_t, const core::Transaction&, bool,
                                      const core::Now&)>& visit,
             std::function<void()> done);

  // Time-ordered, so that an index over gids grows at its end; and nobody can tell the next one: 12 hex digits of Unix
  // milliseconds, the coordinator's id, 16 hex digits of the machine's generator. Not trusted to be new: the log checks.
  std::string IssueGid() const;

  log::Log& log() { return log_; }
  const log::Recovered& recovered() const { return recovered_; }
  // Sums the shards' figures; blocks for a turn. Those that do not answer in time are not in the sum, but counted.
  ShardStats Stats(std::chrono::milliseconds patience = std::chrono::seconds(5));
  std::string refusing() const;

  void OnReplies(std::vector<transport::Reply> replies) override;
  void OnServiceAppeared(const std::string& service) override;
  void OnQuestion(transport::OutcomeQuestion question,
                  std::function<void(transport::OutcomeAnswer)> answer) override;

 private:
  class Worker;
  Worker& Of(const std::string& gid);

  const EngineOptions options_;
  log::Log& log_;
  const std::function<void(const Status&)> fatal_;
  log::Recovered recovered_;
  std::atomic<std::uint64_t> next_serial_ = 1;
  std::shared_ptr<const std::string> refusing_;  // atomically; not null: why new work is refused
  transport::Transport* transport_ = nullptr;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace assent::engine
