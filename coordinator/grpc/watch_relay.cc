#include <memory>
#include <string>
#include <utility>

#include <grpcpp/generic/generic_stub.h>

#include "coordinator/grpc/call.h"
#include "coordinator/grpc/peers.h"
#include "coordinator/grpc/streams.h"

namespace assent::door {
namespace {

// One state at a time is between the two sides, so neither needs a lock: what is read there is
// written here, and then the next is read, until there is none. So long the stream there is held:
// it may have come to its end while a state is still being written here.
class Relay final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  Relay(service::Service& service, std::string gid, grpc::CallbackServerContext* context)
      : service_(service),
        gid_(std::move(gid)),
        context_(context),
        canceller_(std::make_shared<Canceller>(context)),
        there_(*this) {}

  void Begin(const std::shared_ptr<Relay>& self, const std::shared_ptr<grpc::Channel>& channel,
             const service::Caller& caller, const StayPtr& stay, const grpc::ByteBuffer& request) {
    self_ = self;
    auto place = service_.holdings().Enter(service::Held::kStream, caller);
    if (!place.ok()) return Finish(Told(place.status(), *context_));
    place_ = std::move(place).value();
    if (channel == nullptr) {
      return End(grpc::Status(grpc::UNAVAILABLE,
                              "the transaction is in a slot of which nobody can be reached: ask "
                              "again"));
    }
    if (stay != nullptr) {
      stay->Keep([weak = std::weak_ptr<Relay>(self)](const Status& still) {
        const auto relay = weak.lock();
        if (relay != nullptr && !still.ok()) relay->canceller_->Cancel();
        return relay != nullptr && still.ok();
      });
    }
    there_self_ = self;
    there_.Begin(channel, caller.on_behalf_of(), request);
  }

  void OnWriteDone(bool ok) override {
    place_->AnswerTaken();
    if (!ok) there_.Cancel();
    there_.Next();
  }
  void OnCancel() override { there_.Cancel(); }
  void OnDone() override {
    canceller_->Forget();
    place_.reset();
    const std::shared_ptr<Relay> last = std::move(self_);
  }

 private:
  // The other coordinator's stream.
  class There final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit There(Relay& here) : here_(here) {}
    void Begin(const std::shared_ptr<grpc::Channel>& channel, const std::string& on_behalf_of,
               const grpc::ByteBuffer& request) {
      context_.AddMetadata(kForwarded, "1");
      if (!on_behalf_of.empty()) context_.AddMetadata(kOnBehalfOf, on_behalf_of);
      request_ = request;
      grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
      stub.PrepareBidiStreamingCall(&context_, "/assent.v1.TransactionService/Watch", {}, this);
      StartWriteLast(&request_, {});
      AddHold();
      Next();
      StartCall();
    }
    void Next() { StartRead(&state_); }
    void Cancel() { context_.TryCancel(); }
    void OnReadDone(bool ok) override { ok ? here_.Show(state_) : RemoveHold(); }
    void OnDone(const grpc::Status& status) override {
      const std::shared_ptr<Relay> last = std::move(here_.there_self_);
      here_.End(status);
    }

   private:
    Relay& here_;
    grpc::ClientContext context_;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer state_;
  };

  void Show(grpc::ByteBuffer& state) {
    if (!why_.ok()) return there_.Next();  // nothing is shown any more
    const Status room = place_->HoldAnswer(state.Length(), [end = canceller_] { end->Cancel(); });
    if (!room.ok()) {
      why_ = transport::ToGrpc(room);
      there_.Cancel();
      return there_.Next();
    }
    out_.Swap(&state);
    StartWrite(&out_);
  }
  // Once: there is nothing to be read any more, and nothing is being written.
  void End(const grpc::Status& status) {
    const grpc::Status told = why_.ok() ? status : why_;
    if (told.error_code() == grpc::UNAVAILABLE)
      AddTrailers(service_.router().Find(gid_), *context_);
    Finish(told);
  }

  service::Service& service_;
  const std::string gid_;
  grpc::CallbackServerContext* const context_;
  const std::shared_ptr<Canceller> canceller_;
  std::shared_ptr<Relay> self_;                      // until OnDone
  std::shared_ptr<Relay> there_self_;                // until the other one's OnDone
  std::unique_ptr<service::Holdings::Place> place_;  // until OnDone
  grpc::ByteBuffer out_;
  grpc::Status why_;
  There there_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* RelayWatch(service::Service& service, const Ways& ways,
                                                       const std::string& gid,
                                                       const service::Caller& caller,
                                                       const StayPtr& stay,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request) {
  const service::Route route = service.router().Find(gid);
  const auto relay = std::make_shared<Relay>(service, gid, context);
  relay->Begin(relay, ways.peers == nullptr ? nullptr : ways.peers->ChannelTo(route.epoch), caller,
               stay, request);
  return relay.get();
}

}  // namespace assent::door
