#pragma once

// The other coordinators of a cluster, by wire: one channel to each, and what is under way to them.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <assent/thread_safety.h>

#include "coordinator/service/members.h"

namespace assent::door {

// Trailers of an UNAVAILABLE that says "not here": who has the transaction, and as of which version
// of the view. The first one is left out when nobody has it.
inline constexpr char kOwnerTrailer[] = "assent-owner";
inline constexpr char kVersionTrailer[] = "assent-cluster-version";

// What became of a call that was handed on.
struct Handed {
  grpc::Status status;
  grpc::ByteBuffer reply;
  // The other one has not got the transaction, or not any more; for a call that may be repeated,
  // that is all it says.
  bool moved = false;
};

struct PeersOptions {
  // The connection to a member was lost after it had stood: it may have died. From any thread; must
  // be quick.
  std::function<void(std::uint64_t epoch)> on_broken{};
  // It stands, for the first time or again. Likewise.
  std::function<void(std::uint64_t epoch)> on_standing{};
  // With which they are dialled; none: without TLS.
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};
  // Before a lost member is dialled again.
  std::chrono::milliseconds redial_pause{250};
};

class GrpcPeers final : public service::Peers {
 public:
  using Deadline = std::chrono::system_clock::time_point;
  using Done = std::function<void(Handed&&)>;

  // A call under way. Ends with CANCELLED when it is cancelled.
  class Errand;

  explicit GrpcPeers(PeersOptions options);
  ~GrpcPeers() override { Close(); }
  // Ends what is under way, and waits for it; from then on nobody can be reached. What is under way
  // uses the service: before that goes, and when no call comes any more. Idempotent.
  void Close() ASSENT_EXCLUDES(mutex_);

  void Ask(const cluster::Member& member, const char* method, const std::string& request,
           std::chrono::milliseconds patience, Heard heard) override;
  // The epoch of the coordinator that answers at this address, a member or not.
  void AskWhoIsAt(const std::string& address, std::chrono::milliseconds patience,
                  std::function<void(const Result<std::uint64_t>& epoch)> heard);
  // Members that have ended are forgotten, with what is under way to them: nobody else answers it.
  void SetView(const cluster::ViewPtr& view, std::uint64_t self) override;

  // What is called: as it is on the wire, "/assent.v1.TransactionService/Get"; and for whom, if for
  // anybody.
  struct What {
    std::string method;
    std::string on_behalf_of{};
  };
  // `done` is called once, from another thread or from here (then there is no such member).
  std::shared_ptr<Errand> Call(std::uint64_t epoch, const What& what,
                               const grpc::ByteBuffer& request, Deadline deadline, Done done);
  static void Cancel(Errand& errand);
  // Calls back after a while. False: it will not, since all this has been closed.
  bool Pause(std::chrono::milliseconds pause, std::function<void()> then) ASSENT_EXCLUDES(mutex_);
  // nullptr: there is no such member.
  std::shared_ptr<grpc::Channel> ChannelTo(std::uint64_t epoch);

 private:
  struct Link;
  class Standing;

  // What is to be cancelled.
  struct Ending {
    std::vector<std::shared_ptr<Standing>> standing;
    std::vector<std::shared_ptr<Errand>> errands;
  };

  void NoMoreWaits() ASSENT_EXCLUDES(mutex_);
  void Leave(Link& link, Ending& ending) ASSENT_REQUIRES(mutex_);
  static void Cancel(const Ending& ending);
  std::shared_ptr<Errand> Send(std::shared_ptr<Link> link, const What& what,
                               const grpc::ByteBuffer& request, Deadline deadline, Done done)
      ASSENT_EXCLUDES(mutex_);
  std::shared_ptr<Link> LinkTo(std::uint64_t epoch) ASSENT_EXCLUDES(mutex_);
  void Ended(const std::shared_ptr<Errand>& errand, const grpc::Status& status)
      ASSENT_EXCLUDES(mutex_);
  void Stand(const std::shared_ptr<Link>& link) ASSENT_EXCLUDES(mutex_);
  void Fell(const std::shared_ptr<Link>& link, bool stood) ASSENT_EXCLUDES(mutex_);

  const PeersOptions options_;
  Mutex mutex_;
  CondVar idle_;
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
  std::map<std::uint64_t, std::shared_ptr<Link>> links_ ASSENT_GUARDED_BY(mutex_);  // by epoch
  std::set<std::shared_ptr<Errand>> errands_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::unique_ptr<grpc::Alarm>> alarms_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t next_alarm_ ASSENT_GUARDED_BY(mutex_) = 0;
  // Standing streams, or pauses before the next one; and other pauses.
  std::size_t waiting_ ASSENT_GUARDED_BY(mutex_) = 0;
};

// Whether the trailers of a call say that the transaction is elsewhere.
bool SaysMoved(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace assent::door
