#include "coordinator/grpc/peers.h"

#include <utility>
#include <vector>

#include <assent/limits.h>

#include "coordinator/grpc/call.h"
#include "proto/tls/uncompressed.h"

namespace assent::door {
namespace {

constexpr char kPackage[] = "/assent.v1.";
constexpr char kWatchCluster[] = "/assent.v1.ClusterService/Watch";

std::shared_ptr<grpc::Channel> Dial(const cluster::Member& member, const PeersOptions& options) {
  grpc::ChannelArguments arguments;
  tls::TakeNothingCompressed(arguments);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxOversizedFrameBytes));
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // What is said again is said by whoever knows that it may be.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A member that has the address of one that has ended is another one.
  arguments.SetString("assent.epoch", std::to_string(member.epoch));
  return grpc::CreateCustomChannel(
      member.address,
      options.credentials ? options.credentials : grpc::InsecureChannelCredentials(), arguments);
}

GrpcPeers::Done Told(service::Peers::Heard heard) {
  return [heard = std::move(heard)](Handed&& handed) {
    if (!handed.status.ok()) return heard(Unavailable(handed.status.error_message()), {});
    grpc::Slice reply;
    if (!handed.reply.DumpToSingleSlice(&reply).ok())
      return heard(Internal("its answer cannot be read"), {});
    heard(OkStatus(), std::string(reinterpret_cast<const char*>(reply.begin()), reply.size()));
  };
}

}  // namespace

bool SaysMoved(const grpc::Status& status, const grpc::ClientContext& context) {
  return status.error_code() == grpc::UNAVAILABLE &&
         context.GetServerTrailingMetadata().count(kVersionTrailer) > 0;
}

struct GrpcPeers::Link {
  Link(const cluster::Member& member, const PeersOptions& options)
      : epoch(member.epoch), channel(Dial(member, options)), stub(channel) {}
  const std::uint64_t epoch;
  const std::shared_ptr<grpc::Channel> channel;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub;
  // With the lock of the peers:
  bool gone = false;
  std::shared_ptr<Standing> standing{};
};

class GrpcPeers::Errand {
 public:
  std::shared_ptr<Link> link;
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer reply;
  Done done;
};

// A stream that stands as long as the other one lives: its end is how a death is noticed at once.
class GrpcPeers::Standing final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Standing(GrpcPeers& peers, std::shared_ptr<Link> link) : peers_(peers), link_(std::move(link)) {
    context_.AddMetadata(kForwarded, "1");
    context_.set_wait_for_ready(false);
  }
  void Begin(const std::shared_ptr<Standing>& self) {
    self_ = self;
    link_->stub.PrepareBidiStreamingCall(&context_, kWatchCluster, {}, this);
    out_ = Serialised(v1::WatchClusterRequest());
    StartWriteLast(&out_, {});
    StartRead(&in_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    const bool first = !std::exchange(stood_, true);
    if (first && peers_.options_.on_standing) peers_.options_.on_standing(link_->epoch);
    in_.Clear();
    StartRead(&in_);
  }
  void OnDone(const grpc::Status&) override {
    const std::shared_ptr<Standing> last = std::move(self_);
    peers_.Fell(link_, stood_);
  }

 private:
  GrpcPeers& peers_;
  const std::shared_ptr<Link> link_;
  grpc::ClientContext context_;
  std::shared_ptr<Standing> self_;  // until OnDone
  grpc::ByteBuffer out_;
  grpc::ByteBuffer in_;
  bool stood_ = false;
};

GrpcPeers::GrpcPeers(PeersOptions options) : options_(std::move(options)) {}

void GrpcPeers::Close() {
  Ending ending;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    for (const auto& [epoch, link] : links_) Leave(*link, ending);
    ending.errands.assign(errands_.begin(), errands_.end());
  }
  Cancel(ending);
  const MutexLock lock(mutex_);
  while (!errands_.empty() || waiting_ > 0) idle_.Wait(mutex_);
}

void GrpcPeers::Leave(Link& link, Ending& ending) {
  link.gone = true;
  if (link.standing) ending.standing.push_back(link.standing);
  for (const auto& errand : errands_) {
    if (errand->link.get() == &link) ending.errands.push_back(errand);
  }
}

// gRPC may call back from within, so without the lock.
void GrpcPeers::Cancel(const Ending& ending) {
  for (const auto& standing : ending.standing) standing->Cancel();
  for (const auto& errand : ending.errands) errand->context.TryCancel();
}

void GrpcPeers::SetView(const cluster::ViewPtr& view, std::uint64_t self) {
  std::vector<std::shared_ptr<Link>> fresh;
  Ending ending;
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    for (auto at = links_.begin(); at != links_.end();) {
      if (view->Find(at->first) != nullptr) {
        ++at;
        continue;
      }
      Leave(*at->second, ending);
      at = links_.erase(at);
    }
    for (const cluster::Member& member : view->members) {
      if (member.epoch == self || links_.contains(member.epoch)) continue;
      const auto link = std::make_shared<Link>(member, options_);
      links_.emplace(member.epoch, link);
      fresh.push_back(link);
    }
  }
  Cancel(ending);
  for (const auto& link : fresh) Stand(link);
}

// ---- The standing stream ------------------------------------------------------------------------

void GrpcPeers::Stand(const std::shared_ptr<Link>& link) {
  const auto standing = std::make_shared<Standing>(*this, link);
  {
    const MutexLock lock(mutex_);
    if (link->gone || closed_) return;
    link->standing = standing;
    ++waiting_;
  }
  standing->Begin(standing);
}

