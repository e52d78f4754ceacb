#pragma once

// The daemon dials itself, as a client would: whether it can still be reached is known by nothing
// else. A listener whose socket is gone is opened again; one that stays deaf ends the process, for
// the supervisor to start another.

#include <chrono>
#include <cstddef>
#include <functional>
#include <thread>

#include "coordinator/daemon/listener.h"

namespace assent::daemon {

enum class DialVerdict {
  kAnswers,
  kNobodyThere,  // no listener at the address, or not ours
  kSilent,       // somebody there, and no answer in time
  kCannotTell,   // no descriptor to dial with, or turned away
};

// Connects, sends the beginning of HTTP/2, or of TLS, and waits for the first byte of an answer.
// `stop`, a descriptor, ends the wait when it can be read.
DialVerdict DialOnce(const DialAddress& address, std::chrono::milliseconds patience, int stop,
                     bool tls = false);

struct SelfDialOptions {
  std::chrono::milliseconds pause{5'000};
  std::chrono::milliseconds patience{10'000};
  std::size_t max_failures_count = 3;  // in a row
};

class SelfDial {
 public:
  struct Actions {
    std::function<DialVerdict(std::chrono::milliseconds patience, int stop)> dial;
    std::function<void()> listen_again;  // nobody is there
    std::function<void()> give_up;       // max_failures_count in a row: ends the process
  };

  SelfDial(SelfDialOptions options, Actions actions);
  ~SelfDial();
  SelfDial(const SelfDial&) = delete;
  SelfDial& operator=(const SelfDial&) = delete;

 private:
  void Run();

  const SelfDialOptions options_;
  const Actions actions_;
  int stop_ = -1;
  std::thread thread_;
};

}  // namespace assent::daemon
