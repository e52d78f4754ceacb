#pragma once

// Around any RowStore: what goes in is sealed, what comes out is opened. Whoever is above sees what
// he wrote; whoever is below, and its files, copies and checksums, only what is sealed. The gid,
// the outcome, serials and times stay readable.
//
//   QueuedLog ──► SealedStore ──► SqliteRowStore, PostgresRowStore, MemoryStore
//                    │ Keyring: which key writes; SIGHUP changes it
//                    └ behind each change a walk over all rows, which seals anew what is not
//                      under the key that writes
//
// A row that does not open is no reason to lose it: it is handed on as one that is set aside, by
// name, and its bytes stay. At the first Load a key that is missing is a reason not to start.
//
// Single-threaded, as any RowStore; what is shared is SealReport.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/crypt/keys.h"
#include "coordinator/crypt/seal.h"
#include "coordinator/log/row_store.h"

namespace assent::log {

// How many rows are under which key; in the clear: crypt::kPlaintext. A row that is under two has
// one of each. Those that a key is missing for are among them.
using KeyCounts = std::map<std::string, std::uint64_t>;

// What the walks of all lanes have found. From any thread.
class SealReport {
 public:
  struct Now {
    bool walking = false;  // of some lane
    KeyCounts rows{};      // as of the last whole walk of each
    std::uint64_t sealed_anew = 0;
    std::uint64_t unopened = 0;  // rows that did not open, each time one was read
  };
  Now Get() const;
  std::size_t Add();  // a lane
  // It has rows that it has not counted.
  void Expect(std::size_t lane);
  void Begin(std::size_t lane);
  void End(std::size_t lane, std::shared_ptr<const crypt::Keys> keys, KeyCounts rows);
  // Whether every lane has counted its rows since just these keys are in force. Until then nobody
  // knows which others are needed.
  bool Counted(const std::shared_ptr<const crypt::Keys>& keys) const;
  void NoteSealedAnew(std::uint64_t rows);
  void NoteUnopened();

 private:
  struct Lane {
    bool walking = false;
    bool has_rows = false;
    std::shared_ptr<const crypt::Keys> counted_under{};
    KeyCounts rows{};
  };
  mutable Mutex mutex_;
  std::vector<Lane> lanes_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t sealed_anew_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t unopened_ ASSENT_GUARDED_BY(mutex_) = 0;
};

struct SealedOptions {
  // So many rows at once, so often: what a rotation takes of the disk while others work.
  static constexpr std::size_t kWalkRows = 50;
  static constexpr std::chrono::milliseconds kWalkEvery{50};
  // How often a log with nothing to do looks whether the keys have changed.
  static constexpr std::chrono::milliseconds kLookEvery{1'000};
  // Behind a full disk.
  static constexpr std::chrono::milliseconds kFullPause{10'000};
  // The newest finished rows that a start looks at: whether their keys are there.
  static constexpr std::size_t kStartRows = 100;

  std::shared_ptr<crypt::Keyring> keyring{};
  std::shared_ptr<SealReport> report{};
  // What stands in the place of a state that is not to be had, in words of whoever reads states:
  // set aside, and why. `state` is as stored, and is returned as it is if it says so already.
  std::function<std::string(const std::string& gid, const std::string& why,
                            const std::string& state)>
      set_aside{};
  // A finished row did not open, and somebody has asked for it. On the log's thread.
  std::function<void(const std::string& gid, const std::string& why)> on_set_aside{};
  // A walk has been over all rows. On the log's thread.
  std::function<void(const KeyCounts& rows, std::uint64_t sealed_anew)> on_walked{};
};

class SealedStore final : public RowStore {
 public:
  SealedStore(std::unique_ptr<RowStore> inner, SealedOptions options);

  Result<Joined> Join() override;
  // kFailedPrecondition, of the first Load: a row needs a key that is not there.
  Status Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
              std::vector<DamagedSlot>& damaged) override;
  std::uint64_t generation() const override { return inner_->generation(); }
  Status Release(const std::vector<Slot>& slots) override { return inner_->Release(slots); }
  // Each entry has its gid, which no other store wants of a kUpdate: the value is sealed for it.
  Status Write(const std::vector<const std::vector<Entry>*>& batches, const Unwritten& unwritten,
               GroupOutcome& outcome) override;
  Status Commit() override { return inner_->Commit(); }
  bool full() const override { return inner_->full(); }
  bool fenced() const override { return inner_->fenced(); }
  bool away() const override { return inner_->away(); }
  std::int64_t answered_boot_ms() const override { return inner_->answered_boot_ms(); }
  Status BeforeReads() override { return inner_->BeforeReads(); }
  Result<Found> Find(const std::string& gid) override;
  Result<std::vector<FinishedRow>> Scan(std::uint64_t before_serial, std::size_t max_rows) override;
  Status AfterReads() override { return inner_->AfterReads(); }
  Result<WalkPlace> Walk(const WalkPlace& from, std::size_t max_rows,
                         const RowEditor& edit) override;
  // With a step of the walk, if it is time.
  Status Upkeep() override;
  Result<bool> UpkeepIdle() override;
  Clock::time_point NextDue() const override;
  Status Close() override { return inner_->Close(); }
  std::uint64_t NextSerial(Slot slot) override { return inner_->NextSerial(slot); }
  void Describe(Stats& stats) const override { inner_->Describe(stats); }

 private:
  using Field = crypt::Place::Field;

  crypt::Place PlaceOf(Field field, const std::string& gid) const {
    return {.field = field, .log_id = log_id_, .gid = gid};
  }
  // Nothing: both are in the clear now. Else why not, and both are as they were stored.
  std::optional<std::string> Open(const std::string& gid, std::string& spec, std::string& state,
                                  bool& lacks_key);
  // The same; what does not open is set aside.
  void OpenOrSetAside(const std::string& gid, std::string& spec, std::string& state);
  // Its state says so, in the clear.
  bool IsOutOfService(const std::string& gid, const std::string& state) const;
  Status CheckFinishedKeys();
  bool SealAnew(const std::string& gid, std::string& spec, std::string& state);
  Status StepWalk();
  Status BeginWalk();

  const std::unique_ptr<RowStore> inner_;
  const SealedOptions options_;
  crypt::Sealer sealer_;
  std::uint64_t log_id_ = 0;
  bool by_serial_ = false;  // one slot, so that unfinished rows come in the order of their serials
  bool loaded_ = false;
  std::vector<std::vector<Entry>> sealed_;  // of the group that is being written; its memory serves

  const std::size_t lane_;
  std::shared_ptr<const crypt::Keys> walk_keys_;  // in force when the walk began
  std::optional<WalkPlace> walk_;                 // nothing: no walk is under way
  std::uint64_t last_serial_ = 0;                 // the highest that was loaded or written
  // Of what was there when the walk began: what is above is under the key that writes, and would
  // keep a walk busy for ever.
  std::uint64_t walk_to_ = 0;
  KeyCounts walk_rows_;
  std::uint64_t walk_sealed_ = 0;
  Clock::time_point next_step_{};
  Clock::time_point next_look_{};
};

}  // namespace assent::log