void GrpcPeers::Fell(const std::shared_ptr<Link>& link, bool stood) {
  bool gone = false;
  {
    const MutexLock lock(mutex_);
    link->standing.reset();
    gone = link->gone || closed_;
  }
  if (!gone && stood && options_.on_broken) options_.on_broken(link->epoch);
  if (!gone) (void)Pause(options_.redial_pause, [this, link] { Stand(link); });
  NoMoreWaits();
}

bool GrpcPeers::Pause(std::chrono::milliseconds pause, std::function<void()> then) {
  // gRPC keeps what an alarm calls for as long as there is the alarm: it must not own that.
  grpc::Alarm* alarm = nullptr;
  std::uint64_t number = 0;
  {
    const MutexLock lock(mutex_);
    if (closed_) return false;
    ++waiting_;
    number = next_alarm_++;
    alarm = alarms_.emplace(number, std::make_unique<grpc::Alarm>()).first->second.get();
  }
  alarm->Set(std::chrono::system_clock::now() + pause,
             [this, number, then = std::move(then)](bool) {
               std::unique_ptr<grpc::Alarm> rung;
               {
                 const MutexLock lock(mutex_);
                 rung = std::move(alarms_.at(number));
                 alarms_.erase(number);
               }
               then();
               NoMoreWaits();
             });
  return true;
}

void GrpcPeers::NoMoreWaits() {
  const MutexLock lock(mutex_);
  if (--waiting_ == 0) idle_.NotifyAll();
}

// ---- Calls --------------------------------------------------------------------------------------

std::shared_ptr<GrpcPeers::Link> GrpcPeers::LinkTo(std::uint64_t epoch) {
  const MutexLock lock(mutex_);
  const auto found = links_.find(epoch);
  return found == links_.end() || closed_ ? nullptr : found->second;
}

std::shared_ptr<grpc::Channel> GrpcPeers::ChannelTo(std::uint64_t epoch) {
  const auto link = LinkTo(epoch);
  return link == nullptr ? nullptr : link->channel;
}

std::shared_ptr<GrpcPeers::Errand> GrpcPeers::Call(std::uint64_t epoch, const What& what,
                                                   const grpc::ByteBuffer& request,
                                                   Deadline deadline, Done done) {
  if (auto link = LinkTo(epoch)) {
    return Send(std::move(link), what, request, deadline, std::move(done));
  }
  done({grpc::Status(grpc::UNAVAILABLE, "there is no such member"), {}, false});
  return std::make_shared<Errand>();
}

std::shared_ptr<GrpcPeers::Errand> GrpcPeers::Send(std::shared_ptr<Link> link, const What& what,
                                                   const grpc::ByteBuffer& request,
                                                   Deadline deadline, Done done) {
  auto errand = std::make_shared<Errand>();
  errand->done = std::move(done);
  errand->link = link;
  errand->request = request;
  errand->context.AddMetadata(kForwarded, "1");
  if (!what.on_behalf_of.empty()) errand->context.AddMetadata(kOnBehalfOf, what.on_behalf_of);
  if (deadline != Deadline::max()) errand->context.set_deadline(deadline);
  bool gone = false;
  {
    const MutexLock lock(mutex_);
    errands_.insert(errand);
    gone = closed_ || link->gone;
  }
  if (gone) errand->context.TryCancel();
  link->stub.UnaryCall(&errand->context, what.method, {}, &errand->request, &errand->reply,
                       [this, errand](const grpc::Status& status) { Ended(errand, status); });
  return errand;
}

void GrpcPeers::Cancel(Errand& errand) { errand.context.TryCancel(); }

void GrpcPeers::Ended(const std::shared_ptr<Errand>& errand, const grpc::Status& status) {
  Handed handed{status, std::move(errand->reply), SaysMoved(status, errand->context)};
  const Done done = std::move(errand->done);
  {
    const MutexLock lock(mutex_);
    // It has ended: whatever it has not answered, nobody there will.
    if (errand->link->gone && status.error_code() == grpc::CANCELLED)
      handed.status = grpc::Status(grpc::UNAVAILABLE, "the member has ended");
  }
  done(std::move(handed));
  const MutexLock lock(mutex_);
  errands_.erase(errand);
  if (errands_.empty()) idle_.NotifyAll();
}

void GrpcPeers::Ask(const cluster::Member& member, const char* method, const std::string& request,
                    std::chrono::milliseconds patience, Heard heard) {
  const grpc::Slice slice(request);
  (void)Call(member.epoch, {std::string(kPackage) + method}, grpc::ByteBuffer(&slice, 1),
             std::chrono::system_clock::now() + patience, Told(std::move(heard)));
}

void GrpcPeers::AskWhoIsAt(const std::string& address, std::chrono::milliseconds patience,
                           std::function<void(const Result<std::uint64_t>& epoch)> heard) {
  (void)Send(std::make_shared<Link>(cluster::Member{.address = address}, options_),
             {std::string(kPackage) + "TransactionService/GetServerInfo"},
             Serialised(v1::GetServerInfoRequest()), std::chrono::system_clock::now() + patience,
             Told([heard = std::move(heard)](const Status& status, const std::string& reply) {
               v1::ServerInfo info;
               if (!status.ok()) return heard(status);
               if (!info.ParseFromString(reply)) return heard(Internal("it cannot be understood"));
               heard(info.epoch());
             }));
}

}  // namespace assent::door
