#pragma once

// The coordinator's end of sessions, made of raw bytes, so that it can also say what no coordinator
// says. It decides nothing: rules send commands, look at what came, cut streams, close the port.

#include <chrono>
#include <cstdint>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

#include "assent/v1/participant.pb.h"
#include "tests/contract/cluster_map.h"
#include "tests/contract/peer.h"

namespace assent::contract {

class SessionServer;

// One stream of a participant. Thread-safe; may be used after its end, when it does nothing.
class Session final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Session(SessionServer* server, grpc::CallbackServerContext* context);
  // Keeps it alive until gRPC is done with it, and begins to read.
  void Begin(std::shared_ptr<Session> self);

  // Numbers the commands and sends them in one frame.
  std::vector<std::future<Answer>> Send(std::vector<v1::BranchCommand> commands);
  void Write(const v1::CoordinatorFrame& frame);
  void WriteBytes(const std::string& bytes);
  // Ends the stream with this status when everything written so far is out.
  void End(grpc::Status status);
  // Ends it as a lost connection does.
  void Cut();

  v1::Hello hello() const;
  bool welcomed() const;
  bool ended() const;
  bool goodbye() const;  // the participant's

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  struct Pending {
    v1::BranchCommand command;
    std::promise<Answer> answer;
  };
  void WriteNext() ASSENT_REQUIRES(mutex_);
  void FinishIfDrained() ASSENT_REQUIRES(mutex_);
  // What was unanswered stays so.
  void Abandon(const std::string& why);
  void Take(const v1::ParticipantFrame& frame, std::size_t bytes);
  void TakeReply(const v1::BranchReply& reply);

  SessionServer* const server_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Session> self_;  // until OnDone
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  mutable Mutex mutex_;
  std::deque<grpc::ByteBuffer> queue_ ASSENT_GUARDED_BY(mutex_);
  bool writing_ ASSENT_GUARDED_BY(mutex_) = false;
  bool ending_ ASSENT_GUARDED_BY(mutex_) = false;
  bool finished_ ASSENT_GUARDED_BY(mutex_) = false;
  bool gone_ ASSENT_GUARDED_BY(mutex_) = false;  // the participant's side has ended
  grpc::Status status_ ASSENT_GUARDED_BY(mutex_);
  bool welcomed_ ASSENT_GUARDED_BY(mutex_) = false;
  bool goodbye_ ASSENT_GUARDED_BY(mutex_) = false;
  v1::Hello hello_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t last_command_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, Pending> pending_ ASSENT_GUARDED_BY(mutex_);
};

// Thread-safe, but for Start and Stop.
class SessionServer {
 public:
  // The coordinator that it says it is.
  static constexpr std::uint32_t kCoordinatorId = 4711;

  // "HOST:PORT"; port 0: one is picked at the first Start, and kept. `map`: of the coordinators
  // that it shares its log with.
  explicit SessionServer(std::string listen,
                         std::shared_ptr<ClusterMap> map = std::make_shared<ClusterMap>());
  ~SessionServer();

  Status Start();
  // As a coordinator that dies: streams are lost, the port is closed.
  void Stop();
  const std::string& address() const { return address_; }
  const std::shared_ptr<ClusterMap>& map() const { return map_; }
  // As of its last Start.
  ClusterMap::Member member() const;

  // The latest stream that has been welcomed, and has neither ended nor said goodbye; null: none.
  std::shared_ptr<Session> Current() const;
  std::shared_ptr<Session> WaitCurrent(std::chrono::milliseconds timeout) const;
  // Ends the next `count` streams with UNAVAILABLE in place of a Welcome.
  void RefuseNext(int count);
  int refusals_left() const;

  // What is answered to an OutcomeQuery about `gid`; UNDECIDED if nothing was said.
  void Decide(const std::string& gid, v1::OutcomeAnswer::Verdict verdict, bool finished);
  std::vector<v1::OutcomeQuery> QueriesAbout(const std::string& gid) const;

  std::vector<Fault> TakeFaults();
  // Something that no participant may say.
  void AddFault(std::string expected, std::string seen);

 private:
  friend class Session;
  class Service;

  // Called by streams.
  void Add(std::shared_ptr<Session> session);
  bool MayWelcome();
  v1::Welcome NewWelcome();
  v1::OutcomeAnswer AnswerTo(const v1::OutcomeQuery& query);

  std::string address_;
  const std::shared_ptr<ClusterMap> map_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Service> cluster_service_;
  std::unique_ptr<grpc::Server> server_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Session>> sessions_ ASSENT_GUARDED_BY(mutex_);
  int refuse_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t epoch_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t welcomes_ ASSENT_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::pair<v1::OutcomeAnswer::Verdict, bool>> decided_
      ASSENT_GUARDED_BY(mutex_);
  std::vector<v1::OutcomeQuery> queries_ ASSENT_GUARDED_BY(mutex_);
  std::vector<Fault> faults_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::contract
