#pragma once

// ClusterService: what initiators, participants and operators see of several coordinators, and what
// operators ask of them.

#include <memory>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/cluster.pb.h"
#include "coordinator/service/service.h"

namespace assent::service {

// The door's side of a ClusterWatch; as Viewer (watch.h) is of a Watch.
class ClusterViewer {
 public:
  virtual ~ClusterViewer() = default;
  virtual Status Show(const v1::ClusterView& shown) = 0;
  virtual void End(const Status& status) = 0;
};

// The view as it is, and the latest one whenever its version has changed and the one before has
// been taken.
class ClusterWatch final : public RouterWatcher, public std::enable_shared_from_this<ClusterWatch> {
 public:
  ClusterWatch(Service& service, std::shared_ptr<ClusterViewer> viewer)
      : service_(service), viewer_(std::move(viewer)) {}

  // Who may not look at the coordinator sees of the others what leads to them, and no people.
  void Start(const Caller& caller, const v1::WatchClusterRequest&) ASSENT_EXCLUDES(mutex_);
  void Taken() ASSENT_EXCLUDES(mutex_);
  // Ends it, unless it has ended.
  void Leave(const Status& why) ASSENT_EXCLUDES(mutex_);
  void ViewChanged() override ASSENT_EXCLUDES(mutex_);
  void Closed() override { Leave(Unavailable("this coordinator is stopping")); }

 private:
  void Show() ASSENT_REQUIRES(mutex_);
  void End(const Status& status) ASSENT_REQUIRES(mutex_);

  Service& service_;
  Mutex mutex_;
  std::shared_ptr<ClusterViewer> viewer_ ASSENT_GUARDED_BY(mutex_);  // nobody: it has ended
  bool looks_ ASSENT_GUARDED_BY(mutex_) = true;
  bool showing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool stale_ ASSENT_GUARDED_BY(mutex_) = false;  // it has changed since
};

}  // namespace assent::service
