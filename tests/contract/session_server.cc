#include "tests/contract/session_server.h"

#include <utility>

#include <assent/limits.h>

#include "assent/v1/participant.grpc.pb.h"
#include "tests/contract/limits.h"
#include "tests/support/process.h"

namespace assent::contract {

class SessionServer::Service final : public v1::ParticipantSession::WithRawCallbackMethod_Connect<
                                         v1::ParticipantSession::Service> {
 public:
  explicit Service(SessionServer* server) : server_(server) {}
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Connect(
      grpc::CallbackServerContext* context) override {
    auto session = std::make_shared<Session>(server_, context);
    Session* const reactor = session.get();
    server_->Add(session);
    reactor->Begin(std::move(session));
    return reactor;
  }

 private:
  SessionServer* const server_;
};

SessionServer::SessionServer(std::string listen, std::shared_ptr<ClusterMap> map)
    : address_(std::move(listen)),
      map_(std::move(map)),
      service_(std::make_unique<Service>(this)),
      cluster_service_(NewClusterService(*map_)) {}

SessionServer::~SessionServer() { Stop(); }

Status SessionServer::Start() {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service_.get());
  builder.RegisterService(cluster_service_.get());
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits::kMaxOversizedFrameBytes));
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) return Unavailable("cannot listen at " + address_);
  address_ = address_.substr(0, address_.rfind(':') + 1) + std::to_string(port);
  const std::uint64_t epoch = map_->NewEpoch();
  const MutexLock lock(mutex_);
  epoch_ = epoch;
  return OkStatus();
}

void SessionServer::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  const MutexLock lock(mutex_);
  sessions_.clear();
}

std::shared_ptr<Session> SessionServer::Current() const {
  std::vector<std::shared_ptr<Session>> sessions;
  {
    const MutexLock lock(mutex_);
    sessions = sessions_;
  }
  for (auto it = sessions.rbegin(); it != sessions.rend(); ++it) {
    if ((*it)->welcomed() && !(*it)->ended() && !(*it)->goodbye()) return *it;
  }
  return nullptr;
}

std::shared_ptr<Session> SessionServer::WaitCurrent(std::chrono::milliseconds timeout) const {
  std::shared_ptr<Session> current;
  test::WaitUntil([&] { return (current = Current()) != nullptr; }, timeout);
  return current;
}

void SessionServer::RefuseNext(int count) {
  const MutexLock lock(mutex_);
  refuse_ = count;
}
int SessionServer::refusals_left() const {
  const MutexLock lock(mutex_);
  return refuse_;
}

void SessionServer::Decide(const std::string& gid, v1::OutcomeAnswer::Verdict verdict,
                           bool finished) {
  const MutexLock lock(mutex_);
  decided_[gid] = {verdict, finished};
}

std::vector<v1::OutcomeQuery> SessionServer::QueriesAbout(const std::string& gid) const {
  const MutexLock lock(mutex_);
  std::vector<v1::OutcomeQuery> found;
  for (const v1::OutcomeQuery& query : queries_) {
    if (query.gid() == gid) found.push_back(query);
  }
  return found;
}

std::vector<Fault> SessionServer::TakeFaults() {
  const MutexLock lock(mutex_);
  return std::exchange(faults_, {});
}

void SessionServer::Add(std::shared_ptr<Session> session) {
  const MutexLock lock(mutex_);
  std::erase_if(sessions_, [](const auto& old) { return old->ended(); });
  sessions_.push_back(std::move(session));
}

bool SessionServer::MayWelcome() {
  const MutexLock lock(mutex_);
  if (refuse_ == 0) return true;
  --refuse_;
  return false;
}

v1::Welcome SessionServer::NewWelcome() {
  const std::uint64_t cluster_version = map_->view().version();
  const MutexLock lock(mutex_);
  v1::Welcome welcome;
  welcome.set_session_id("session-" + std::to_string(++welcomes_));
  welcome.set_coordinator_id(kCoordinatorId);
  welcome.set_epoch(epoch_);
  welcome.set_cluster_version(cluster_version);
  return welcome;
}

ClusterMap::Member SessionServer::member() const {
  const MutexLock lock(mutex_);
  return {address_, epoch_};
}

v1::OutcomeAnswer SessionServer::AnswerTo(const v1::OutcomeQuery& query) {
  const MutexLock lock(mutex_);
  queries_.push_back(query);
  v1::OutcomeAnswer answer;
  answer.set_gid(query.gid());
  answer.set_branch_id(query.branch_id());
  answer.set_verdict(v1::OutcomeAnswer::UNDECIDED);
  const auto found = decided_.find(query.gid());
  if (found != decided_.end()) {
    answer.set_verdict(found->second.first);
    answer.set_finished(found->second.second);
  }
  return answer;
}

void SessionServer::AddFault(std::string expected, std::string seen) {
  const MutexLock lock(mutex_);
  if (faults_.size() < kMaxFaultsPerRuleCount)
    faults_.push_back({std::move(expected), std::move(seen)});
}

}  // namespace assent::contract
