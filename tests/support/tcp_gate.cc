#include "tests/support/tcp_gate.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <unistd.h>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <assent/status.h>

namespace assent::test {
namespace {

constexpr int kLookAgainMs = 5;

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

sockaddr* Plain(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

void AtOnce(int socket) {
  const int yes = 1;
  (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

}  // namespace

TcpGate::TcpGate(std::uint16_t server_port) : server_port_(server_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  ASSENT_CHECK(bind(listener_, Plain(address), size) == 0 && listen(listener_, 100) == 0 &&
               getsockname(listener_, Plain(address), &size) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

TcpGate::~TcpGate() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  thread_.join();
  const MutexLock lock(mutex_);
  for (Pipe& pipe : pipes_) {
    Close(pipe.client);
    Close(pipe.server);
  }
  Close(listener_);
}

void TcpGate::Close(int& socket) {
  if (socket >= 0) close(socket);
  socket = -1;
}

void TcpGate::HoldRequestsAfter(std::size_t bytes) {
  const MutexLock lock(mutex_);
  for (Pipe& pipe : pipes_) {
    pipe.holds_requests = true;
    pipe.let_through = bytes;
  }
}

void TcpGate::HoldAnswers() {
  const MutexLock lock(mutex_);
  for (Pipe& pipe : pipes_) pipe.holds_answers = true;
}

void TcpGate::CutClients() {
  const MutexLock lock(mutex_);
  for (Pipe& pipe : pipes_) Close(pipe.client);
}

void TcpGate::Deliver() {
  const MutexLock lock(mutex_);
  for (Pipe& pipe : pipes_) pipe.holds_requests = pipe.holds_answers = false;
}

std::size_t TcpGate::held() const {
  const MutexLock lock(mutex_);
  std::size_t bytes = 0;
  for (const Pipe& pipe : pipes_) {
    if (pipe.holds_requests) bytes += pipe.to_server.size();
  }
  return bytes;
}

void TcpGate::Run() {
  std::vector<pollfd> sockets;
  for (;;) {
    sockets.assign(1, {.fd = listener_, .events = POLLIN, .revents = 0});
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      for (const Pipe& pipe : pipes_) {
        if (pipe.client >= 0 && !pipe.client_ended)
          sockets.push_back({.fd = pipe.client, .events = POLLIN, .revents = 0});
        if (pipe.server >= 0 && !pipe.server_ended)
          sockets.push_back({.fd = pipe.server, .events = POLLIN, .revents = 0});
      }
    }
    (void)poll(sockets.data(), sockets.size(), kLookAgainMs);
    const MutexLock lock(mutex_);
    if (sockets[0].revents != 0) Accept();
    for (Pipe& pipe : pipes_) Move(pipe);
    pipes_.remove_if([](const Pipe& pipe) { return pipe.client < 0 && pipe.server < 0; });
  }
}

// A server that is not there is a connection that ends at once.
void TcpGate::Accept() {
  Pipe pipe;
  pipe.client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  pipe.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(server_port_);
  if (pipe.client < 0 || connect(pipe.server, Plain(address), sizeof(address)) != 0) {
    Close(pipe.client);
    Close(pipe.server);
    return;
  }
  AtOnce(pipe.client);
  AtOnce(pipe.server);
  pipes_.push_back(pipe);
}

void TcpGate::Read(int& from, std::string& into, bool& ended) {
  std::array<char, 65536> buffer;
  while (from >= 0 && !ended) {
    const ssize_t got = recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      ended = true;
    } else {
      return;
    }
  }
}

std::size_t TcpGate::Write(int to, const std::string& bytes, std::size_t most) {
  const ssize_t sent =
      send(to, bytes.data(), std::min(bytes.size(), most), MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

// An end is passed on behind all that came before it; not that of a client that was cut.
void TcpGate::Move(Pipe& pipe) {
  Read(pipe.client, pipe.to_server, pipe.client_ended);
  Read(pipe.server, pipe.to_client, pipe.server_ended);
  if (pipe.server >= 0 && !pipe.to_server.empty()) {
    const std::size_t most = pipe.holds_requests ? pipe.let_through : pipe.to_server.size();
    const std::size_t sent = most == 0 ? 0 : Write(pipe.server, pipe.to_server, most);
    pipe.to_server.erase(0, sent);
    if (pipe.holds_requests) pipe.let_through -= sent;
  }
  if (pipe.client < 0) {
    pipe.to_client.clear();
    // What is late is delivered, and then its end.
    if (!pipe.holds_requests && pipe.to_server.empty() && pipe.server >= 0)
      (void)shutdown(pipe.server, SHUT_WR);
  } else if (!pipe.holds_answers && !pipe.to_client.empty()) {
    pipe.to_client.erase(0, Write(pipe.client, pipe.to_client, pipe.to_client.size()));
  }
  if (pipe.client_ended && pipe.to_server.empty()) {
    Close(pipe.client);
    Close(pipe.server);
  }
  if (pipe.server_ended && (pipe.to_client.empty() || pipe.client < 0)) {
    Close(pipe.client);
    Close(pipe.server);
  }
}

}  // namespace assent::test
