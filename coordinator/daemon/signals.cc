#include "coordinator/daemon/signals.h"

#include <csignal>
#include <ctime>
#include <pthread.h>
#include <utility>

#include "coordinator/base/thread_name.h"

namespace assent::daemon {
namespace {

constexpr std::chrono::milliseconds kSlice{100};

sigset_t OurSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

int WaitForSignal(std::chrono::milliseconds patience) {
  const sigset_t signals = OurSignals();
  const timespec time{patience.count() / 1000, patience.count() % 1000 * 1'000'000};
  const int signal = sigtimedwait(&signals, nullptr, &time);
  return signal > 0 ? signal : 0;
}

bool IsStop(int signal) { return signal == SIGTERM || signal == SIGINT; }

Impatience::Impatience(bool asked, std::chrono::milliseconds patience,
                       std::function<void()> give_up)
    : patience_(patience), give_up_(std::move(give_up)), asked_(asked) {
  thread_ = std::thread([this] { Run(); });
}

Impatience::~Impatience() {
  over_ = true;
  pthread_kill(thread_.native_handle(),
               SIGHUP);  // wakes it: blocked everywhere, and taken by its wait
  thread_.join();
}

void Impatience::Run() {
  base::NameThisThread("assent-signals");
  auto give_up_at = std::chrono::steady_clock::now() + patience_;
  while (!over_) {
    const bool stop = IsStop(WaitForSignal(kSlice));
    const auto now = std::chrono::steady_clock::now();
    if (stop && !asked_) {
      asked_ = true;
      give_up_at = now + patience_;
    } else if (!over_ && (stop || (asked_ && now >= give_up_at))) {
      give_up_();
    }
  }
}

}  // namespace assent::daemon
