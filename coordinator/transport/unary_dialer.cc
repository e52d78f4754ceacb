#include "coordinator/transport/unary_dialer.h"

#include <limits>
#include <utility>

#include "coordinator/transport/wire.h"

namespace assent::transport {
namespace {

constexpr std::size_t kTakenAtOnceCount = 64;
const char kConnectionLost[] = "the connection was lost";

}  // namespace

// One address.
class UnaryDialer::Target final : public Line {
 public:
  Target(UnaryDialer& dialer, std::size_t number, const std::string& service,
         const std::string& address)
      : visitor{service, address, address, {}, true}, dialer_(dialer), number_(number) {}

  // Calls everything that there is for it.
  void Kick() override {
    while (true) {
      std::vector<Dispatcher::Outgoing> taken =
          dialer_.board_.Take(id, kTakenAtOnceCount, std::numeric_limits<std::size_t>::max());
      if (taken.empty()) return;
      bool connected = true;
      for (Dispatcher::Outgoing& out : taken) {
        if (connected && dialer_.caller_.Call(number_, out.command_id, out.command)) continue;
        if (std::exchange(connected, false))
          dialer_.SetReach(number_, Reach::kConnecting, kConnectionLost);
        dialer_.board_.Return(id, std::move(out));
      }
      if (!connected) return;
    }
  }

  InstanceId id = 0;  // fixed once it is on the board
  const Visitor visitor;

 private:
  UnaryDialer& dialer_;
  const std::size_t number_;
};

UnaryDialer::UnaryDialer(UnaryDialerOptions options, Caller& caller, Switchboard& board)
    : caller_(caller), board_(board) {
  for (const auto& [service, addresses] : options.services) {
    for (const std::string& address : addresses) {
      auto target = std::make_shared<Target>(*this, targets_.size(), service, address);
      target->id =
          board_.AddDialled(target, service, address, options.max_in_flight_per_target_count);
      targets_.push_back(std::move(target));
    }
  }
}

UnaryDialer::~UnaryDialer() { caller_.Stop(); }

void UnaryDialer::Open(std::uint32_t coordinator_id) {
  std::vector<std::string> addresses;
  for (const auto& target : targets_) addresses.push_back(target->visitor.address);
  if (!addresses.empty()) caller_.Start(std::move(addresses), coordinator_id, *this);
}

void UnaryDialer::SetReach(std::size_t target, Reach reach, const std::string& why) {
  board_.SetReach(targets_[target]->id, reach, targets_[target]->visitor, why);
}

void UnaryDialer::OnConnecting(std::size_t target) {
  SetReach(target, Reach::kConnecting, kConnectionLost);
}
void UnaryDialer::OnConnected(std::size_t target) { SetReach(target, Reach::kReady, {}); }
void UnaryDialer::OnUnreachable(std::size_t target, const std::string& words) {
  SetReach(target, Reach::kDown, words);
}

void UnaryDialer::OnEnded(std::vector<CallEnd> ended) {
  std::vector<Switchboard::Ended> all;
  all.reserve(ended.size());
  for (CallEnd& end : ended) {
    if (end.not_sent) {
      board_.Return(targets_[end.target]->id, {end.call, *std::move(end.not_sent)});
      continue;
    }
    Switchboard::Ended& one = all.emplace_back();
    one.id = targets_[end.target]->id;
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
