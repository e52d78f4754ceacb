#include <memory>
#include <utility>

#include "coordinator/grpc/call.h"
#include "coordinator/grpc/streams.h"
#include "coordinator/service/watch.h"

namespace assent::door {
namespace {

// What it shows is handed to it one state at a time: it needs no lock.
class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public service::Viewer {
 public:
  explicit WatchStream(grpc::CallbackServerContext* context)
      : canceller_(std::make_shared<Canceller>(context)) {}

  void Begin(service::Service& service, const service::Caller& caller,
             const grpc::ByteBuffer& bytes, const std::shared_ptr<WatchStream>& self) {
    self_ = self;
    watch_ = std::make_shared<service::Watch>(service, self);
    auto place = service.holdings().Enter(service::Held::kStream, caller);
    v1::WatchRequest request;
    const Status status = place.ok() ? ParseRequest(bytes, request) : place.status();
    if (!status.ok()) return watch_->Leave(status);
    place_ = std::move(place).value();
    watch_->Start(caller, request);
  }

  Status Show(const v1::Transaction& shown) override {
    const Status room =
        place_->HoldAnswer(shown.ByteSizeLong(), [end = canceller_] { end->Cancel(); });
    if (!room.ok()) return room;
    out_ = Serialised(shown);
    StartWrite(&out_);
    return room;
  }
  void End(const Status& status) override { Finish(transport::ToGrpc(status)); }

  void OnWriteDone(bool ok) override {
    out_.Clear();
    place_->AnswerTaken();
    ok ? watch_->Taken() : OnCancel();
  }
  void OnCancel() override { watch_->Leave({Code::kCancelled, "the caller has left"}); }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    const std::shared_ptr<WatchStream> last = std::move(self_);
  }

 private:
  const std::shared_ptr<Canceller> canceller_;
  std::shared_ptr<WatchStream> self_;                // until OnDone
  std::unique_ptr<service::Holdings::Place> place_;  // until OnDone
  std::shared_ptr<service::Watch> watch_;
  grpc::ByteBuffer out_;  // gRPC's from a Show until its OnWriteDone
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartWatch(service::Service& service,
                                                       const service::Caller& caller,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request) {
  const auto stream = std::make_shared<WatchStream>(context);
  stream->Begin(service, caller, request, stream);
  return stream.get();
}

}  // namespace assent::door
