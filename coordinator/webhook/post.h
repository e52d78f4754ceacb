#pragma once

// One request to a receiver, and what came of it.

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/webhook/message.h"

namespace assent::webhook {

// Of an answer no more is read.
inline constexpr std::size_t kMaxAnswerBytes = 65'536;

class Poster {
 public:
  explicit Poster(Target target);
  ~Poster();

  using Headers = std::vector<std::pair<std::string, std::string>>;
  // Empty: it was taken (2xx). Else why not, in words. Returns within `patience`, or when Stop is
  // called; the system's resolver of names may take longer.
  std::string Post(const Headers& headers, const std::string& body,
                   std::chrono::milliseconds patience) ASSENT_EXCLUDES(mutex_);
  // From any thread: ends the Post that is under way, and all others at once.
  void Stop() ASSENT_EXCLUDES(mutex_);

 private:
  struct Try;
  const Target target_;
  Mutex mutex_;
  Try* under_way_ ASSENT_GUARDED_BY(mutex_) = nullptr;
  bool stopped_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace assent::webhook
