#pragma once

// The record of what people do: who asked for what, why, and what came of it, also of what was
// refused. An entry is durable before anything is done, so that nothing is done that is not on
// record; what came of it is added behind. And of who came, or was not let in.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/audit/entry.h"
#include "coordinator/audit/store.h"
#include "coordinator/audit/tally.h"

namespace assent::audit {

// What may wait to be written, or to be read, at once; and of what nobody waits for.
inline constexpr std::size_t kMaxWaitingCount = 10'000;

// Between two times that the latest hashes are told.
inline constexpr std::chrono::milliseconds kHeadsInterval{600'000};
// How long what comes at the doors again and again is counted before it is written.
inline constexpr std::chrono::milliseconds kVisitsWindow{60'000};

struct AuditOptions {
  std::uint64_t epoch = 0;
  std::string node = {};  // empty: there is one coordinator
  OpenStore open;
  std::size_t max_rows_count = kMaxRowsCount;
  std::size_t max_refused_rows_count = kMaxRefusedRowsCount;
  std::chrono::milliseconds visits_window = kVisitsWindow;
  // The store cannot be written (empty: it can again); for people. On the thread.
  std::function<void(const std::string& why)> on_trouble = {};
  // Where a chain has got to, for who keeps it elsewhere: behind the first rows, at intervals, and
  // at the end. On the thread.
  std::function<void(const std::string& chain, std::uint64_t number, const std::string& hash)>
      on_head = {};
};

// Thread-safety: all of it, from any thread. Nothing waits; what is called back is called on a
// thread of this, or, if there is no room, within the call.
class Audit {
 public:
  using Begun = std::function<void(const Result<EntryId>&)>;
  using Found = std::function<void(const Result<std::vector<Entry>>&)>;
  using FoundChains = std::function<void(const Result<std::vector<Span>>&)>;
  using FoundRows = std::function<void(const Result<std::vector<Row>>&)>;

  explicit Audit(AuditOptions options);
  ~Audit() { Close(); }
  // Writes what is still to be written, unless the store was in trouble. Nothing begins after it.
  void Close() ASSENT_EXCLUDES(mutex_);

  // OK: it is on record that this is asked for, and it may be done. kFailedPrecondition: the record
  // cannot be written, so it may not; kResourceExhausted: too many wait; kUnavailable: Close.
  void Begin(Deed deed, Begun done) ASSENT_EXCLUDES(mutex_);
  void End(Ending ending) ASSENT_EXCLUDES(mutex_);
  // What needs nobody's leave, and nobody waits for: a login, a reload, a call that was refused.
  // What comes at the doors is counted, if it comes often; what there is no room for is left out.
  void Note(Kind kind, Deed deed, Code code, std::string said) ASSENT_EXCLUDES(mutex_);

  void Read(Query query, Found done) ASSENT_EXCLUDES(mutex_);
  // Of a Store, which see.
  void ReadChains(std::string after, std::size_t max, FoundChains done) ASSENT_EXCLUDES(mutex_);
  void ReadRows(std::string chain, std::uint64_t after, std::size_t max, FoundRows done)
      ASSENT_EXCLUDES(mutex_);

 private:
  using Look = std::function<Status()>;
  struct Work {
    std::vector<Row> begun;
    std::vector<Begun> told;  // one for each of `begun`
    std::vector<Row> behind;
    std::vector<Look> asked;
    bool empty() const { return begun.empty() && behind.empty() && asked.empty(); }
  };

  void Run();
  bool WaitForWork(Work& work) ASSENT_EXCLUDES(mutex_);
  void AddVisit(Visit visit) ASSENT_REQUIRES(mutex_);
  EntryId NextId() ASSENT_REQUIRES(mutex_);
  template <typename Answer, typename UseStore>
  void Ask(UseStore use, std::function<void(const Result<Answer>&)> done) ASSENT_EXCLUDES(mutex_);
  Status Do(Work& work);
  void NoteTrouble(const Status& done);
  Status Open();
  Status Use(const std::function<Status(Store&)>& use);
  Status Write(Work& work);
  void NoteHeads(const std::vector<Row>& rows);
  void TellHeads(bool closing);
  Status Retire();

  const AuditOptions options_;

  // The thread's.
  std::unique_ptr<Store> store_;
  std::vector<Row> late_;    // that could not be written yet
  std::size_t written_ = 0;  // since the oldest were removed
  bool troubled_ = false;
  std::map<std::string, Head> heads_;  // not told yet
  std::int64_t heads_due_ms_ = 0;

  Mutex mutex_;
  CondVar work_ready_;
  Work next_ ASSENT_GUARDED_BY(mutex_);
  Tally visits_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t number_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace assent::audit
