#pragma once

// The record of what people do: who asked for what, why, and what came of it, also of what was
// refused. An entry is durable before anything is done, so that nothing is done that is not on
// record; what came of it is added behind.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "coordinator/audit/entry.h"
#include "coordinator/audit/store.h"

namespace assent::audit {

// What may wait to be written, or to be read, at once.
inline constexpr std::size_t kMaxWaitingCount = 10'000;

struct AuditOptions {
  std::uint64_t epoch = 0;
  std::string node = {};  // empty: there is one coordinator
  OpenStore open;
  std::size_t max_entries_count = kMaxEntriesCount;
  // The store cannot be written (empty: it can again); for people. On the thread.
  std::function<void(const std::string& why)> on_trouble = {};
};

// Thread-safety: all of it, from any thread. Nothing waits; what is called back is called on a
// thread of this, or, if there is no room, within the call.
class Audit {
 public:
  using Begun = std::function<void(const Result<EntryId>&)>;
  using Found = std::function<void(const Result<std::vector<Entry>>&)>;

  explicit Audit(AuditOptions options);
  ~Audit() { Close(); }
  // Writes what is still to be written, unless the store was in trouble. Nothing begins after it.
  void Close() ASSENT_EXCLUDES(mutex_);

  // OK: it is on record that this is asked for, and it may be done. kFailedPrecondition: the record
  // cannot be written, so it may not; kResourceExhausted: too many wait; kUnavailable: Close.
  void Begin(Deed deed, Begun done) ASSENT_EXCLUDES(mutex_);
  void End(Ending ending) ASSENT_EXCLUDES(mutex_);
  // What needs nobody's leave, and nobody waits for: a login, a reload. What there is no room for
  // is left out.
  void Note(Deed deed, Code code, std::string said) ASSENT_EXCLUDES(mutex_);
  void Read(Query query, Found done) ASSENT_EXCLUDES(mutex_);

 private:
  struct Work {
    std::vector<Entry> begun;
    std::vector<Begun> told;  // one for each of `begun`
    std::vector<Ending> ended;
    std::vector<std::pair<Query, Found>> asked;
    bool empty() const { return begun.empty() && ended.empty() && asked.empty(); }
  };

  void Run();
  bool WaitForWork(Work& work) ASSENT_EXCLUDES(mutex_);
  Status Do(Work& work);
  void NoteTrouble(const Status& done);
  Status Open();
  Status Use(const std::function<Status(Store&)>& use);
  Status Write(Work& work);
  Status TryToWrite(Store& store) const;
  Status Retire();
  Status Look(const Query& query, const Found& found);

  const AuditOptions options_;

  // The thread's.
  std::unique_ptr<Store> store_;
  std::vector<Ending> late_;  // that could not be written yet
  std::size_t begun_ = 0;     // since the oldest were removed
  bool troubled_ = false;

  Mutex mutex_;
  CondVar work_ready_;
  Work next_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t number_ ASSENT_GUARDED_BY(mutex_) = 0;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace assent::audit
