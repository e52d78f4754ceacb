#include "coordinator/daemon/listener.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <unistd.h>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "coordinator/daemon/port_owner.h"

namespace assent::daemon {
namespace {

// Less what the umask takes away: others are never let in, its group is by a umask of 007.
constexpr mode_t kSocketMode = S_IRWXU | S_IRWXG;
constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
// The owner of a lock deletes its file: who has opened that one meanwhile tries again.
constexpr int kLockTries = 100;
// Of a connection that is silent: two thirds of keepalive_seconds, a third each.
constexpr int kProbes = 2;

std::string Said(int error) { return std::strerror(error); }

// "[::1]:7400" is "::1" and "7400".
std::pair<std::string, std::string> SplitHostPort(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return {std::move(host), address.substr(colon + 1)};
}

// 0: it has none.
std::uint16_t PortOf(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
  if (address->sa_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
  return 0;
}
std::uint16_t PortOf(const sockaddr_storage& address) {
  return PortOf(reinterpret_cast<const sockaddr*>(&address));
}

void SetPort(sockaddr* address, std::uint16_t port) {
  if (address->sa_family == AF_INET)
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  if (address->sa_family == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
}

// gRPC's spelling of a path: unix:PATH, or unix:///ABSOLUTE.
std::string PathOf(const std::string& address) {
  std::string path = address.substr(std::strlen("unix:"));
  if (path.rfind("///", 0) == 0) path.erase(0, 2);
  return path;
}

// The process behind a lock or a socket, for messages.
std::string Process(pid_t pid) {
  return pid > 0 ? "process " + std::to_string(pid) : std::string("another process");
}

std::string OwnerOfLock(int lock) {
  char text[32] = {};
  const ssize_t size = ::pread(lock, text, sizeof text - 1, 0);
  int pid = 0;
  if (size <= 0 || std::sscanf(text, "%d", &pid) != 1) pid = 0;
  return Process(pid);
}

// What stands at a path before we listen there.
enum class Occupant { kNobody, kDead, kLive, kNoSocket };

// `who` is the process that answers, or why that cannot be known.
Occupant Look(const std::string& path, const sockaddr_un& address, std::string& who) {
  struct stat what {};
  if (::lstat(path.c_str(), &what) != 0) return Occupant::kNobody;
  if (!S_ISSOCK(what.st_mode)) return Occupant::kNoSocket;
  const int probe = ::socket(AF_UNIX, kSocketFlags, 0);
  const int done = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ucred owner{};
  socklen_t size = sizeof owner;
  if (done == 0 && ::getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &owner, &size) != 0) owner.pid = 0;
  if (probe >= 0) ::close(probe);
  if (done != 0 && error == ECONNREFUSED) return Occupant::kDead;
  // Whatever else it says (its queue is full, we may not connect): it is not known to be dead.
  who = Process(owner.pid) + (done == 0 ? "" : " (" + Said(error) + ")");
  return Occupant::kLive;
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::Open(const std::string& address,
                                                 ListenerOptions options) {
  std::unique_ptr<Listener> listener(new Listener(options));
  listener->address_ = address;
  const Status opened = address.rfind("unix:", 0) == 0 ? listener->OpenUnix(PathOf(address))
                                                       : listener->OpenTcp(address);
  if (!opened.ok()) return opened;
  return listener;
}

Status Listener::CannotListen(const std::string& why) const {
  return Unavailable("cannot listen on " + address_ + ": " + why +
                     ". Choose another address with " + options_.setting);
}

Listener::~Listener() {
  for (const int descriptor : descriptors_) ::close(descriptor);
  RemoveFile();
  if (lock_ < 0) return;
  ::unlink(lock_path_.c_str());
  ::close(lock_);
}

Status Listener::Add(int descriptor, const sockaddr* address, socklen_t size) {
  if (::bind(descriptor, address, size) != 0) {
    const int error = errno;
    ::close(descriptor);
    return NotOurs(error, address);
  }
  descriptors_.push_back(descriptor);
  if (descriptors_.size() > 1) return OkStatus();
  dial_address_.size = sizeof dial_address_.address;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&dial_address_.address),
                    &dial_address_.size) != 0)
    return CannotListen(Said(errno));
  return OkStatus();
}

Status Listener::NotOurs(int error, const sockaddr* address) const {
  std::string hint = error == EADDRNOTAVAIL ? ": this machine does not have it"
                     : error == EACCES      ? ": not allowed to this user"
                                            : "";
  if (error == EADDRINUSE) {
    const std::string owner = OwnerOfPort(PortOf(address));
    hint = owner.empty() ? ": another assentd may be running" : ": " + owner + " listens there";
  }
  return {error == EADDRNOTAVAIL ? Code::kNotFound : Code::kUnavailable,
          CannotListen(Said(error) + hint).message()};
}

Status Listener::Listen() {
  for (const int descriptor : descriptors_) {
    if (::listen(descriptor, SOMAXCONN) != 0)
      return NotOurs(errno, reinterpret_cast<const sockaddr*>(&dial_address_.address));
  }
  return OkStatus();
}

// Connections have what their listener has.
void Listener::SetOptions(int descriptor, int family) const {
  const auto set = [descriptor](int level, int name, int value) {
    ::setsockopt(descriptor, level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_REUSEADDR, 1);
  if (family == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, options_.user_timeout_ms);
  if (options_.keepalive_seconds == 0) return;
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, options_.keepalive_seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, options_.keepalive_seconds / 3));
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes);
}

