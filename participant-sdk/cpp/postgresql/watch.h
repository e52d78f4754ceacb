#pragma once

// Sees, from a connection of its own, whose prepared work an operation waits for, if it waits for
// long. Everybody waits for older transactions only (barrier/who_waits.h): who waits for a younger
// one need not wait any longer to say so, and is ended.

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <assent/call.h>
#include <assent/thread_safety.h>

#include "participant-sdk/cpp/barrier/who_waits.h"
#include "participant-sdk/cpp/postgresql/connection.h"

namespace assent::postgresql::internal {

class Watch {
  using Clock = std::chrono::steady_clock;
  struct Waiter {
    int backend_pid = 0;
    const Call* call = nullptr;
    Clock::time_point look_at;
    bool is_being_ended = false;
    std::optional<barrier::Obstacle> obstacle;
  };

 public:
  Watch(ConnectionSettings settings, std::chrono::milliseconds grace);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // One operation, while it runs and may wait. When the guard has gone nobody ends it any more.
  class Guard {
   public:
    Guard(Watch& watch, const Call& call, int backend_pid);
    ~Guard() { Leave(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    // It has waited in vain, with these words of the server's.
    Reply InVain(const std::string& words);

   private:
    void Leave();
    Watch& watch_;
    std::optional<std::list<Waiter>::iterator> waiter_;
    std::optional<barrier::Obstacle> obstacle_;
  };

 private:
  void Loop();
  // Until somebody has waited so long that he is to be looked at; false: it is over.
  bool WaitForDue() ASSENT_REQUIRES(mutex_);
  // Their sessions.
  std::vector<int> TakeDue() ASSENT_REQUIRES(mutex_);
  // Whose statements are to be ended.
  std::vector<std::int64_t> NoteObstacles(const Table& found) ASSENT_REQUIRES(mutex_);
  Table Find(const std::vector<int>& pids);

  const ConnectionSettings settings_;
  const std::chrono::milliseconds grace_;
  std::unique_ptr<Connection> connection_;  // of the thread

  Mutex mutex_;
  CondVar changed_;
  std::list<Waiter> waiters_ ASSENT_GUARDED_BY(mutex_);
  bool stop_ ASSENT_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: starts when the rest is there
};

}  // namespace assent::postgresql::internal
