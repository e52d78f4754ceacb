#pragma once

// A shard on a log in memory, with a hand-operated world: it writes when told, dies when told and
// starts again from what had became durable. Whatever it hands to the log is decoded and
// compared on the way, whatever it shows is checked (Check), so that a target only has to think of
// what to ask.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/engine/shard.h"
#include "coordinator/log/memory/memory_log.h"

namespace assent::fuzz {

class LiveCoordinator final : public engine::ShardPorts {
 public:
  LiveCoordinator();
  ~LiveCoordinator() override;

  // One request, one turn. What the log answers is a turn of its own: Settle.
  void Do(engine::Request request);
  // Lets time pass, and what is due happen.
  void Pass(core::Millis time);
  // The log does all it has to do, and the shard hears of it.
  void Settle();
  void Write() { log_->Write(); }
  void SetFull(log::MemoryLog::Full full) { log_->SetFull(full); }
  // The process dies; of what was written and not synchronised `kept` groups survive. Then it
  // starts again.
  void CrashAndStart(std::size_t kept);

  // Ends what can be ended: the disk has room, whatever is suspended goes on, every command is
  // answered DONE. Then nothing may be left, in memory or in the log.
  void Heal();

  std::string IssueGid() { return "issued-" + std::to_string(next_gid_++); }
  core::Now now() const { return {mono_, wall_, 0}; }

  // A callback that checks whatever the shard answers with.
  engine::ViewCallback Checked();
  void Check(const Status& status, const core::Transaction* txn, bool decision_visible = true);

  // Its history has been removed: the gid may begin anew.
  void Forgotten(const std::string& gid) { told_.erase(gid); }

  // Sees each row on its way to the log, with its spec.
  std::function<void(const log::Entry&, const std::string&)> on_entry;

  // Commands on their way: a target answers them, loses them or lets them lie.
  std::deque<transport::Command> commands;

 private:
  std::uint64_t NextSerial(Slot) override { return log_->NextSerial(0); }
  void Append(std::vector<log::Entry> entries, std::uint64_t batch) override;
  void Find(std::string gid, std::uint64_t token) override;
  void Send(std::vector<transport::Command> sent) override;
  void GiveWay(engine::GiveWayRequest request) override {
    from_log_.emplace_back(std::move(request));
  }
  void Waiting(const std::string& service, std::int64_t more) override;
  void Fatal(const Status& status) override;

  void Start();
  std::vector<std::string> Unfinished();
  void ResumeAll();

  std::shared_ptr<log::MemoryDisk> disk_ = std::make_shared<log::MemoryDisk>();
  std::unique_ptr<log::MemoryLog> log_;
  std::unique_ptr<engine::Shard> shard_;
  std::deque<engine::Request> from_log_;
  core::MonoTime mono_{std::chrono::seconds(1000)};
  core::WallTime wall_{std::chrono::seconds(1'700'000'000)};
  std::map<std::string, std::int64_t> waiting_;  // transactions, by absent service
  std::uint64_t next_gid_ = 1;
  std::map<std::uint64_t, std::string> specs_;  // by serial, of what has begun in this life
  std::map<std::string, core::Decision> told_;  // by gid; never changes until it is forgotten
};

}  // namespace assent::fuzz
