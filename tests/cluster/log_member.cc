// One member of a cluster with nothing above its log: in each of its slots it begins, changes and
// ends one transaction after the other, and says what it has been told.
//
//   cluster-log-member URL NODE LEASE_MS SLOTS LANES
//
//   LOADED slot slot_epoch rows     GIVEN slot
//   BEGUN gid                       ENDED gid          durable
//   FENCED node done|moved|held     AWAY  BACK
//
// SIGUSR1: drains itself. SIGTERM: ends in order. Exit codes as assentd's: 74, 75, 76.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/log/postgresql/postgres_log.h"
#include "tests/support/process.h"

namespace assent::log {
namespace {

void Say(const std::string& line) {
  const std::string whole = line + "\n";
  if (write(STDOUT_FILENO, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
    _exit(3);
}

[[noreturn]] void Die(int code, const Status& why) {
  Say("DIES " + std::to_string(code) + " " + why.ToString());
  _exit(code);
}

class Workload final : public SlotEvents {
 public:
  explicit Workload(PostgresLogOptions options) : log_(std::move(options)) {}

  void Start() {
    const Result<Joined> joined = log_.Join(*this);
    if (!joined.ok()) Die(1, joined.status());
    slots_count_ = joined.value().slots_count;
    Say("JOINED " + std::to_string(joined.value().epoch));
    OnAssigned(joined.value().slots);
    log_.StartEvents();
  }
  void Drain(const std::string& node) {
    log_.control().SetDraining(node, true, {},
                               [](const Status& status) { Say("DRAINING " + status.ToString()); });
  }
  // No more begins; what has begun ends, and has said so.
  void Stop() {
    const MutexLock lock(mutex_);
    stopping_ = true;
    while (under_way_ > 0) quiet_.Wait(mutex_);
  }
  void OnAssigned(const std::vector<SlotGrant>& grants) override {
    if (grants.empty()) return;
    std::vector<Slot> slots;
    {
      const MutexLock lock(mutex_);
      for (const SlotGrant& grant : grants) {
        const auto [at, gained] = slots_.try_emplace(grant.slot);
        at->second.epoch = grant.slot_epoch;
        if (gained) slots.push_back(grant.slot);
      }
    }
    if (slots.empty()) return;
    const auto rows = std::make_shared<std::map<Slot, std::vector<LiveRow>>>();
    log_.Load(
        slots,
        [rows](const LiveRow& row) {
          (*rows)[row.slot].push_back(row);
          return OkStatus();
        },
        [this, slots, rows](const Loaded& loaded) {
          if (!loaded.status.ok()) return;  // it says so in its own ways
          if (!loaded.damaged.empty()) Die(65, DataLoss(loaded.damaged.front().why));
          for (const Slot slot : slots) Serve(slot, (*rows)[slot]);
        });
  }
  void OnWanted(const std::vector<Slot>& slots) override {
    for (const Slot slot : slots) {
      {
        const MutexLock lock(mutex_);
        Held& held = slots_.at(slot);
        held.wanted = true;
        if (!held.serving || held.under_way > 0) continue;
      }
      GiveUp(slot);
    }
  }
  void OnFenced(const Status& why) override { Die(75, why); }

 private:
  struct Held {
    std::uint64_t epoch = 0;
    bool serving = false;
    bool wanted = false;
    int under_way = 0;
  };

  void Serve(Slot slot, const std::vector<LiveRow>& rows) {
    {
      const MutexLock lock(mutex_);
      Held& held = slots_.at(slot);
      held.serving = true;
      held.under_way = static_cast<int>(rows.size());
      under_way_ += held.under_way;
      Say("LOADED " + std::to_string(slot) + " " + std::to_string(held.epoch) + " " +
          std::to_string(rows.size()));
    }
    for (const LiveRow& row : rows) {
      Entry entry{.kind = EntryKind::kEnd,
                  .serial = row.serial,
                  .version = row.version + 1,
                  .slot = slot,
                  .gid = row.gid,
                  .spec = row.spec,
                  .state = "taken over",
                  .outcome = 2};
      Append(std::move(entry));
    }
    if (rows.empty()) GoOn(slot);
  }

  // Now and then more than a socket holds: a member that is stopped then has sent half a group.
  std::string Spec() {
    return ++begins_ % 64 == 0 ? std::string(std::size_t{1} << 20, 's') : "spec";
  }

  // The next one, if there is to be one.
  void GoOn(Slot slot) {
    bool leaves = false;
    {
      const MutexLock lock(mutex_);
      Held& held = slots_.at(slot);
      if (held.under_way > 0) return;
      leaves = held.wanted;
      if (!leaves && stopping_) return;
      if (!leaves) {
        ++held.under_way;
        ++under_way_;
      }
    }
    if (leaves) return GiveUp(slot);
    // None is given until a beat of ours has overtaken the limit of whoever had the slot.
    std::uint64_t serial = 0;
    if (!test::WaitUntil([&] { return (serial = log_.NextSerial(slot)) != 0; },
                         std::chrono::seconds(10)))
      Die(9, Internal("no serial"));
    Entry entry{.kind = EntryKind::kBegin,
                .serial = serial,
                .version = 1,
                .slot = slot,
                .gid = {},
                .spec = Spec(),
                .state = "begun"};
    for (int n = 0;; ++n) {
      entry.gid = std::to_string(entry.serial) + "-" + std::to_string(n);
      if (SlotOf(entry.gid, slots_count_) == slot) break;
    }
    Append(std::move(entry));
  }

  void Append(Entry entry) {
    Entry next = entry;
    next.state = "changed";
    next.kind = entry.kind == EntryKind::kBegin ? EntryKind::kUpdate : EntryKind::kEnd;
    ++next.version;
    std::vector<Entry> batch;
    batch.push_back(std::move(entry));
    const EntryKind kind = batch.front().kind;
    log_.Append(std::move(batch), [this, kind, next](const AppendResult& result) {
      if (!result.status.ok() || !result.refused.empty()) return;  // as above
      if (kind == EntryKind::kBegin) Say("BEGUN " + next.gid);
      if (kind != EntryKind::kEnd) return Append(next);
      Say("ENDED " + next.gid);
      {
        const MutexLock lock(mutex_);
        --slots_.at(next.slot).under_way;
      }
      GoOn(next.slot);
      const MutexLock lock(mutex_);
      --under_way_;
      quiet_.NotifyAll();
    });
  }

  void GiveUp(Slot slot) {
    {
      const MutexLock lock(mutex_);
      slots_.erase(slot);
    }
    log_.Release(slot, [slot](const Status& status) {
      Say((status.ok() ? "GIVEN " : "KEPT ") + std::to_string(slot));
    });
  }

  Slot slots_count_ = 1;
  std::atomic<std::uint64_t> begins_ = 0;
  Mutex mutex_;
  CondVar quiet_;
  std::map<Slot, Held> slots_ ASSENT_GUARDED_BY(mutex_);
  int under_way_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;
  PostgresLog log_;  // goes first: until it has gone it calls
};

int Main(char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  (void)pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  PostgresLogOptions options;
  options.connection.url = argv[1];
  options.schema.slots_count = static_cast<Slot>(std::atoi(argv[4]));
  options.node = argv[2];
  options.address = options.node + ":1";
  options.lease = std::chrono::milliseconds(std::atoi(argv[3]));
  options.lanes_count = static_cast<std::uint32_t>(std::atoi(argv[5]));
  options.on_poisoned = [](const Status& why) { Die(74, why); };
  options.on_fenced = [](const Status& why) { Die(75, why); };
  options.on_regressed = [](const Status& why) { Die(76, why); };
  options.on_away = [](const Status&) { Say("AWAY"); };
  options.on_back = [] { Say("BACK"); };
  options.on_fence = [](const std::string& node, cluster::MemberStore::Fenced result,
                        const std::string&) {
    static constexpr const char* kWords[] = {"done", "moved", "held"};
    Say("FENCED " + node + " " + kWords[static_cast<int>(result)]);
  };
  {
    Workload workload(std::move(options));
    workload.Start();
    for (int signal = 0; signal != SIGTERM;) {
      (void)sigwait(&signals, &signal);
      if (signal == SIGUSR1) workload.Drain(argv[2]);
    }
    workload.Stop();
  }
  Say("CLOSED");
  return 0;
}

}  // namespace
}  // namespace assent::log

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  return assent::log::Main(argv);
}
