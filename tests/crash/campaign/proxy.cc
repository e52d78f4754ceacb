#include "tests/crash/campaign/proxy.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <optional>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::crash {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kHeldBytes = 256 * 1024;  // per direction; then we no longer read
constexpr milliseconds kTick{10};
constexpr std::size_t kReadBytes = 64 * 1024;

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

void Reset(int& fd) {
  if (fd < 0) return;
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(fd);
  fd = -1;
}

struct Active {
  Trouble trouble;
  Clock::time_point until{};
  bool Holds(Clock::time_point now) const {
    return trouble.kind != Trouble::Kind::kNone && now < until;
  }
};

// One way of one connection.
struct Way {
  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };
  std::deque<Chunk> held;
  std::size_t held_bytes = 0;
  double allowance = 0;  // throttled: bytes that may go now
  bool eof = false;      // nothing more to read
  bool discard = false;  // half-closed by us: what still comes is dropped
  bool shut = false;     // the end was passed on
};

struct Connection {
  int link = 0;
  int client = -1;
  int server = -1;
  bool connected = false;  // to the server
  Way up;                  // client to server
  Way down;
  Active own;
};

}  // namespace

const char* TroubleName(Trouble::Kind kind) {
  switch (kind) {
    case Trouble::Kind::kNone: return "none";
    case Trouble::Kind::kDelay: return "delay";
    case Trouble::Kind::kCut: return "cut";
    case Trouble::Kind::kHalfClose: return "half-close";
    case Trouble::Kind::kBlackHole: return "black-hole";
    case Trouble::Kind::kThrottle: return "throttle";
  }
  return "?";
}

