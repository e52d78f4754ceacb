#include <memory>
#include <string>
#include <utility>

#include "coordinator/grpc/call.h"
#include "coordinator/grpc/streams.h"
#include "coordinator/service/cluster.h"
#include "coordinator/service/event_stream.h"
#include "coordinator/service/watch.h"

namespace assent::door {
namespace {

// `Watch` is what it shows states of, `Viewer` the service's name for who does, `Shown` a state.
// They are handed to it one at a time: it needs no lock.
template <typename Watch, typename Viewer, typename Request, typename Shown>
class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public Viewer {
 public:
  // `gid`: of a transaction that may be elsewhere, or come to be; "" if there is nobody else.
  static WatchStream* Start(service::Service& service, const service::Caller& caller,
                            const StayPtr& stay, grpc::CallbackServerContext* context,
                            const grpc::ByteBuffer& bytes, std::string gid) {
    std::shared_ptr<WatchStream> stream(new WatchStream(service, context, std::move(gid)));
    stream->self_ = stream;
    stream->watch_ = std::make_shared<Watch>(service, stream);
    auto place = service.holdings().Enter(service::Held::kStream, caller);
    Request request;
    const Status status = place.ok() ? ParseRequest(bytes, request) : place.status();
    if (status.ok()) {
      stream->place_ = std::move(place).value();
      stream->watch_->Start(caller, request);
      if (stay != nullptr) {
        stay->Keep(UntilGone(std::weak_ptr<WatchStream>(stream)));
      }
    } else {
      stream->watch_->Leave(status);
    }
    return stream.get();
  }

  Status Show(const Shown& shown) override {
    const Status room =
        place_->HoldAnswer(shown.ByteSizeLong(), [end = canceller_] { end->Cancel(); });
    if (!room.ok()) return room;
    out_ = Serialised(shown);
    this->StartWrite(&out_);
    return room;
  }
  void End(const Status& status) override {
    const bool moved = status.code() == Code::kElsewhere || status.code() == Code::kUnknownOutcome;
    if (gid_.empty() || !moved) return this->Finish(Told(status, *context_));
    AddTrailers(service_.router().Find(gid_), *context_);
    this->Finish(transport::ToGrpc(Unavailable(status.message())));
  }

  // UntilGone.
  void Leave(const Status& why) { watch_->Leave(why); }
  void Cancel() { canceller_->Cancel(); }

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
  WatchStream(service::Service& service, grpc::CallbackServerContext* context, std::string gid)
      : service_(service),
        context_(context),
        gid_(std::move(gid)),
        canceller_(std::make_shared<Canceller>(context)) {}

  service::Service& service_;
  grpc::CallbackServerContext* const context_;
  const std::string gid_;
  const std::shared_ptr<Canceller> canceller_;
  std::shared_ptr<WatchStream> self_;                // until OnDone
  std::unique_ptr<service::Holdings::Place> place_;  // until OnDone
  std::shared_ptr<Watch> watch_;
  grpc::ByteBuffer out_;  // gRPC's from a Show until its OnWriteDone
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartWatch(service::Service& service, const Ways& ways,
                                                       const service::Caller& caller,
                                                       const StayPtr& stay,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request) {
  std::string gid;
  if (!service.router().alone()) {
    v1::WatchRequest watched;
    if (ParseRequest(request, watched).ok()) gid = watched.gid();
    const bool is_here = service.router().Find(gid).where == service::Route::Where::kHere;
    if (!gid.empty() && !caller.forwarded && !is_here)
      return RelayWatch(service, ways, gid, caller, stay, context, request);
  }
  return WatchStream<service::Watch, service::Viewer, v1::WatchRequest, v1::Transaction>::Start(
      service, caller, stay, context, request, std::move(gid));
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartClusterWatch(service::Service& service,
                                                              const service::Caller& caller,
                                                              const StayPtr& stay,
                                                              grpc::CallbackServerContext* context,
                                                              const grpc::ByteBuffer& request) {
  return WatchStream<service::ClusterWatch, service::ClusterViewer, v1::WatchClusterRequest,
                     v1::ClusterView>::Start(service, caller, stay, context, request, {});
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartEvents(service::Service& service,
                                                        const service::Caller& caller,
                                                        const StayPtr& stay,
                                                        grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer& request) {
  return WatchStream<service::EventStream, service::EventViewer, v1::EventsRequest,
                     v1::EventsReply>::Start(service, caller, stay, context, request, {});
}

}  // namespace assent::door
