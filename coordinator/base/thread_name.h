#pragma once

// What top, gdb and perf call a thread; at most 15 bytes. Nothing depends on it.

#include <pthread.h>

namespace assent::base {

inline void NameThisThread(const char* name) { (void)pthread_setname_np(pthread_self(), name); }

}  // namespace assent::base
