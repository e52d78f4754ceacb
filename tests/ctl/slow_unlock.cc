// Put before a program (LD_PRELOAD), it lets each of its threads but the first one rest a moment
// whenever it gives up a lock: so that what the first one does next is done meanwhile. A race that
// one run in ten thousand loses is lost by one in six.

#include <ctime>
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

extern "C" int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  using Unlock = int (*)(pthread_mutex_t*);
  static const auto real = reinterpret_cast<Unlock>(::dlsym(RTLD_NEXT, "pthread_mutex_unlock"));
  const int done = real(mutex);
  if (::gettid() != ::getpid()) {
    const timespec moment{0, 50'000};
    ::nanosleep(&moment, nullptr);  // tidy: allow(sleep) the subject: a thread that is slow
  }
  return done;
}
