#pragma once

// Which lock guards what, in words that clang checks (-Wthread-safety: the preset `tidy`, and the
// test tidy_locks). To other compilers the words are nothing, and Mutex is std::mutex: no slower,
// no larger.
//
//   class Tally {
//    public:
//     void Add(int n) {
//       const MutexLock lock(mutex_);
//       sum_ += n;
//       if (Full()) full_.NotifyAll();
//     }
//     void WaitUntilFull() {
//       const MutexLock lock(mutex_);
//       while (!Full()) full_.Wait(mutex_);
//     }
//
//    private:
//     bool Full() const ASSENT_REQUIRES(mutex_) { return sum_ >= kFull; }
//
//     mutable Mutex mutex_;
//     CondVar full_;
//     int sum_ ASSENT_GUARDED_BY(mutex_) = 0;
//   };
//
// clang looks at one function at a time, and a lambda is a function. One that runs under the lock
// says mutex_.AssertHeld() in its first line. A wait is therefore a loop, and takes no predicate.

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define ASSENT_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define ASSENT_THREAD_SAFETY(attribute)
#endif

// On a member: touched only with the lock held. PT: what the pointer points to.
#define ASSENT_GUARDED_BY(mutex) ASSENT_THREAD_SAFETY(guarded_by(mutex))
#define ASSENT_PT_GUARDED_BY(mutex) ASSENT_THREAD_SAFETY(pt_guarded_by(mutex))
// On a mutex: which is taken first, when both are.
#define ASSENT_ACQUIRED_BEFORE(...) ASSENT_THREAD_SAFETY(acquired_before(__VA_ARGS__))
#define ASSENT_ACQUIRED_AFTER(...) ASSENT_THREAD_SAFETY(acquired_after(__VA_ARGS__))
// On a function: called with the lock held; without it (it takes it); takes it; gives it back;
// returns it.
#define ASSENT_REQUIRES(...) ASSENT_THREAD_SAFETY(requires_capability(__VA_ARGS__))
#define ASSENT_EXCLUDES(...) ASSENT_THREAD_SAFETY(locks_excluded(__VA_ARGS__))
#define ASSENT_ACQUIRE(...) ASSENT_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define ASSENT_RELEASE(...) ASSENT_THREAD_SAFETY(release_capability(__VA_ARGS__))
#define ASSENT_RETURN_CAPABILITY(mutex) ASSENT_THREAD_SAFETY(lock_returned(mutex))
// The body is not looked at: with a comment that says why it is right.
#define ASSENT_NO_THREAD_SAFETY_ANALYSIS ASSENT_THREAD_SAFETY(no_thread_safety_analysis)

namespace assent {

class ASSENT_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ASSENT_ACQUIRE() { mutex_.lock(); }
  void Unlock() ASSENT_RELEASE() { mutex_.unlock(); }
  // Does nothing; tells clang what it cannot see.
  void AssertHeld() const ASSENT_THREAD_SAFETY(assert_capability(this)) {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds the lock until its end, but for what lies between Unlock and Lock.
class ASSENT_THREAD_SAFETY(scoped_lockable) [[nodiscard]] MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ASSENT_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() ASSENT_RELEASE() {
    if (held_) mutex_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() ASSENT_RELEASE() {
    held_ = false;
    mutex_.Unlock();
  }
  void Lock() ASSENT_ACQUIRE() {
    mutex_.Lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// A wait ends when somebody notifies, and sometimes for no reason: wait in a loop.
class CondVar {
 public:
  void Wait(Mutex& mutex) ASSENT_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    ready_.wait(lock);
    lock.release();  // the caller holds it on
  }
  // False: the time has come.  while (!done_ && changed_.WaitUntil(mutex_, until)) {}
  template <typename Clock, typename Duration>
  bool WaitUntil(Mutex& mutex, const std::chrono::time_point<Clock, Duration>& until)
      ASSENT_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = ready_.wait_until(lock, until) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  // False: that long it has been. For a single wait; a loop has an end that does not move.
  template <typename Rep, typename Period>
  bool WaitFor(Mutex& mutex, const std::chrono::duration<Rep, Period>& patience)
      ASSENT_REQUIRES(mutex) {
    return WaitUntil(mutex, std::chrono::steady_clock::now() + patience);
  }
  void NotifyOne() { ready_.notify_one(); }
  void NotifyAll() { ready_.notify_all(); }

 private:
  std::condition_variable ready_;
};

}  // namespace assent
