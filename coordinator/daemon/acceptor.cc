#include "coordinator/daemon/acceptor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "coordinator/base/thread_name.h"
#include "coordinator/daemon/unix_peer.h"
#include "coordinator/tls/material.h"

namespace assent::daemon {
namespace {

constexpr std::chrono::milliseconds kTick{1'000};
// At a limit, how often connections are looked at that may have closed.
constexpr std::chrono::milliseconds kSweepPause{50};
// Without any descriptor, how long the queue of the listener is left alone; and how often strangers
// are looked at.
constexpr std::chrono::milliseconds kPause{100};
// Between two lines about those who were turned away.
constexpr std::chrono::milliseconds kReportPause{10'000};
// Who has come only just may still be about to speak.
constexpr std::chrono::milliseconds kSilentGrace{100};
constexpr int kAcceptsInOneTurn = 256;
// A client of gRPC, too, understands it as far as to give up this try, and shows it in part.
constexpr std::string_view kSpeaksTls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 55\r\n"
    "Connection: close\r\n\r\nThis port speaks TLS alone: dial it with TLS, and a CA\n";

// What counts as one peer. A machine has many IPv6 addresses, but seldom more than one network.
std::string AddressOf(int descriptor, const sockaddr_storage& peer) {
  if (peer.ss_family == AF_UNIX)
    return "unix:" + std::to_string(UserOfPeer(descriptor).value_or(static_cast<uid_t>(-1)));
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
    return {reinterpret_cast<const char*>(&v4), sizeof v4};
  }
  if (peer.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  const auto* bytes = reinterpret_cast<const char*>(&v6);
  constexpr std::size_t kNetworkBytes = 8;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return {bytes + 12, 4};
  if (IN6_IS_ADDR_LOOPBACK(&v6)) return {bytes, sizeof v6};
  return {bytes, kNetworkBytes};
}

// As gRPC names it: of a Unix socket its user alone (unix_peer.cc). Empty of an address with a
// scope, whose name is not ours to know: the machine's own, and its network's.
std::string NameOf(int descriptor, const sockaddr_storage& peer) {
  if (peer.ss_family == AF_UNIX) return AddressOf(descriptor, peer);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto port_of = [](in_port_t port) { return ":" + std::to_string(ntohs(port)); };
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return std::string("ipv4:") + text.data() + port_of(v4.sin_port);
  }
  if (peer.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
  if (v6.sin6_scope_id != 0) return {};
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    ::inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text.data(), text.size());
    return std::string("ipv4:") + text.data() + port_of(v6.sin6_port);
  }
  ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  return std::string("ipv6:%5B") + text.data() + "%5D" + port_of(v6.sin6_port);
}

std::uint64_t BytesReceived(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0
             ? info.tcpi_bytes_received
             : 0;
}

ino_t InodeOf(int descriptor) {
  struct stat what {};
  return ::fstat(descriptor, &what) == 0 && S_ISSOCK(what.st_mode) ? what.st_ino : 0;
}

AcceptorOptions WithHalfPerAddress(AcceptorOptions options) {
  if (options.max_connections_per_address_count == 0)
    options.max_connections_per_address_count = (options.max_connections_count + 1) / 2;
  return options;
}

int OpenSpare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

bool FitToFileLimit(std::size_t reserve, AcceptorOptions& options) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return true;
  if (files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) ::getrlimit(RLIMIT_NOFILE, &files);
  }
  const auto limit = static_cast<std::size_t>(files.rlim_cur);
  const std::size_t left = std::max({limit / 2, limit - std::min(limit, reserve), std::size_t{1}});
  if (options.max_connections_count <= left) return true;
  options.max_connections_count = left;
  return false;
}