Status Listener::OpenTcp(const std::string& address) {
  const auto [host, port] = SplitHostPort(address);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int resolved = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (resolved != 0) return CannotListen(::gai_strerror(resolved));
  Status status = CannotListen("it has no address");
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int descriptor = ::socket(one->ai_family, kSocketFlags, 0);
    if (descriptor < 0) continue;  // no IPv6 here
    SetOptions(descriptor, one->ai_family);
    // Port 0: the first address draws one, the others follow.
    if (!descriptors_.empty()) SetPort(one->ai_addr, PortOf(dial_address_.address));
    status = Add(descriptor, one->ai_addr, one->ai_addrlen);
    if (!status.ok() && status.code() != Code::kNotFound) break;
  }
  ::freeaddrinfo(found);
  if (descriptors_.empty() || (!status.ok() && status.code() != Code::kNotFound)) return status;
  address_ =
      address.substr(0, address.rfind(':') + 1) + std::to_string(PortOf(dial_address_.address));
  return OkStatus();
}

// Who listens at a path holds the lock beside it. So two daemons cannot both take a dead one's
// place.
Status Listener::LockFile(const std::string& path) {
  for (int i = 0; i < kLockTries; ++i) {
    const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) return CannotListen("cannot open " + path + ": " + Said(errno));
    if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
      const std::string owner = OwnerOfLock(lock);
      ::close(lock);
      return CannotListen(owner + " listens there (it holds " + path + ")");
    }
    struct stat held {};
    struct stat there {};
    if (::fstat(lock, &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
        held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
      lock_ = lock;
      lock_path_ = path;
      const std::string pid = std::to_string(::getpid()) + "\n";
      if (::ftruncate(lock, 0) != 0 || ::pwrite(lock, pid.data(), pid.size(), 0) < 0)
        spdlog::debug("event=lock_unsigned path={}", path);  // the message of others lacks a number
      return OkStatus();
    }
    ::close(lock);
  }
  return CannotListen(path + " comes and goes");
}

Status Listener::OpenUnix(const std::string& path) {
  constexpr std::size_t kMostBytes = sizeof(sockaddr_un::sun_path) - 1;
  if (path.empty() || path.size() > kMostBytes) {
    return CannotListen("the path has " + std::to_string(path.size()) + " bytes, it takes 1 to " +
                        std::to_string(kMostBytes));
  }
  const Status locked = LockFile(path + ".lock");
  return locked.ok() ? BindUnix(path) : locked;
}

Status Listener::BindUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  std::string who;
  switch (Look(path, address, who)) {
    case Occupant::kNobody: break;
    case Occupant::kDead: ::unlink(path.c_str()); break;
    case Occupant::kLive: return CannotListen(who + " listens there");
    case Occupant::kNoSocket:
      return CannotListen("there is a file that is no socket, which is left alone");
  }
  const int made_here = ::socket(AF_UNIX, kSocketFlags, 0);
  // Of the socket before it has a file: the file never has another mode.
  if (made_here >= 0 && ::fchmod(made_here, kSocketMode) != 0) {
    const int error = errno;
    ::close(made_here);
    return CannotListen("the mode of the socket cannot be set: " + Said(error));
  }
  const Status status = Add(made_here, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (!status.ok()) return status;
  struct stat made {};
  if (::lstat(path.c_str(), &made) != 0)
    return CannotListen("the file of the socket is gone again: " + Said(errno));
  const MutexLock lock(file_mutex_);
  path_ = path;
  device_ = made.st_dev;
  inode_ = made.st_ino;
  return OkStatus();
}

bool Listener::FileIsOurs() const {
  struct stat there {};
  return ::lstat(path_.c_str(), &there) == 0 && there.st_ino == inode_ && there.st_dev == device_;
}

bool Listener::CanBeFound() {
  const MutexLock lock(file_mutex_);
  return path_.empty() || FileIsOurs();
}

Status Listener::ListenAgain() {
  std::string path;
  {
    const MutexLock lock(file_mutex_);
    path = path_;
  }
  if (path.empty()) return CannotListen("there is no file to make again");
  const Status bound = BindUnix(path);
  if (!bound.ok()) return bound;
  const int made = descriptors_.back();
  descriptors_.pop_back();
  const bool replaced =
      ::listen(made, SOMAXCONN) == 0 && ::dup3(made, descriptors_.front(), O_CLOEXEC) >= 0;
  const int error = errno;
  ::close(made);
  return replaced ? OkStatus() : CannotListen(Said(error));
}

void Listener::RemoveFile() {
  const MutexLock lock(file_mutex_);
  if (!path_.empty() && FileIsOurs()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace assent::daemon
