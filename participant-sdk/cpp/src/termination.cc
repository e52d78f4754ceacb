#include "participant-sdk/cpp/src/termination.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include <utility>

#include <sys/eventfd.h>

#include <assent/status.h>

namespace assent::internal {
namespace {

constexpr std::array<int, 2> kSignals{SIGTERM, SIGINT};

// A signal handler has no argument: what it reaches must be global. Initialised at compile time,
// set by one guard at a time.
std::atomic<Termination*> raised_by_signal{nullptr};
std::array<struct sigaction, kSignals.size()> before;

static_assert(std::atomic<Termination*>::is_always_lock_free);

void OnSignal(int number) {
  const int saved_errno = errno;
  // A second one does what it did before us.
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (kSignals[i] == number) sigaction(number, &before[i], nullptr);
  }
  if (Termination* termination = raised_by_signal.load()) termination->Notify();
  errno = saved_errno;
}

}  // namespace

Termination::Termination() : event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ASSENT_CHECK(event_fd_ >= 0);
}

Termination::~Termination() { close(event_fd_); }

void Termination::Notify() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, that is, when it was raised long ago.
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof one);
}

void Termination::Wait() {
  struct pollfd raised {};
  raised.fd = event_fd_;
  raised.events = POLLIN;
  while (poll(&raised, 1, -1) < 0) ASSENT_CHECK(errno == EINTR);
}

Result<SignalGuard> SignalGuard::Take(Termination& termination) {
  Termination* none = nullptr;
  if (!raised_by_signal.compare_exchange_strong(none, &termination)) {
    return FailedPrecondition(
        "another Run() of this process owns SIGTERM and SIGINT; use Start and Stop for the rest");
  }
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ASSENT_CHECK(sigaction(kSignals[i], &action, &before[i]) == 0);
    // Whoever started us wants it ignored (a shell does so for its background jobs).
    if (before[i].sa_handler == SIG_IGN) sigaction(kSignals[i], &before[i], nullptr);
  }
  SignalGuard guard;
  guard.owner_ = true;
  return guard;
}

SignalGuard::SignalGuard(SignalGuard&& other) noexcept
    : owner_(std::exchange(other.owner_, false)) {}

SignalGuard::~SignalGuard() {
  if (!owner_) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
  raised_by_signal.store(nullptr);
}

}  // namespace assent::internal