Acceptor::Acceptor(AcceptorOptions options, const std::vector<int>& listeners, HandOver hand_over)
    : options_(WithHalfPerAddress(options)),
      max_count_(options_.max_connections_count),
      max_per_address_count_(options_.max_connections_per_address_count),
      listeners_(listeners),
      hand_over_(std::move(hand_over)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      spare_(OpenSpare()) {
  epoll_event wake{EPOLLIN, {.fd = wake_}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &wake);
  Listen(true);
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::SetLimits(const AcceptorOptions& options) {
  const AcceptorOptions whole = WithHalfPerAddress(options);
  max_count_ = whole.max_connections_count;
  max_per_address_count_ = whole.max_connections_per_address_count;
}

Acceptor::~Acceptor() {
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
  thread_.join();
  for (const auto& [key, silent] : silent_) ::close(silent.descriptor);
  for (const int descriptor : {epoll_, wake_, spare_}) ::close(descriptor);
}

void Acceptor::Listen(bool on) {
  for (const int listener : listeners_) {
    epoll_event event{EPOLLIN, {.fd = listener}};
    ::epoll_ctl(epoll_, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listener, &event);
  }
  listen_at_ = on ? Clock::time_point{} : Clock::now() + kPause;
}

void Acceptor::Run() {
  base::NameThisThread("assent-accept");
  std::array<epoll_event, 128> events;
  auto tick_at = Clock::now() + kTick;
  for (;;) {
    const auto patience = listen_at_ == Clock::time_point{} && strangers_.empty() ? kTick : kPause;
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(patience.count()));
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
      if (descriptor == wake_) return;
      if (std::find(listeners_.begin(), listeners_.end(), descriptor) != listeners_.end()) {
        Accept(descriptor);
      } else {
        (void)Spoke(descriptor);
      }
    }
    const auto now = Clock::now();
    EndSilent(now);
    if (!strangers_.empty() && now >= strangers_at_) {
      strangers_at_ = now + kPause;
      LookAtStrangers();
    }
    const bool paused = listen_at_ != Clock::time_point{};
    if (paused && now >= listen_at_) Listen(true);
    if (now < tick_at) continue;
    tick_at = now + kTick;
    if (!paused) Listen(true);  // a listener may have become another socket
    Sweep();
    Report(now);
  }
}

void Acceptor::Accept(int listener) {
  for (int i = 0; i < kAcceptsInOneTurn; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int descriptor = ::accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size,
                                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      Arrived(descriptor, peer);
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EMFILE || errno == ENFILE) {
      if (AcceptWithoutDescriptors(listener)) continue;
      return Listen(false);
    }
    if (errno == ENOBUFS || errno == ENOMEM) return Listen(false);
    // Else it is the connection that has failed, not the listener; a listener that has is found by
    // the daemon's own dial.
    if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) return Listen(false);
  }
}

// The limits leave descriptors free, but others in this process and on this machine take some too.
// Whoever has said nothing yet gives its own; without such a one the spare is given, to take the
// connection out of the queue and close it.
bool Acceptor::AcceptWithoutDescriptors(int listener) {
  ++turned_away_.for_descriptors;
  if (EvictSilent(nullptr)) return true;
  if (spare_ < 0) {
    spare_ = OpenSpare();
    return false;
  }
  ::close(spare_);
  const int descriptor = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0) ::close(descriptor);
  spare_ = OpenSpare();
  return descriptor >= 0;
}

bool Acceptor::EvictSilent(const std::string* address) {
  const auto now = Clock::now();
  for (auto next = silent_.begin(); next != silent_.end();) {
    const auto [descriptor, since] = (next++)->second;
    if (now - since < kSilentGrace) return false;  // and so are the others
    if (address != nullptr && connections_[descriptor].address != *address) continue;
    if (Spoke(descriptor)) continue;
    ++turned_away_.silent;
    Close(descriptor);
    return true;
  }
  return false;
}

std::size_t Acceptor::CountOf(const std::string& address) const {
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? 0 : found->second;
}

bool Acceptor::EvictStranger(const std::string* address) {
  return EvictStranger(kStrangerGrace, strangers_.size(), [&](const Connection& stranger) {
    return address == nullptr || stranger.address == *address;
  });
}

