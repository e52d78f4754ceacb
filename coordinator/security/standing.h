#pragma once

// Those who were let in and stay: streams, watches, sessions. Each is asked again whether it still
// may, once a second, and when what is in force has changed.
//
// Thread-safety: all of it, from any thread; Close waits for the round that is under way.

#include <chrono>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include <assent/thread_safety.h>

namespace assent::security {

// So much later at most ends what may not stay any more.
inline constexpr std::chrono::milliseconds kAskAgainEvery{1000};

class Standing {
 public:
  // False: it has ended, and is not asked any more. Called on a thread of ours, without a lock.
  using Ask = std::function<bool()>;

  Standing() = default;
  ~Standing() { Close(); }
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;

  // The thread begins with the first of them. After Close nobody is asked.
  void Join(Ask ask) ASSENT_EXCLUDES(mutex_);
  // What is in force has changed: all are asked now.
  void Changed() ASSENT_EXCLUDES(mutex_);
  void Close() ASSENT_EXCLUDES(mutex_);
  std::size_t count() const ASSENT_EXCLUDES(mutex_);

 private:
  void Run() ASSENT_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar rung_;
  std::vector<Ask> all_ ASSENT_GUARDED_BY(mutex_);
  bool changed_ ASSENT_GUARDED_BY(mutex_) = false;
  bool closed_ ASSENT_GUARDED_BY(mutex_) = false;
  std::thread thread_ ASSENT_GUARDED_BY(mutex_);
};

}  // namespace assent::security
