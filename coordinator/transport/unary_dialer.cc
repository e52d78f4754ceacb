#include "coordinator/transport/unary_dialer.h"

#include <limits>
#include <utility>

#include "coordinator/transport/wire.h"

namespace assent::transport {
namespace {

constexpr std::size_t kTakenAtOnceCount = 64;
const char kConnectionLost[] = "the connection was lost";

}  // namespace

// One endpoint. Its number among the caller's targets is that among the board's lines.
class UnaryDialer::Target final : public Line {
 public:
  explicit Target(UnaryDialer& dialer) : dialer_(dialer) {}

  // Calls everything that there is for it.
  void Kick() override {
    while (true) {
      std::vector<Dispatcher::Outgoing> taken =
          dialer_.board_.Take(id, kTakenAtOnceCount, std::numeric_limits<std::size_t>::max());
      if (taken.empty()) return;
      bool connected = true;
      for (Dispatcher::Outgoing& out : taken) {
        if (connected && dialer_.caller_.Call(id, out.command_id, out.command)) continue;
        if (std::exchange(connected, false))
          dialer_.board_.SetReach(id, Reach::kConnecting, kConnectionLost);
        dialer_.board_.Return(id, std::move(out));
      }
      if (!connected) return;
    }
  }
  void Gone() override { dialer_.Forget(id); }

  InstanceId id = 0;  // fixed before it is dialled

 private:
  UnaryDialer& dialer_;
};

UnaryDialer::UnaryDialer(Caller& caller, Switchboard& board, UnaryDialerOptions options)
    : caller_(caller), board_(board), options_(std::move(options)) {}

UnaryDialer::~UnaryDialer() { caller_.Stop(); }

void UnaryDialer::Set(const std::string& service, const std::vector<Endpoint>& endpoints) {
  std::vector<InstanceId> left;  // later, and without the lock: what waits for them goes to others
  {
    const MutexLock lock(mutex_);
    Targets& targets = services_[service];
    Targets before = std::exchange(targets, {});
    for (const Endpoint& endpoint : endpoints) {
      if (targets.contains(endpoint)) continue;
      auto known = before.extract(endpoint);
      if (!known.empty()) {
        if (std::exchange(known.key().source, endpoint.source) != endpoint.source)
          board_.SetSource(known.mapped()->id, endpoint.source);
        targets.insert(std::move(known));
        continue;
      }
      auto target = std::make_shared<Target>(*this);
      target->id =
          board_.AddDialled(target, service, endpoint, options_.max_in_flight_per_target_count);
      service_of_.emplace(target->id, service);
      if (open_) caller_.Add(target->id, endpoint);
      targets.emplace(endpoint, std::move(target));
    }
    for (const auto& [endpoint, target] : before) left.push_back(target->id);
  }
  for (const InstanceId id : left) board_.Retire(id);
}

void UnaryDialer::Open(std::uint32_t coordinator_id) {
  const MutexLock lock(mutex_);
  caller_.Start(coordinator_id, *this);
  open_ = true;
  for (const auto& [service, targets] : services_) {
    for (const auto& [endpoint, target] : targets) caller_.Add(target->id, endpoint);
  }
}

void UnaryDialer::OnConnecting(std::size_t target) {
  board_.SetReach(target, Reach::kConnecting, kConnectionLost);
}
void UnaryDialer::OnConnected(std::size_t target) { board_.SetReach(target, Reach::kReady, {}); }
void UnaryDialer::OnUnreachable(std::size_t target, const std::string& words) {
  board_.SetReach(target, Reach::kDown, words);
  if (!options_.on_unreachable) return;
  std::string service;
  {
    const MutexLock lock(mutex_);
    const auto found = service_of_.find(target);
    if (found != service_of_.end()) service = found->second;
  }
  if (!service.empty()) options_.on_unreachable(service);
}

void UnaryDialer::Forget(InstanceId id) {
  {
    const MutexLock lock(mutex_);
    service_of_.erase(id);
    if (!open_) return;
  }
  caller_.Remove(id);
}

void UnaryDialer::OnEnded(std::vector<CallEnd> ended) {
  std::vector<Switchboard::Ended> all;
  all.reserve(ended.size());
  for (CallEnd& end : ended) {
    if (end.not_sent) {
      board_.Return(end.target, {end.call, *std::move(end.not_sent)});
      continue;
    }
    Switchboard::Ended& one = all.emplace_back();
    one.id = end.target;
    one.command_id = end.call;
    if (!end.malformed.empty()) end.replied = ParseMended(std::move(end.malformed), end.reply);
    if (!end.replied) {
      one.retry_after = end.retry_after;
      one.words = end.words.empty() ? "answered with bytes that are no BranchReply" : end.words;
      continue;
    }
    SessionReply reply = FromWire(std::move(end.reply));
    reply.command_id = end.call;  // there is none on this transport
    one.reply.push_back(std::move(reply));
    one.words = "answered about another gid, branch or operation";
  }
  board_.OnEnded(std::move(all));
}

}  // namespace assent::transport