bool Acceptor::EvictOneOfMany(const std::string& newcomer) {
  const std::size_t enough = CountOf(newcomer) + 1;
  return EvictStranger(kCrowdGrace, kCrowdLookedAtCount, [&](const Connection& stranger) {
    return CountOf(stranger.address) > enough;
  });
}

bool Acceptor::EvictStranger(std::chrono::milliseconds grace, std::size_t looked_at,
                             const std::function<bool(const Connection&)>& is_one) {
  const auto now = Clock::now();
  for (auto next = strangers_.begin(); next != strangers_.end() && looked_at > 0; --looked_at) {
    const auto [descriptor, since] = (next++)->second;
    if (now - since < grace) return false;  // and so are the others
    const auto found = connections_.find(descriptor);
    if (!is_one(found->second)) continue;
    if (!options_.guard->strangers().Has(found->second.peer, found->second.since)) continue;
    EndStranger(descriptor);
    return true;
  }
  return false;
}

// gRPC sees that it has ended, and closes it. To connect to nobody resets a connection of TCP, with
// all that it has sent; what is shut down is read for as long as its peer sends.
void Acceptor::EndStranger(int descriptor) {
  ++turned_away_.strangers;
  const Connection& stranger = connections_[descriptor];
  const sockaddr nobody{AF_UNSPEC, {}};
  if (InodeOf(descriptor) != stranger.inode) {
    // It has ended by itself.
  } else if (stranger.is_tcp) {
    (void)::connect(descriptor, &nobody, sizeof nobody);
  } else {
    (void)::shutdown(descriptor, SHUT_RDWR);
  }
  Forget(descriptor);
}

void Acceptor::LookAtStrangers() {
  std::uint64_t together = 0;
  std::uint64_t most = 0;
  int largest = -1;
  for (auto next = strangers_.begin(); next != strangers_.end();) {
    const auto at = next++;
    const int descriptor = at->second.descriptor;
    Connection& connection = connections_[descriptor];
    if (!options_.guard->strangers().Has(connection.peer, connection.since)) {
      connection.stranger = 0;
      strangers_.erase(at);
      continue;
    }
    const std::uint64_t bytes = BytesReceived(descriptor);
    if (bytes > kMaxStrangerBytes) {
      EndStranger(descriptor);
      continue;
    }
    together += bytes;
    if (bytes < most) continue;
    most = bytes;
    largest = descriptor;
  }
  if (together > kMaxStrangersBytes) EndStranger(largest);
}

bool Acceptor::MakeRoom(const std::string& address) {
  const std::size_t all = max_count_;
  const std::size_t own = max_per_address_count_;
  const bool is_own_full = CountOf(address) >= own;
  if (is_own_full || connections_.size() >= all) SweepAtALimit();
  if (is_own_full && CountOf(address) >= own && !EvictSilent(&address) &&
      !EvictStranger(&address)) {
    ++turned_away_.by_address;
    return false;
  }
  if (connections_.size() >= all && !EvictSilent(nullptr) && !EvictStranger(nullptr) &&
      !EvictOneOfMany(address)) {
    ++turned_away_.in_all;
    return false;
  }
  return true;
}

// Who is turned away is told nothing, or a client of gRPC would not wait before it dials again:
// after SETTINGS and GOAWAY it dials without pause, and a GOAWAY alone it calls a peer that does
// not speak HTTP/2. The log tells.
void Acceptor::Arrived(int descriptor, const sockaddr_storage& peer) {
  Forget(descriptor);  // whoever had this number has closed
  std::string address = AddressOf(descriptor, peer);
  if (!MakeRoom(address)) {
    ::close(descriptor);
    return;
  }
  ++by_address_[address];
  const std::uint64_t key = next_silent_++;
  silent_[key] = {descriptor, Clock::now()};
  connections_[descriptor] = {.address = std::move(address),
                              .is_tcp = peer.ss_family != AF_UNIX,
                              .inode = InodeOf(descriptor),
                              .silent = key,
                              .peer = options_.guard == nullptr ? "" : NameOf(descriptor, peer)};
  epoll_event event{EPOLLIN | EPOLLRDHUP, {.fd = descriptor}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event);
}

