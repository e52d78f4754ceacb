#include "coordinator/grpc/way.h"

#include <utility>

#include <grpcpp/generic/generic_stub.h>

#include "coordinator/grpc/call.h"
#include "coordinator/grpc/journey.h"

namespace assent::door {
namespace {

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) return {};
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

// Back from ToGrpc.
Status StatusOf(const grpc::Status& status) {
  const int number = status.error_code();
  if (number == grpc::UNKNOWN) return UnknownOutcome(status.error_message());
  if (number > grpc::UNAUTHENTICATED) return Internal(status.error_message());
  return {static_cast<Code>(number), status.error_message()};
}

class Traveller final : public service::Travelling {
 public:
  explicit Traveller(std::shared_ptr<Journey> journey) : journey_(std::move(journey)) {}
  void Go() override { journey_->Go(); }
  bool Again(const Status& said) override { return journey_->Again(said); }
  void End() override { journey_->End(); }

 private:
  const std::shared_ptr<Journey> journey_;
};

// One state at a time is between the two sides: what is read there is shown, and when it has been
// taken the next one is read.
class Distant final : public service::DistantWatch,
                      public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Distant(std::shared_ptr<service::Viewer> viewer) : viewer_(std::move(viewer)) {}

  void Begin(const std::shared_ptr<Distant>& self, const std::shared_ptr<grpc::Channel>& channel,
             const std::string& on_behalf_of, const v1::WatchRequest& request) {
    self_ = self;
    context_.AddMetadata(kForwarded, "1");
    if (!on_behalf_of.empty()) context_.AddMetadata(kOnBehalfOf, on_behalf_of);
    request_ = Serialised(request);
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
    stub.PrepareBidiStreamingCall(&context_, "/assent.v1.TransactionService/Watch", {}, this);
    StartWriteLast(&request_, {});
    StartRead(&state_);
    AddHold();  // a state may be taken, and the next one read, after the stream has ended
    StartCall();
  }
  void Taken() override { Next(/*read=*/true); }
  void Leave() override {
    context_.TryCancel();
    Next(/*read=*/false);
  }
  void OnReadDone(bool ok) override {
    v1::Transaction shown;
    Status room = OkStatus();
    if (ok) room = ParseRequest(state_, shown);
    {
      const MutexLock lock(mutex_);
      showing_ = ok && room.ok();
    }
    state_.Clear();
    if (ok && room.ok()) room = viewer_->Show(shown);
    if (!room.ok()) {
      why_ = room;
      Leave();
    } else if (!ok) {
      Next(/*read=*/false);  // to cancel now could overtake what it ended with
    }
  }
  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<Distant> last = std::move(self_);
    const Status told = StatusOf(status);
    viewer_->End(why_.ok() ? told : why_);
    viewer_.reset();
  }

 private:
  void Next(bool read) {
    {
      const MutexLock lock(mutex_);
      if (over_ || (read && !showing_)) return;
      showing_ = false;
      over_ = !read;
    }
    read ? StartRead(&state_) : RemoveHold();
  }

  std::shared_ptr<service::Viewer> viewer_;
  grpc::ClientContext context_;
  std::shared_ptr<Distant> self_;  // until OnDone
  grpc::ByteBuffer request_;
  grpc::ByteBuffer state_;
  Status why_;
  Mutex mutex_;
  bool showing_ ASSENT_GUARDED_BY(mutex_) = false;  // a state is on its way to the viewer
  bool over_ ASSENT_GUARDED_BY(mutex_) = false;     // nothing is read any more
};

class GrpcWay final : public service::Way {
 public:
  GrpcWay(service::Service& service, GrpcPeers* peers) : ways_{service, peers} {}

  std::shared_ptr<service::Travelling> Send(service::Errand errand, bool is_here) override {
    Trip trip{.gid = std::move(errand.gid),
              .method = "/assent.v1." + errand.method,
              .on_behalf_of = std::move(errand.on_behalf_of),
              .deadline = errand.deadline,
              .repeatable = errand.repeatable,
              .new_work = errand.new_work};
    if (!is_here || errand.request.size() <= kMaxKeptRequestBytes)
      trip.request = BufferOf(errand.request);
    trip.here = [here = std::move(errand.here), request = trip.request] { here(BytesOf(request)); };
    trip.arrived = [arrived = errand.arrived](Handed&& handed) {
      arrived(StatusOf(handed.status), BytesOf(handed.reply));
    };
    trip.lost = [arrived = std::move(errand.arrived)](const Status& why, bool) {
      arrived(Unavailable(why.message()), {});
    };
    return std::make_shared<Traveller>(std::make_shared<Journey>(ways_, std::move(trip)));
  }

  std::shared_ptr<service::DistantWatch> Watch(const service::Caller& caller,
                                               const v1::WatchRequest& request,
                                               std::shared_ptr<service::Viewer> viewer) override {
    const service::Route route = ways_.service.router().Find(request.gid());
    const auto channel = ways_.peers == nullptr ? nullptr : ways_.peers->ChannelTo(route.epoch);
    if (channel == nullptr) {
      viewer->End(
          Unavailable("the transaction is in a slot of which nobody can be reached: ask again"));
      return nullptr;
    }
    const auto distant = std::make_shared<Distant>(std::move(viewer));
    distant->Begin(distant, channel, caller.on_behalf_of(), request);
    return distant;
  }

 private:
  const Ways ways_;
};

}  // namespace

std::unique_ptr<service::Way> MakeWay(service::Service& service, GrpcPeers* peers) {
  return std::make_unique<GrpcWay>(service, peers);
}

}  // namespace assent::door
