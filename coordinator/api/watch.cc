#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "coordinator/api/call.h"
#include "coordinator/api/convert.h"
#include "coordinator/api/streams.h"
#include "coordinator/core/spec.h"
#include "coordinator/transport/grpc_status.h"

namespace assent::api {
namespace {

// The latest state of a transaction, as often as it changes and the caller keeps up: a state is
// made only when the one before has been taken, so that a watch holds one at most.
class Watch final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  Watch(engine::Engine& engine, Holdings& holdings, grpc::CallbackServerContext* context)
      : engine_(engine), holdings_(holdings), canceller_(std::make_shared<Canceller>(context)) {}

  void Begin(const grpc::ByteBuffer& bytes, const std::string& peer, std::shared_ptr<Watch> self) {
    self_ = std::move(self);
    const std::lock_guard lock(mutex_);
    const Status begun = Enter(bytes, peer);
    if (!begun.ok()) End(begun);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    out_.Clear();
    place_->AnswerTaken();
    if (finished_) return;
    if (!ok) return End({Code::kCancelled, "the caller has left"});
    if (last_) return End(OkStatus());
    if (std::exchange(stale_, false)) Ask();
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    End({Code::kCancelled, "the caller has left"});
  }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    if (counted_) holdings_.LeaveWatch(gid_);
    const std::shared_ptr<Watch> last = std::move(self_);
  }

 private:
  // The rest is called with mutex_ held.

  Status Enter(const grpc::ByteBuffer& bytes, const std::string& peer) {
    auto place = holdings_.Enter(Held::kStream, peer);
    if (!place.ok()) return place.status();
    place_ = std::move(place).value();
    v1::WatchRequest request;
    Status status = ParseRequest(bytes, request);
    if (status.ok()) status = core::CheckGid(request.gid());
    if (status.ok()) status = holdings_.EnterWatch(request.gid());
    if (!status.ok()) return status;
    counted_ = true;
    gid_ = request.gid();
    detail_ = Detail{true, request.payloads(), request.results()};
    return engine_.Post(
        gid_, engine::WatchRequest{
                  gid_, [self = self_](const Status& changed, const core::Transaction* txn,
                                       const core::Now& now) {
                    const std::lock_guard lock(self->mutex_);
                    self->Changed(changed, txn, now);
                    return !self->finished_ && !self->last_;
                  }});
  }

  void Changed(const Status& status, const core::Transaction* txn, const core::Now& now) {
    if (finished_ || last_ || asking_) return;  // what was asked for is newer
    if (status.ok() && writing_) {
      stale_ = true;
    } else {
      Show(status, txn, now);
    }
  }

  void Show(const Status& status, const core::Transaction* txn, const core::Now& now) {
    if (!status.ok()) return End(status);
    v1::Transaction shown;
    ToProto(*txn, now, detail_, true, shown);
    const Status room =
        place_->HoldAnswer(shown.ByteSizeLong(), [end = canceller_] { end->Cancel(); });
    if (!room.ok()) return End(room);
    last_ = txn->finished();
    out_ = Serialised(shown);
    writing_ = true;
    StartWrite(&out_);
  }

  // For the state as it is now: it has changed since the last one was made.
  void Ask() {
    asking_ = true;
    const Status posted = engine_.Post(
        gid_,
        engine::GetRequest{gid_, [self = self_](const Status& status, const core::Transaction* txn,
                                                const core::Now& now) {
                             const std::lock_guard lock(self->mutex_);
                             self->asking_ = false;
                             if (!self->finished_) self->Show(status, txn, now);
                           }});
    if (!posted.ok()) End(posted);
  }

  void End(const Status& status) {
    if (std::exchange(finished_, true)) return;
    Finish(transport::ToGrpc(status));
  }

  engine::Engine& engine_;
  Holdings& holdings_;
  const std::shared_ptr<Canceller> canceller_;
  std::shared_ptr<Watch> self_;             // until OnDone
  std::unique_ptr<Holdings::Place> place_;  // until OnDone
  std::mutex mutex_;
  std::string gid_;        // set at the beginning
  Detail detail_;          // likewise
  bool counted_ = false;   // likewise: among the watches of its transaction
  grpc::ByteBuffer out_;   // guarded by mutex_, and gRPC's while writing_
  bool stale_ = false;     // guarded by mutex_: it has changed since out_
  bool asking_ = false;    // guarded by mutex_
  bool last_ = false;      // guarded by mutex_: after this one there is no other
  bool writing_ = false;   // guarded by mutex_
  bool finished_ = false;  // guarded by mutex_: ended
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartWatch(engine::Engine& engine, Holdings& holdings,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request) {
  auto watch = std::make_shared<Watch>(engine, holdings, context);
  watch->Begin(request, context->peer(), watch);
  return watch.get();
}

}  // namespace assent::api
