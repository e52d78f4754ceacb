#pragma once

// One shard with a hand-operated world: writes become durable when the test says so, commands are
// caught, time is set.

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/spec.h"
#include "coordinator/engine/shard.h"

namespace assent::engine {

inline log::Found Finished(log::FinishedRow row) {
  log::Found found;
  found.what = log::Found::What::kFinished;
  found.row = std::move(row);
  return found;
}

class ShardRig : public ShardPorts {
 public:
  explicit ShardRig(ShardOptions options = {}) : shard(options, *this) {
    Start(shard, {}, Recovered(kEpochs));
  }

  // A start: the log's only slot is taken up, with what the log has of it.
  void Start(Shard& one, const std::vector<log::LiveRow>& rows, const log::Joined& joined) {
    auto adopted = std::make_unique<Adopted>();
    for (const log::LiveRow& row : rows) adopted->Add(row);
    one.Start(joined);
    one.Handle(TakeUpRequest{.slot = 0, .rows = std::move(adopted), .generation = generation}, mono,
               wall);
    one.EndTurn(mono, wall);
  }
  static log::LiveRow RowOf(const log::Entry& entry) {
    return {entry.serial, entry.version, entry.gid, entry.spec, entry.state};
  }

  // The log's: its third start is under way.
  static inline const std::vector<std::uint64_t> kEpochs{
      log::NextEpoch(log::FirstEpochOf(0), 0xA1), log::NextEpoch(log::FirstEpochOf(1), 0xB2),
      log::NextEpoch(log::FirstEpochOf(2), 0xC3)};
  static log::Recovered Recovered(std::vector<std::uint64_t> epochs) {
    log::Recovered recovered;
    recovered.log_id = 7;
    recovered.epoch = epochs.back();
    recovered.epochs = std::make_shared<const std::vector<std::uint64_t>>(std::move(epochs));
    return recovered;
  }

  static log::Found Absent() {
    log::Found found;
    found.epochs = Recovered(kEpochs).epochs;
    return found;
  }

  struct PendingAppend {
    std::uint64_t batch = 0;
    std::vector<log::Entry> entries;
  };

  std::uint64_t NextSerial(Slot) override { return serials_ ? next_serial_++ : 0; }
  std::uint64_t Generation() override { return generation; }
  void StopSerials() { serials_ = false; }
  void Append(std::vector<log::Entry> entries, std::uint64_t batch) override {
    appends.push_back({batch, std::move(entries)});
  }
  void Find(std::string gid, std::uint64_t token) override {
    finds.emplace_back(std::move(gid), token);
  }
  void Send(std::vector<transport::Command> commands) override {
    for (auto& command : commands) sent.push_back(std::move(command));
  }
  void GiveWay(GiveWayRequest request) override { give_way.push_back(std::move(request)); }
  void Waiting(const std::string& service, std::int64_t more) override { waiting[service] += more; }
  void Fatal(const Status& status) override { fatal = status; }

  void Do(Request request) {
    shard.Handle(std::move(request), mono, wall);
    shard.EndTurn(mono, wall);
  }
  void Pass(core::Millis time) {
    mono += time;
    wall += time;
    shard.EndTurn(mono, wall);
  }
  // The oldest outstanding write is answered.
  void Complete(Status status = {}, std::vector<log::RefusedEntry> refused = {}) {
    ASSENT_CHECK(!appends.empty());
    PendingAppend done = std::move(appends.front());
    appends.pop_front();
    if (status.ok()) {
      for (const log::Entry& entry : done.entries) written.push_back(entry.kind);
    }
    Do(AppendedRequest{
        done.batch,
        {std::move(status), done.batch, wall.time_since_epoch().count(), std::move(refused)}});
  }
  void CompleteAll() {
    while (!appends.empty()) Complete();
  }
  // Answers everything that was sent, and forgets it.
  void AnswerAll(core::AttemptResult result, const std::string& text = {}, bool absent = false) {
    std::vector<transport::Reply> replies;
    for (const transport::Command& c : std::exchange(sent, {})) {
      const bool done = result == core::AttemptResult::kDone;
      replies.push_back({c.gid, c.branch, c.operation, c.attempt, result, done ? text : "",
                         done ? "" : text, core::Millis(0), absent});
    }
    Do(RepliesRequest{std::move(replies)});
  }
  // Nobody of the services is there to take what was sent.
  void NobodyThere() {
    AnswerAll(core::AttemptResult::kNotSent, "no participant is connected", true);
  }
  std::string Sent() const {
    std::string text;
    for (const transport::Command& c : sent) {
      text += (text.empty() ? "" : " ") + c.branch_id + ":" + std::string(core::Name(c.operation));
    }
    return text;
  }

  // What a caller was told: "OK COMMITTED" or the status.
  struct Told {
    std::vector<std::string> words;
    ViewCallback Callback() {
      return [this](const Status& status, const core::Transaction* txn, const core::Now&) {
        words.push_back(
            status.ok() ? "OK " + (txn == nullptr ? "" : std::string(core::Name(txn->outcome())))
                        : std::string(CodeName(status.code())));
      };
    }
  };

  static BeginRequest Begin(core::TransactionSpec spec, WaitFor wait_for, Told& told) {
    return BeginRequest{std::move(spec), wait_for, told.Callback()};
  }

  static core::TransactionSpec Spec(const std::string& gid,
                                    core::Protocol protocol = core::Protocol::kTcc,
                                    int branches = 2) {
    core::TransactionSpec spec;
    spec.gid = gid;
    spec.open = branches == 0;
    for (int i = 0; i < branches; ++i) {
      core::BranchSpec branch;
      branch.protocol = protocol;
      branch.service = "s" + std::to_string(i + 1);
      branch.action = "act";
      spec.branches.push_back(branch);
    }
    ASSENT_CHECK(core::Normalise(spec).ok());
    return spec;
  }

  // "a", decided to commit; its one branch says that it cannot. Its spec, as it is in the log.
  std::string MakeHazard(Told& told) {
    Do(Begin(Spec("a", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
    std::string spec = appends.front().entries.front().spec;
    CompleteAll();
    AnswerAll(core::AttemptResult::kDone);
    CompleteAll();
    AnswerAll(core::AttemptResult::kRefused, "cannot confirm");
    return spec;
  }

  core::MonoTime mono{std::chrono::seconds(1000)};
  core::WallTime wall{std::chrono::seconds(1'700'000'000)};
  std::uint64_t generation = core::kFirstStoreGeneration;
  std::deque<PendingAppend> appends;
  std::vector<std::pair<std::string, std::uint64_t>> finds;
  std::vector<transport::Command> sent;
  std::deque<GiveWayRequest> give_way;
  std::vector<log::EntryKind> written;
  std::map<std::string, std::int64_t> waiting;
  Status fatal;
  Shard shard;

 private:
  bool serials_ = true;
  std::uint64_t next_serial_ = 1;
};

}  // namespace assent::engine
