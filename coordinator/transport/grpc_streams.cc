#include "coordinator/transport/grpc_streams.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "assent/v1/participant.grpc.pb.h"
#include "coordinator/transport/canceller.h"
#include "coordinator/transport/grpc_status.h"
#include "coordinator/transport/refused.h"

namespace assent::transport {
namespace {

// Lives until OnDone.
class GrpcStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public FrameStream {
 public:
  GrpcStream(StreamDoor& door, StreamPeer peer, grpc::CallbackServerContext* context)
      : canceller_(std::make_shared<Canceller>(context)),
        sink_(door.OnStream(*this, Leaving(std::move(peer), canceller_))) {}

  void Read() override { StartRead(&in_); }
  void Write(const v1::CoordinatorFrame& frame) override {
    bool own = false;
    out_.Clear();
    (void)grpc::SerializationTraits<v1::CoordinatorFrame>::Serialize(frame, &out_, &own);
    StartWrite(&out_);
  }
  void Finish(const Status& status) override { ServerBidiReactor::Finish(ToGrpc(status)); }

  void OnReadDone(bool ok) override {
    if (!ok) return sink_->OnClosed();
    grpc::ProtoBufferReader reader(&in_);
    frame_.Clear();
    if (frame_.ParseFromZeroCopyStream(&reader)) return sink_->OnFrame(frame_, in_.Length());
    sink_->OnMalformed(Bytes());
  }
  void OnWriteDone(bool ok) override {
    if (ok) sink_->OnWritten();  // if not, the read ends too
  }
  void OnCancel() override { sink_->OnClosed(); }
  void OnDone() override {
    canceller_->Forget();
    delete this;
  }

 private:
  // Who may not stay and does not go, because he reads nothing, is cancelled: he would keep his
  // place as long as his connection.
  static StreamPeer Leaving(StreamPeer peer, const std::shared_ptr<Canceller>& canceller) {
    if (!peer.stays) return peer;
    peer.stays = [stays = std::move(peer.stays), canceller](const std::string& service,
                                                            StreamPeer::Told told) {
      stays(service, [told = std::move(told), canceller, looks = 0](const Status& still) mutable {
        if (looks > 0) return ++looks <= kLooksUntilCancelledCount || canceller->Cancel();
        if (told(still)) return true;
        looks = still.ok() ? 0 : 1;
        return !still.ok();
      });
    };
    return peer;
  }
  std::string Bytes() const {
    std::vector<grpc::Slice> slices;
    std::string bytes;
    if (!in_.Dump(&slices).ok()) return bytes;
    for (const grpc::Slice& slice : slices)
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    return bytes;
  }

  const std::shared_ptr<Canceller> canceller_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  v1::ParticipantFrame frame_;
  const std::shared_ptr<FrameSink> sink_;
};

class SessionService final : public v1::ParticipantSession::WithRawCallbackMethod_Connect<
                                 v1::ParticipantSession::Service> {
 public:
  SessionService(StreamDoor& door, AdmitStream admit) : door_(door), admit_(std::move(admit)) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Connect(
      grpc::CallbackServerContext* context) override {
    if (!admit_) return new GrpcStream(door_, context->peer(), context);
    Result<StreamPeer> peer = admit_(*context);
    if (!peer.ok()) return new RefusedStream<grpc::ByteBuffer, grpc::ByteBuffer>(peer.status());
    return new GrpcStream(door_, *std::move(peer), context);
  }

 private:
  StreamDoor& door_;
  const AdmitStream admit_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSessionService(StreamDoor& door, AdmitStream admit) {
  return std::make_unique<SessionService>(door, std::move(admit));
}

}  // namespace assent::transport
