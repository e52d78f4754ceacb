#include "coordinator/daemon/self_dial.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "coordinator/base/thread_name.h"
#include "coordinator/tls/material.h"

namespace assent::daemon {
namespace {

using Clock = std::chrono::steady_clock;

// The preface of a client, and its empty SETTINGS.
constexpr std::string_view kHello{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33};

// Until `descriptor` can be read or written (`events`), `until`, or `stop`. Whether it can.
bool WaitFor(int descriptor, short events, Clock::time_point until, int stop) {
  std::array<pollfd, 2> waits{{{descriptor, events, 0}, {stop, POLLIN, 0}}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    const int ready = ::poll(waits.data(), waits.size(),
                             static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0 && waits[1].revents == 0;
  }
}

DialVerdict Dial(int descriptor, const DialAddress& to, std::string_view hello,
                 Clock::time_point until, int stop) {
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&to.address), to.size) != 0) {
    if (errno == EAGAIN) return DialVerdict::kSilent;  // the queue of a Unix socket is full
    if (errno != EINPROGRESS) return DialVerdict::kNobodyThere;
    if (!WaitFor(descriptor, POLLOUT, until, stop)) return DialVerdict::kSilent;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return DialVerdict::kNobodyThere;
  }
  (void)!::send(descriptor, hello.data(), hello.size(), MSG_NOSIGNAL);
  if (!WaitFor(descriptor, POLLIN, until, stop)) return DialVerdict::kSilent;
  char byte = 0;
  return ::recv(descriptor, &byte, 1, 0) > 0 ? DialVerdict::kAnswers : DialVerdict::kCannotTell;
}

}  // namespace

DialVerdict DialOnce(const DialAddress& address, std::chrono::milliseconds patience, int stop,
                     bool tls) {
  const std::string hello = tls ? tls::ClientHello() : std::string(kHello);
  const int descriptor =
      ::socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return DialVerdict::kCannotTell;
  const DialVerdict verdict = Dial(descriptor, address, hello, Clock::now() + patience, stop);
  ::close(descriptor);
  return verdict;
}

SelfDial::SelfDial(SelfDialOptions options, Actions actions)
    : options_(options), actions_(std::move(actions)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  thread_ = std::thread([this] { Run(); });
}

SelfDial::~SelfDial() {
  const std::uint64_t one = 1;
  (void)!::write(stop_, &one, sizeof one);
  thread_.join();
  ::close(stop_);
}

void SelfDial::Run() {
  base::NameThisThread("assent-dial");
  std::size_t failures = 0;
  for (;;) {
    pollfd stopped{stop_, POLLIN, 0};
    if (::poll(&stopped, 1, static_cast<int>(options_.pause.count())) > 0) return;
    const DialVerdict verdict = actions_.dial(options_.patience, stop_);
    if (::poll(&stopped, 1, 0) > 0) return;
    if (verdict == DialVerdict::kCannotTell) continue;
    if (verdict == DialVerdict::kAnswers) {
      if (failures > 0) spdlog::info("event=self_dial answered after_failures={}", failures);
      failures = 0;
      continue;
    }
    ++failures;
    const bool nobody = verdict == DialVerdict::kNobodyThere;
    spdlog::warn("event=self_dial failed={} of={} why=\"{}\"", failures,
                 options_.max_failures_count,
                 nobody ? "nobody listens at our address" : "no answer in time");
    if (nobody) actions_.listen_again();
    if (failures >= options_.max_failures_count) actions_.give_up();
  }
}

}  // namespace assent::daemon
