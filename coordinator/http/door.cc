#include "coordinator/http/door.h"

#include <array>
#include <chrono>
#include <string>
#include <unistd.h>
#include <utility>

#include <boost/asio/post.hpp>

#include "coordinator/base/thread_name.h"
#include "coordinator/http/connection.h"
#include "coordinator/http/limits.h"

namespace assent::http {
namespace {

namespace net = boost::asio;
using std::chrono::milliseconds;

// Before the next try, when there is no descriptor for a connection.
constexpr milliseconds kAcceptPause{100};
// The rest of the second that Close may take.
constexpr milliseconds kCloseStep{10};
constexpr int kCloseSteps = 100;

// As the other door names a peer: of one host, both count what is held.
service::Caller CallerOf(const Tcp::endpoint& peer) {
  net::ip::address address = peer.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
  const std::string host =
      address.is_v4() ? "ipv4:" + address.to_string() : "ipv6:%5B" + address.to_string() + "%5D";
  return {.connection = host + ":" + std::to_string(peer.port()), .address = host};
}

// What counts as one peer for the number of connections, as for the other door: a machine has many
// addresses of IPv6, and seldom more than one network.
std::string NetworkOf(const Tcp::endpoint& peer, const std::string& host) {
  if (!peer.address().is_v6()) return host;
  const auto v6 = peer.address().to_v6();
  if (v6.is_v4_mapped() || v6.is_loopback()) return host;
  constexpr std::size_t kNetworkBytes = 8;
  const auto bytes = v6.to_bytes();
  return "ipv6:" + std::string(bytes.begin(), bytes.begin() + kNetworkBytes);
}

// Until the lane is over.
void RunClock(Lane& lane) {
  lane.clock.expires_after(milliseconds(kClockMs));
  lane.clock.async_wait([&lane](const Error& failed) {
    if (failed || lane.over) return;
    const auto now = Connection::Clock::now();
    for (auto next = lane.connections.begin(); next != lane.connections.end();) {
      const std::shared_ptr<Connection> connection = *next++;
      connection->See(now);  // it may go, and no other one
    }
    RunClock(lane);
  });
}

}  // namespace

struct Door::Parts {
  Parts(const DoorOptions& options, Taker& the_taker)
      : ledger(options.max_connections_count, options.max_connections_per_address_count),
        taker(the_taker),
        tls(options.tls) {}

  // Outlive the connections, which are in the lanes.
  Ledger ledger;
  Taker& taker;
  const std::function<std::shared_ptr<ssl_ctx_st>()> tls;
  std::array<Lane, kHttpThreadsCount> lanes{Lane(bench), Lane(bench)};
  Bench bench;  // goes before the lanes: what waits there is of their connections
  std::vector<std::unique_ptr<Tcp::acceptor>> acceptors;  // the first lane's
  net::steady_timer pause{lanes[0].context};
  std::size_t next_lane = 0;

  void Accept(Tcp::acceptor& acceptor);
  void Arrived(Lane& lane, Socket&& socket, const Tcp::endpoint& peer);
};

void Door::Parts::Accept(Tcp::acceptor& acceptor) {
  Lane& lane = lanes[next_lane++ % lanes.size()];
  acceptor.async_accept(lane.context, [this, &acceptor, &lane](const Error& failed, Socket socket) {
    if (!acceptor.is_open()) return;
    if (!failed) {
      Error gone;
      const Tcp::endpoint peer = socket.remote_endpoint(gone);
      if (!gone) Arrived(lane, std::move(socket), peer);
      return Accept(acceptor);
    }
    // There is no descriptor: whoever has come waits in the queue.
    pause.expires_after(kAcceptPause);
    pause.async_wait([this, &acceptor](const Error&) {
      if (acceptor.is_open()) Accept(acceptor);
    });
  });
}

void Door::Parts::Arrived(Lane& lane, Socket&& socket, const Tcp::endpoint& peer) {
  service::Caller caller = CallerOf(peer);
  std::string network = NetworkOf(peer, caller.address);
  const Ledger::Entry entry = ledger.Enter(network);
  if (entry == Ledger::Entry::kClosed) return;
  Error ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  const auto connection =
      std::make_shared<Connection>(lane, ledger, taker, std::move(socket), std::move(caller),
                                   Counted{std::move(network), entry}, tls ? tls() : nullptr);
  net::post(lane.context, [connection] { connection->Begin(); });
}

Door::Door(const DoorOptions& options, const std::vector<int>& listeners, Taker& taker)
    : parts_(std::make_unique<Parts>(options, taker)) {
  Parts& p = *parts_;
  for (const int listener : listeners) {
    auto acceptor = std::make_unique<Tcp::acceptor>(p.lanes[0].context);
    // Only its number counts for an acceptor that is bound already.
    acceptor->assign(Tcp::v4(), ::dup(listener));
    p.acceptors.push_back(std::move(acceptor));
  }
  for (const auto& acceptor : p.acceptors) p.Accept(*acceptor);
  for (Lane& lane : p.lanes) {
    lane.thread = std::thread([&lane] {
      base::NameThisThread("http");
      RunClock(lane);
      lane.context.run();
    });
  }
  p.bench.thread = std::thread([&p] {
    base::NameThisThread("http-large");
    p.bench.context.run();
  });
}

Door::~Door() { Close(); }

DoorFigures Door::Figures() const { return parts_->ledger.Figures(); }

void Door::Close() {
  Parts& p = *parts_;
  if (!p.lanes[0].thread.joinable()) return;
  p.bench.closing = true;
  net::post(p.lanes[0].context, [&p] {
    for (const auto& acceptor : p.acceptors) acceptor->close();
    p.pause.cancel();
  });
  for (Lane& lane : p.lanes) {
    // Until nobody is there any more, or it has taken long enough.
    const auto timer = std::make_shared<net::steady_timer>(lane.context);
    const auto look = [&p, &lane, timer](const auto& again, int left) -> void {
      if (left > 0 && !lane.connections.empty()) {
        timer->expires_after(kCloseStep);
        return timer->async_wait([again, left](const Error&) { again(again, left - 1); });
      }
      for (const auto& connection : std::set(lane.connections)) connection->End();
      lane.work.reset();
      lane.over = true;
      lane.clock.cancel();
    };
    net::post(lane.context, [&lane, look] {
      lane.closing = true;
      for (const auto& connection : std::set(lane.connections)) connection->Close();
      look(look, kCloseSteps);
    });
  }
  for (Lane& lane : p.lanes) lane.thread.join();
  p.bench.context.stop();
  p.bench.thread.join();
}

}  // namespace assent::http
