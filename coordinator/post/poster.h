#pragma once

// Requests to a receiver, one after the other, and what came of each.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/post/target.h"
#include "coordinator/tls/dial.h"

namespace assent::post {

// Of an answer no more is read.
inline constexpr std::size_t kMaxAnswerBytes = 65'536;
// Of a handshake of TLS, within the time of a request.
inline constexpr std::int64_t kMaxHandshakeMs = 5'000;
inline constexpr const char* kHandshakeLate =
    "there is no secure connection: the handshake does not come to its end; is it a port for TLS?";

struct Answer {
  // Why it was not taken (2xx), in words; empty: it was.
  std::string failed = "there is no answer in time";
  unsigned code = 0;           // 0: there was no answer
  std::string retry_after{};   // as it stands in the header
  std::string content_type{};  // likewise
  std::string body{};          // empty if it did not come in whole
};

enum class Connections : std::uint8_t {
  kOneEach,  // nothing is held while there is nothing to say
  kKept      // as long as the receiver keeps it: for who says much
};

// What a secure target is dialled with, asked for each request: a connection that is kept is not
// used on once that is another.
using Dialling = std::function<tls::DialMaterialPtr()>;

// Thread-safety: one thread posts, any may stop it.
class Poster {
 public:
  // `dialling` is there if the target is secure, and only then: nothing is posted otherwise.
  Poster(Target target, Connections connections, Dialling dialling = {});
  ~Poster();

  using Headers = std::vector<std::pair<std::string, std::string>>;
  // Returns within `patience`, or when Stop is called; the system's resolver of names may take
  // longer. Where a kept connection turns out to have been closed, the request is sent once more,
  // by another: it may arrive twice. An answer that sends elsewhere (3xx) is one like any other.
  Answer Post(const Headers& headers, const std::string& body, std::chrono::milliseconds patience)
      ASSENT_EXCLUDES(mutex_);
  // From any thread: ends the Post that is under way, and all others at once.
  void Stop() ASSENT_EXCLUDES(mutex_);

 private:
  struct Line;
  using TimePoint = std::chrono::steady_clock::time_point;
  Answer Exchange(Line& line, const Headers& headers, const std::string& body, TimePoint until)
      ASSENT_EXCLUDES(mutex_);

  const Target target_;
  const Connections connections_;
  const Dialling dialling_;
  std::unique_ptr<Line> kept_;  // the posting thread's; open, and nothing under way
  Mutex mutex_;
  Line* under_way_ ASSENT_GUARDED_BY(mutex_) = nullptr;
  bool stopped_ ASSENT_GUARDED_BY(mutex_) = false;
};

}  // namespace assent::post