// Hands over who has said something, and closes who has gone. False: it is silent still.
bool Acceptor::Spoke(int descriptor) {
  const auto found = connections_.find(descriptor);
  if (found == connections_.end() || found->second.silent == 0) return true;  // closed in this turn
  char byte = 0;
  const ssize_t got = ::recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    Close(descriptor);
    return true;
  }
  if (options_.tls && found->second.is_tcp && !tls::IsHandshake(byte)) {
    TellOfTls(descriptor);
    return true;
  }
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
  silent_.erase(std::exchange(found->second.silent, 0));
  if (!found->second.peer.empty() && options_.guard->enforces()) {
    found->second.stranger = next_silent_++;
    strangers_[found->second.stranger] = {descriptor, Clock::now()};
    found->second.since = options_.guard->strangers().Add(found->second.peer);
  }
  hand_over_(descriptor);
  return true;
}

// What has come is read first, or the end would be a reset, which overtakes what is said.
void Acceptor::TellOfTls(int descriptor) {
  std::array<char, 4096> read;
  (void)!::recv(descriptor, read.data(), read.size(), MSG_DONTWAIT);
  (void)!::send(descriptor, kSpeaksTls.data(), kSpeaksTls.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(descriptor, SHUT_WR);
  ++turned_away_.without_tls;
  Close(descriptor);
}

void Acceptor::Forget(int descriptor) {
  const auto found = connections_.find(descriptor);
  if (found == connections_.end()) return;
  const Connection& connection = found->second;
  if (connection.silent != 0) silent_.erase(connection.silent);
  if (connection.stranger != 0) {
    strangers_.erase(connection.stranger);
    options_.guard->strangers().Ended(connection.peer, connection.since);
  }
  const auto count = by_address_.find(connection.address);
  if (count != by_address_.end() && --count->second == 0) by_address_.erase(count);
  connections_.erase(found);
}

// Of one that is still ours.
void Acceptor::Close(int descriptor) {
  Forget(descriptor);
  ::close(descriptor);
}

void Acceptor::EndSilent(Clock::time_point now) {
  while (!silent_.empty() && silent_.begin()->second.since + options_.first_byte_timeout <= now) {
    ++turned_away_.silent;
    Close(silent_.begin()->second.descriptor);
  }
}

void Acceptor::SweepAtALimit() {
  if (Clock::now() - swept_at_ >= kSweepPause) Sweep();
}

void Acceptor::Sweep() {
  swept_at_ = Clock::now();
  std::vector<int> closed;
  for (const auto& [descriptor, connection] : connections_) {
    if (connection.silent == 0 && InodeOf(descriptor) != connection.inode)
      closed.push_back(descriptor);
  }
  for (const int descriptor : closed) Forget(descriptor);
}

// One line when it begins, one every while as long as it goes on, one when it is over.
void Acceptor::Report(Clock::time_point now) {
  if (now - said_at_ < kReportPause) return;
  const TurnedAway away = std::exchange(turned_away_, {});
  if (away.sum() > 0) {
    said_ = true;
    said_at_ = now;
    spdlog::warn(
        "event=connections_turned_away in_all={} by_address={} for_descriptors={} silent={} "
        "without_tls={} strangers={} "
        "connections={} limit={} limit_per_address={} hint=\"connected clients are served; see "
        "--max-connections, --max-connections-per-address and the limit on open files\"",
        away.in_all, away.by_address, away.for_descriptors, away.silent, away.without_tls,
        away.strangers, connections_.size(), max_count_.load(), max_per_address_count_.load());
  } else if (std::exchange(said_, false)) {
    spdlog::info("event=connections_taken_again connections={}", connections_.size());
  }
}

}  // namespace assent::daemon