class Proxy::Loop {
 public:
  explicit Loop(const std::vector<std::uint16_t>& targets) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    Watch(wake_, EPOLLIN);
    for (const std::uint16_t target : targets) {
      const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      sockaddr_in address = Loopback(0);
      ASSENT_CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
      ASSENT_CHECK(listen(listener, 128) == 0);
      socklen_t size = sizeof(address);
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
      links_.push_back({listener, ntohs(address.sin_port), target, {}});
      Watch(listener, EPOLLIN);
    }
  }
  ~Loop() {
    for (auto& connection : connections_) Cut(*connection);
    for (const Link& link : links_) close(link.listener);
    close(wake_);
    close(epoll_);
  }

  std::uint16_t Port(int link) const { return links_[static_cast<std::size_t>(link)].port; }

  void Strike(int link, std::optional<std::uint64_t> pick, const Trouble& trouble) {
    const MutexLock lock(mutex_);
    strikes_.push_back({link, pick, trouble});
    Wake();
  }
  void Heal() {
    const MutexLock lock(mutex_);
    strikes_.clear();
    heal_ = true;
    Wake();
  }
  void Stop() {
    const MutexLock lock(mutex_);
    stop_ = true;
    Wake();
  }

  void Run() {
    while (Commands()) {
      std::array<epoll_event, 64> events{};
      // Level-triggered, and everybody is looked at: there are a few dozen connections.
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(kTick.count()));
      const auto now = Clock::now();
      for (int i = 0; i < count; ++i) {
        for (std::size_t link = 0; link < links_.size(); ++link) {
          if (events[static_cast<std::size_t>(i)].data.fd == links_[link].listener)
            Accept(static_cast<int>(link), now);
        }
      }
      for (auto& link : links_) EndTrouble(link, now);
      for (auto& connection : connections_) Move(*connection, now);
      std::erase_if(connections_, [](const auto& c) { return c->client < 0 && c->server < 0; });
      for (auto& connection : connections_) WatchBoth(*connection);
    }
  }

 private:
  struct Link {
    int listener = -1;
    std::uint16_t port = 0;
    std::uint16_t target = 0;
    Active active;
  };
  struct Struck {
    int link;
    std::optional<std::uint64_t> pick;
    Trouble trouble;
  };

  void Wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_, &one, sizeof(one));
  }
  void Watch(int fd, std::uint32_t events) {
    // A hang-up is reported whether asked for or not: somebody who is not to notice is not listed.
    if (events == 0) {
      epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
      return;
    }
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0)
      epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  bool Commands() {
    std::uint64_t ignored = 0;
    [[maybe_unused]] const auto got = read(wake_, &ignored, sizeof(ignored));
    const MutexLock lock(mutex_);
    if (heal_) {
      heal_ = false;
      for (Link& link : links_) link.active = {};
      for (auto& connection : connections_) {
        connection->own = {};
        for (Way* way : {&connection->up, &connection->down})
          for (auto& chunk : way->held) chunk.due = {};
      }
    }
    for (const Struck& struck : std::exchange(strikes_, {})) Apply(struck);
    return !stop_;
  }

  void Apply(const Struck& struck) {
    const Active active{struck.trouble, Clock::now() + struck.trouble.lasts};
    std::vector<Connection*> hit;
    for (auto& connection : connections_) {
      if (struck.link == kAll || connection->link == struck.link) hit.push_back(connection.get());
    }
    if (struck.pick) {
      if (hit.empty()) return;
      hit = {hit[*struck.pick % hit.size()]};
      hit[0]->own = active;
    } else {
      for (std::size_t i = 0; i < links_.size(); ++i) {
        if (struck.link == kAll || static_cast<int>(i) == struck.link) links_[i].active = active;
      }
    }
    for (Connection* connection : hit) {
      if (struck.trouble.kind == Trouble::Kind::kCut) Cut(*connection);
      if (struck.trouble.kind == Trouble::Kind::kHalfClose) {
        Way& way = struck.trouble.upstream ? connection->up : connection->down;
        way.discard = true;
        way.eof = true;
      }
    }
  }

  void EndTrouble(Link& link, Clock::time_point now) {
    const Active ended = link.active;
    if (ended.trouble.kind == Trouble::Kind::kNone || ended.Holds(now)) return;
    link.active = {};
    if (!ended.trouble.cut_after) return;
    for (auto& connection : connections_) {
      if (links_[static_cast<std::size_t>(connection->link)].listener == link.listener)
        Cut(*connection);
    }
  }

  void Accept(int link, Clock::time_point now) {
    for (;;) {
      int client = accept4(links_[static_cast<std::size_t>(link)].listener, nullptr, nullptr,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (client < 0) return;
      const Active& active = links_[static_cast<std::size_t>(link)].active;
      if (active.Holds(now) && active.trouble.kind == Trouble::Kind::kCut) {
        Reset(client);
        continue;
      }
      auto connection = std::make_unique<Connection>();
      connection->link = link;
      connection->client = client;
      connection->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      const sockaddr_in address = Loopback(links_[static_cast<std::size_t>(link)].target);
      if (connect(connection->server, reinterpret_cast<const sockaddr*>(&address),
                  sizeof(address)) != 0 &&
          errno != EINPROGRESS) {
        Cut(*connection);
        continue;
      }
      connections_.push_back(std::move(connection));
    }
  }

  void Cut(Connection& connection) {
    Reset(connection.client);
    Reset(connection.server);
  }

  Active Effective(const Connection& c, Clock::time_point now) const {
    if (c.own.Holds(now)) return c.own;
    const Active& link = links_[static_cast<std::size_t>(c.link)].active;
    return link.Holds(now) ? link : Active{};
  }

  // Whatever can be done on one connection now.
  void Move(Connection& c, Clock::time_point now) {
    if (c.client < 0 || c.server < 0) return Cut(c);
    if (c.own.trouble.kind != Trouble::Kind::kNone && !c.own.Holds(now)) {
      const bool cut = c.own.trouble.cut_after;
      c.own = {};
      if (cut) return Cut(c);
    }
    if (!c.connected) {
      int error = 0;
      socklen_t size = sizeof(error);
      getsockopt(c.server, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return Cut(c);
      sockaddr_in peer{};
      size = sizeof(peer);
      c.connected = getpeername(c.server, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
      if (!c.connected) return;
    }
    const Trouble trouble = Effective(c, now).trouble;
    const bool black = trouble.kind == Trouble::Kind::kBlackHole;
    const bool alive =
        MoveWay(c.up, c.client, c.server, trouble, black && trouble.upstream, now) &&
        MoveWay(c.down, c.server, c.client, trouble, black && !trouble.upstream, now);
    if (!alive || (c.up.shut && c.down.shut)) Cut(c);
  }

  bool MoveWay(Way& way, int from, int to, const Trouble& trouble, bool black,
               Clock::time_point now) {
    if (!black && !ReadSome(way, from, trouble, now)) return false;
    if (black) return true;
    if (trouble.kind == Trouble::Kind::kThrottle) {
      const double tick = static_cast<double>(kTick.count()) / 1000;
      way.allowance = std::min(way.allowance + static_cast<double>(trouble.bytes_per_second) * tick,
                               static_cast<double>(trouble.bytes_per_second));
    }
    while (!way.held.empty() && way.held.front().due <= now) {
      std::string& bytes = way.held.front().bytes;
      std::size_t size = bytes.size();
      if (trouble.kind == Trouble::Kind::kThrottle)
        size = std::min(size, static_cast<std::size_t>(way.allowance));
      if (size == 0) break;
      const ssize_t sent = send(to, bytes.data(), size, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
      way.allowance = std::max(0.0, way.allowance - static_cast<double>(sent));
      way.held_bytes -= static_cast<std::size_t>(sent);
      bytes.erase(0, static_cast<std::size_t>(sent));
      if (bytes.empty()) way.held.pop_front();
    }
    if (way.eof && way.held.empty() && !way.shut) {
      shutdown(to, SHUT_WR);
      way.shut = true;
    }
    return true;
  }

  // False: the connection is broken.
  bool ReadSome(Way& way, int from, const Trouble& trouble, Clock::time_point now) {
    if (way.eof && !way.discard) return true;
    while (way.held_bytes < kHeldBytes) {
      const ssize_t got = recv(from, buffer_.data(), buffer_.size(), 0);
      if (got < 0) return errno == EAGAIN;
      if (got == 0) {
        way.eof = true;
        way.discard = false;
        return true;
      }
      if (way.discard) continue;
      std::string bytes(buffer_.data(), static_cast<std::size_t>(got));
      way.held_bytes += bytes.size();
      const bool late = trouble.kind == Trouble::Kind::kDelay;
      way.held.push_back({late ? now + trouble.delay : now, std::move(bytes)});
    }
    return true;
  }

  // Readable only where we would read, writable only where something waits for the socket: the rest
  // is the tick's.
  void WatchBoth(Connection& c) {
    const auto now = Clock::now();
    const Trouble trouble = Effective(c, now).trouble;
    const bool calm = trouble.kind == Trouble::Kind::kNone || trouble.kind == Trouble::Kind::kDelay;
    const auto events = [&](const Way& in, const Way& out) {
      std::uint32_t mask = 0;
      if (calm && c.connected && !in.eof && in.held_bytes < kHeldBytes) mask |= EPOLLIN;
      if (calm && !out.held.empty() && out.held.front().due <= now) mask |= EPOLLOUT;
      return mask;
    };
    Watch(c.client, events(c.up, c.down));
    Watch(c.server, c.connected ? events(c.down, c.up) : static_cast<std::uint32_t>(EPOLLOUT));
  }

  const int epoll_;
  int wake_ = -1;
  std::vector<Link> links_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::array<char, kReadBytes> buffer_{};

  Mutex mutex_;
  std::vector<Struck> strikes_ ASSENT_GUARDED_BY(mutex_);
  bool heal_ ASSENT_GUARDED_BY(mutex_) = false;
  bool stop_ ASSENT_GUARDED_BY(mutex_) = false;
};

Proxy::Proxy(const std::vector<std::uint16_t>& targets)
    : loop_(std::make_unique<Loop>(targets)), thread_([this] { loop_->Run(); }) {}
Proxy::~Proxy() {
  loop_->Stop();
  thread_.join();
}
std::string Proxy::Endpoint(int link) const {
  return "127.0.0.1:" + std::to_string(loop_->Port(link));
}
void Proxy::StrikeConnection(int link, std::uint64_t pick, Trouble trouble) {
  loop_->Strike(link, pick, trouble);
}
void Proxy::StrikeLink(int link, Trouble trouble) { loop_->Strike(link, std::nullopt, trouble); }
void Proxy::Heal() { loop_->Heal(); }

}  // namespace assent::crash
