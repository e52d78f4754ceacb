#pragma once

// One lane of one member into the shared store: what log/postgresql does for the queue above it,
// over the simulated server. Its rules are those of the statements there, one by one:
//
//   group    of this connection, not fenced, and the next seq, or nothing of it happens
//   settle   an answer that is lost is asked for over a new connection, which first makes it
//            impossible that the old one still writes; then the newest seq says what happened
//   load     what was read counts when a group of ours behind it is committed
//
// Runs on a fiber; each call takes simulated time.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/log/postgresql/slot_table.h"
#include "coordinator/log/row_store.h"
#include "tools/assent-sim/store_client.h"

namespace assent::sim {

class SharedRows final : public log::RowStore {
 public:
  struct Of {
    Sim& sim;
    SharedStore& store;
    StoreClient& client;
    std::shared_ptr<log::SlotTable> slots;
  };
  SharedRows(const Of& of, LaneKey lane, log::Joined joined, std::uint64_t generation)
      : sim_(of.sim),
        store_(of.store),
        client_(of.client),
        slots_(of.slots),
        lane_(lane),
        joined_(std::move(joined)),
        generation_(generation),
        checked_generation_(generation) {}

  Result<log::Joined> Join() override { return joined_; }
  Status Load(const std::vector<Slot>& slots, const log::Log::LiveVisitor& visit,
              std::vector<log::DamagedSlot>& damaged) override;
  Status Release(const std::vector<Slot>& slots) override;
  Status Write(const std::vector<const std::vector<log::Entry>*>& batches,
               const log::Unwritten& unwritten, log::GroupOutcome& outcome) override;
  Status Commit() override;
  bool full() const override { return false; }
  bool fenced() const override { return fenced_; }
  // What was read counts when a group of ours behind it is committed.
  Result<log::Found> Find(const std::string& gid) override;
  Result<std::vector<log::FinishedRow>> Scan(std::uint64_t, std::size_t) override;
  // Nothing seals the rows of the simulated store, so nobody walks over them to seal them anew.
  Result<log::WalkPlace> Walk(const log::WalkPlace& /*from*/, std::size_t /*max_rows*/,
                              const log::RowEditor& /*edit*/) override {
    return log::WalkPlace{.among = log::WalkPlace::Among::kEnd};
  }
  std::uint64_t NextSerial(Slot slot) override { return slots_->Next(slot); }
  Result<bool> UpkeepIdle() override;
  std::uint64_t generation() const override { return loaded_generation_; }
  // Of the store, as the observer sees it.
  std::uint64_t seen_generation() const { return generation_; }
  // The observer has looked: of the store's generation, and whether UpkeepIdle has to do something.
  bool Looked(std::uint64_t generation);
  void Describe(log::Stats& stats) const override { stats.commits = acknowledged_; }

  // The store has lost what it had acknowledged.
  bool regressed() const { return regressed_; }

 private:
  // A group, and what the server made of it.
  struct Group;
  enum class Settled : std::uint8_t { kCommitted, kNot, kOver };

  std::shared_ptr<Group> NewGroup();
  StoreRequest RequestOf(const std::shared_ptr<Group>& group) const;
  void SendGroup();
  // Until it is executed, or committed; sent again as often as it takes.
  Status Drive(bool committed);
  Status CommitEmpty();
  Status LookAfterFailOver();
  Status RemoveUnfenced();
  Settled Settle();
  bool Ready();
  Status Over() const;

  Sim& sim_;
  SharedStore& store_;
  StoreClient& client_;
  const std::shared_ptr<log::SlotTable> slots_;
  const LaneKey lane_;
  const log::Joined joined_;
  std::uint64_t conn_ = 0;
  std::uint64_t acknowledged_ = 0;  // the newest seq
  std::shared_ptr<Group> group_;    // written, not committed
  std::uint64_t sent_ = 0;          // its request
  bool under_way_ = false;
  bool settled_ = false;  // it is committed, and nobody will say so
  std::set<Slot> loaded_;
  bool fenced_ = false;
  bool regressed_ = false;
  std::uint64_t generation_ = 0;  // of the store, as the observer sees it
  std::uint64_t loaded_generation_ = 0;
  std::uint64_t checked_generation_ = 0;  // in which it is known to have what we were told
  Time next_expiry_ = 0;
};

// Time as serials count it: hours where production has milliseconds, so that one given twice shows.
// `clock`: so far from others' is that of this machine.
std::int64_t TickNow(const Sim& sim, Time clock);
// For how long finished transactions are kept; counted in the time that the cluster has run.
Time KeptFor(const Options& options);

}  // namespace assent::sim
