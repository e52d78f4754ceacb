#include "coordinator/service/watch.h"

#include <utility>

#include "coordinator/core/spec.h"
#include "coordinator/service/may.h"

namespace assent::service {

void Watch::Start(const Caller& caller, const v1::WatchRequest& request) {
  const MutexLock lock(mutex_);
  const Status entered = Enter(caller, request);
  if (!entered.ok()) End(entered);
}

void Watch::Taken() {
  const MutexLock lock(mutex_);
  showing_ = false;
  if (last_) return End(OkStatus());
  if (std::exchange(stale_, false)) Ask();
}

void Watch::Leave(const Status& why) {
  const MutexLock lock(mutex_);
  End(why);
}

Status Watch::Enter(const Caller& caller, const v1::WatchRequest& request) {
  Status status = core::CheckGid(request.gid());
  if (status.ok() && (request.payloads() || request.results())) {
    status = MaySeePayloads(caller);
    if (!status.ok()) service_.NoteRefused(caller, "payloads of " + request.gid(), status);
  }
  if (status.ok()) status = service_.holdings().EnterWatch(request.gid());
  if (!status.ok()) return status;
  gid_ = request.gid();
  detail_ = {.attempts = true, .payloads = request.payloads(), .results = request.results()};
  return service_.engine().Post(
      gid_, engine::WatchRequest{
                gid_,
                [self = shared_from_this()](const Status& changed, const core::Transaction* txn,
                                            const core::Now& now) {
                  const MutexLock lock(self->mutex_);
                  if (self->viewer_ == nullptr || self->last_) return false;
                  if (self->asking_) return true;
                  if (changed.ok() && self->showing_) {
                    self->stale_ = true;
                  } else {
                    self->Show(changed, txn, now);
                  }
                  return self->viewer_ != nullptr && !self->last_;
                },
                SeenBy(caller)});
}

void Watch::Show(const Status& status, const core::Transaction* txn, const core::Now& now) {
  if (!status.ok()) return End(status);
  v1::Transaction shown;
  ToProto(*txn, now, detail_, true, shown);
  service_.FillHolder(shown);
  last_ = txn->finished();
  showing_ = true;
  const Status room = viewer_->Show(shown);
  if (!room.ok()) End(room);
}

// For the state as it is now: it has changed since the last one was made.
void Watch::Ask() {
  if (viewer_ == nullptr) return;
  asking_ = true;
  const Status posted = service_.engine().Post(
      gid_, engine::GetRequest{gid_, [self = shared_from_this()](const Status& status,
                                                                 const core::Transaction* txn,
                                                                 const core::Now& now) {
                                 const MutexLock lock(self->mutex_);
                                 self->asking_ = false;
                                 if (self->viewer_ != nullptr) self->Show(status, txn, now);
                               }});
  if (!posted.ok()) End(posted);
}

void Watch::End(const Status& status) {
  const std::shared_ptr<Viewer> viewer = std::move(viewer_);
  if (viewer == nullptr) return;
  if (!gid_.empty()) service_.holdings().LeaveWatch(gid_);
  viewer->End(status);
}

}  // namespace assent::service
