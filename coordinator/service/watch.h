#pragma once

#include <memory>
#include <string>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/service.h"

namespace assent::service {

// What a watch shows its states to: the door's side of it. Called from any thread, one call at a
// time, and never back into the watch.
class Viewer {
 public:
  virtual ~Viewer() = default;
  // One more state; Watch::Taken says that it is off our hands. Not OK: it has no room, which ends
  // the watch.
  virtual Status Show(const v1::Transaction& shown) = 0;
  // The last call.
  virtual void End(const Status& status) = 0;
};

// The latest state of a transaction, as often as it changes and the caller keeps up: a state is
// made only when the one before has been taken, so that a watch holds one at most. It holds its
// viewer until the end.
class Watch final : public std::enable_shared_from_this<Watch> {
 public:
  Watch(Service& service, std::shared_ptr<Viewer> viewer)
      : service_(service), viewer_(std::move(viewer)) {}

  void Start(const Caller&, const v1::WatchRequest& request) ASSENT_EXCLUDES(mutex_);
  void Taken() ASSENT_EXCLUDES(mutex_);
  // Ends it, unless it has ended.
  void Leave(const Status& why) ASSENT_EXCLUDES(mutex_);

 private:
  Status Enter(const Caller& caller, const v1::WatchRequest& request) ASSENT_REQUIRES(mutex_);
  void Show(const Status& status, const core::Transaction* txn, const core::Now& now)
      ASSENT_REQUIRES(mutex_);
  void Ask() ASSENT_REQUIRES(mutex_);
  void End(const Status& status) ASSENT_REQUIRES(mutex_);

  Service& service_;
  Mutex mutex_;
  std::shared_ptr<Viewer> viewer_ ASSENT_GUARDED_BY(mutex_);  // nobody: it has ended
  std::string gid_ ASSENT_GUARDED_BY(mutex_);  // once it is among the watches of its transaction
  Detail detail_ ASSENT_GUARDED_BY(mutex_);
  bool showing_ ASSENT_GUARDED_BY(mutex_) = false;  // a state is on its way to the caller
  bool stale_ ASSENT_GUARDED_BY(mutex_) = false;    // it has changed since that one
  bool asking_ ASSENT_GUARDED_BY(mutex_) = false;   // what was asked for is newer than any change
  bool last_ ASSENT_GUARDED_BY(mutex_) = false;     // after this one there is no other
};

}  // namespace assent::service
