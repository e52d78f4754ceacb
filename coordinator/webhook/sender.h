#pragma once

// Events on their way to the receiver: a queue with a bound, and a thread that tries.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include <assent/thread_safety.h>

#include "coordinator/post/poster.h"
#include "coordinator/post/target.h"
#include "coordinator/webhook/message.h"

namespace assent::webhook {

// Events that wait for the receiver.
inline constexpr std::size_t kMaxQueuedCount = 4096;
// Of one event, after which it is given up.
inline constexpr std::uint32_t kMaxTriesCount = 64;
inline constexpr std::int64_t kMaxAgeMs = 3'600'000;
// Of one try.
inline constexpr std::int64_t kTryMs = 10'000;
// After a try that failed: doubled up to the second.
inline constexpr std::int64_t kFirstPauseMs = 1'000;
inline constexpr std::int64_t kMaxPauseMs = 60'000;
// At a stop, for a last try of each.
inline constexpr std::int64_t kLastWordsMs = 2'000;

struct SenderFigures {
  std::uint64_t delivered = 0;
  std::uint64_t failed_tries = 0;
  std::uint64_t given_up = 0;  // tried in vain
  std::uint64_t dropped = 0;   // never tried: the queue was full
  std::uint64_t queued = 0;
};

enum class Trouble : std::uint8_t { kNone, kAway, kFull, kGivenUp };

struct SenderOptions {
  post::Target target;
  post::Dialling dialling = {};  // of a secure target
  std::string secret;
  std::string agent;
  std::size_t max_queued_count = kMaxQueuedCount;
  std::chrono::milliseconds first_pause{kFirstPauseMs};
  // For people, once for each bout: what is wrong (kNone: nothing any more), and the words that go
  // with it. Any thread.
  std::function<void(Trouble trouble, const std::string& said)> on_trouble = {};
};

// Thread-safety: all of it, from any thread, and nothing but Close waits.
class Sender {
 public:
  explicit Sender(SenderOptions options);
  ~Sender() { Close(); }

  // It is known who tells: from now on it does.
  void Open(Teller teller) ASSENT_EXCLUDES(mutex_);
  // `make` is called at once, if there is room.
  void Tell(const std::function<Event()>& make) ASSENT_EXCLUDES(mutex_);
  // Each that waits is tried once more. What is left is lost; so many.
  std::size_t Close() ASSENT_EXCLUDES(mutex_);
  SenderFigures Figures() const ASSENT_EXCLUDES(mutex_);

 private:
  struct Queued {
    Event event;
    std::int64_t since_ms = 0;  // of the steady clock
    std::uint32_t tries = 0;
  };

  void Run() ASSENT_EXCLUDES(mutex_);
  bool WaitForTurn(Queued& next) ASSENT_EXCLUDES(mutex_);
  std::string Try(const Event& event);
  void Settle(Queued tried, const std::string& failed) ASSENT_EXCLUDES(mutex_);
  void Say(Trouble trouble, const std::string& said) const;

  const SenderOptions options_;
  post::Poster poster_;
  Teller teller_;  // the thread's, once it runs

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Queued> queue_ ASSENT_GUARDED_BY(mutex_);
  SenderFigures figures_ ASSENT_GUARDED_BY(mutex_);
  std::uint32_t failures_ ASSENT_GUARDED_BY(mutex_) = 0;  // since the last that was taken
  bool full_ ASSENT_GUARDED_BY(mutex_) = false;           // until half of it has gone
  bool giving_up_ ASSENT_GUARDED_BY(mutex_) = false;
  bool closing_ ASSENT_GUARDED_BY(mutex_) = false;
  std::size_t last_words_ ASSENT_GUARDED_BY(mutex_) = 0;  // that may still be tried
  bool ended_ ASSENT_GUARDED_BY(mutex_) = true;
  std::thread thread_;
};

}  // namespace assent::webhook
